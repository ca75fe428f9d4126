// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/guest_image.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "lab/initramfs.h"
#include "loader/error.h"

namespace underpass::lab {

namespace fs = std::filesystem;

namespace {

constexpr const char* kQemu = "qemu-system-x86_64";

std::string read_file(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw_errno(errno, "read " + path.string());
    return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<fs::path> find_program(const std::string& name) {
    const char* path = std::getenv("PATH");
    std::string_view rest = path == nullptr ? "" : path;
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(':'), rest.size());
        const fs::path file = fs::path(rest.substr(0, end)) / name;
        if (end > 0 && ::access(file.c_str(), X_OK) == 0) return file;
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return std::nullopt;
}

std::string busybox() {
    const auto found = find_program("busybox");
    std::string program = found ? read_file(*found) : "";
    if (!is_static_program(program))
        throw std::runtime_error(fmt::format("a guest needs a busybox that stands alone{}: apt install busybox-static",
                                             found ? ", and " + found->string() + " needs libraries" : ""));
    return program;
}

std::string route_command(const Route& route) {
    std::vector<std::string> words = {"ip", route.to.address.v6 ? "-6" : "-4", "route", "add"};
    words.push_back(route.to.length == 0 ? "default" : route.to.text());
    if (route.via) words.insert(words.end(), {"via", route.via->text()});
    if (route.dev || !route.via) words.insert(words.end(), {"dev", route.dev.value_or("eth0")});
    return quote_words(words) + '\n';
}

}  // namespace

fs::path find_qemu() {
    const auto found = find_program(kQemu);
    if (!found) throw std::runtime_error(fmt::format("a guest needs {}: apt install qemu-system-x86", kQemu));
    return *found;
}

GuestKernel find_guest_kernel() {
    const char* given = std::getenv("UNDERPASS_GUEST_ROOT");
    const fs::path root = given == nullptr || *given == '\0' ? "/" : given;
    std::optional<GuestKernel> newest;
    std::error_code absent;
    for (const auto& entry : fs::directory_iterator(root / "lib/modules", absent)) {
        const std::string version = entry.path().filename();
        GuestKernel kernel = {version, root / "boot" / ("vmlinuz-" + version), entry.path()};
        if (!fs::exists(kernel.image, absent) || !fs::exists(kernel.modules / "modules.dep", absent)) continue;
        if (!newest || ::strverscmp(newest->version.c_str(), version.c_str()) < 0) newest = std::move(kernel);
    }
    if (!newest)
        throw std::runtime_error(
            fmt::format("a guest needs a kernel, and {} has none with its modules: apt install linux-image-amd64",
                        (root / "boot").string()));
    return *newest;
}

void check_guest_programs() {
    find_qemu();
    busybox();
}

std::string guest_setup(const GuestOptions& options) {
    std::string script = quote_words({"hostname", options.name}) + "\nip link set lo up\n";
    // An address is usable at once: no duplicate address detection.
    script += "[ ! -e /proc/sys/net/ipv6 ] || echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad\n";
    if (options.mtu) script += fmt::format("ip link set eth0 mtu {}\n", *options.mtu);
    script += "ip link set eth0 up\n";
    for (const auto& address : options.addresses) script += fmt::format("ip addr add {} dev eth0\n", address.text());
    for (const auto& route : options.routes) script += route_command(route);
    return script;
}

std::string guest_image(const GuestKernel& kernel, const GuestOptions& options) {
    GuestFiles files = {.busybox = busybox(), .modules = {}, .setup = guest_setup(options)};
    for (const auto& file : module_files({"virtio_pci", "virtio_net"}, read_file(kernel.modules / "modules.dep"),
                                         read_file(kernel.modules / "modules.builtin"))) {
        if (!file.ends_with(".ko"))
            throw std::runtime_error(
                fmt::format("the modules of the kernel {} are compressed, which busybox cannot "
                            "load: set UNDERPASS_GUEST_ROOT to where Debian's kernel is unpacked",
                            kernel.version));
        files.modules.push_back(read_file(kernel.modules / file));
    }
    return guest_archive(files);
}

}  // namespace underpass::lab
