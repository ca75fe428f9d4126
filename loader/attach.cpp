// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "loader/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <system_error>

#include "loader/error.h"
#include "loader/log.h"

namespace underpass {

namespace {

// linux/bpf.h of 6.1 does not have it: BPF_TCX_INGRESS came with 6.6.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);
constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);
constexpr std::uint32_t kTcxBefore = 1U << 3;  // BPF_F_BEFORE: of all, where no other program is named

// Our place among clsact filters: behind all that people number by hand or that the kernel numbers by itself
// (from 0xC000 downwards), so that theirs run first.
constexpr std::uint32_t kFilterPriority = 0xC0DE;
// Its handle says whether the clsact qdisc was there before us: the kernel keeps that for as long as it matters.
constexpr std::uint32_t kHandleQdiscFound = 1, kHandleQdiscMade = 2;

const char* pin_prefix(TcPoint point) {
    return point == TcPoint::ingress ? "tc-" : "tc-egress-";
}

std::string pin_name(std::uint32_t ifindex, TcPoint point) {
    return pin_prefix(point) + std::to_string(ifindex);
}

int program_fd(const Programs& programs, TcPoint point) {
    return point == TcPoint::ingress ? programs.tc_fd() : programs.witness_fd();
}

std::string device_text(std::uint32_t ifindex) {
    char name[IF_NAMESIZE] = {};
    return if_indextoname(ifindex, name) != nullptr ? name : "device " + std::to_string(ifindex);
}

std::uint32_t program_id(int fd) {
    bpf_prog_info info = {};
    std::uint32_t size = sizeof(info);
    return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 ? info.id : 0;
}

// The head of a tcx link's info; in 6.1's headers the union has no member for it, but this place.
struct TcxLink {
    std::uint32_t ifindex = 0;  // 0: the device is gone
    std::uint32_t program = 0;
};

std::optional<TcxLink> tcx_link_info(int fd) {
    bpf_link_info info = {};
    std::uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return std::nullopt;
    return TcxLink{info.netns.netns_ino, info.prog_id};
}

bpf_tc_hook clsact_hook(std::uint32_t ifindex, TcPoint point) {
    bpf_tc_hook hook = {};
    hook.sz = sizeof(hook);
    hook.ifindex = static_cast<int>(ifindex);
    hook.attach_point = point == TcPoint::ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
    return hook;
}

struct ClsactFilter {
    std::uint32_t handle;
    std::uint32_t program;  // its id
};

// Ours; absent without one.
std::optional<ClsactFilter> clsact_filter(std::uint32_t ifindex, TcPoint point) {
    const bpf_tc_hook hook = clsact_hook(ifindex, point);
    for (const std::uint32_t handle : {kHandleQdiscFound, kHandleQdiscMade}) {
        LIBBPF_OPTS(bpf_tc_opts, options, .handle = handle, .priority = kFilterPriority);
        if (bpf_tc_query(&hook, &options) == 0) return ClsactFilter{handle, options.prog_id};
    }
    return std::nullopt;
}

// libbpf removes the qdisc itself only if both attach points are named.
int remove_clsact(std::uint32_t ifindex) {
    bpf_tc_hook hook = clsact_hook(ifindex, TcPoint::ingress);
    hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
    return bpf_tc_hook_destroy(&hook);
}

// False: this kernel has no tcx.
bool attach_tcx(const Programs& programs, const PinDirectory& pins, std::uint32_t ifindex, TcPoint point) {
    const int program = program_fd(programs, point);
    const std::string pin = pin_name(ifindex, point);
    if (const auto pinned = pins.open(pin)) {
        const auto link = tcx_link_info(pinned->get());
        if (link && link->ifindex == ifindex) {
            if (link->program != program_id(program))
                if (const int result = bpf_link_update(pinned->get(), program, nullptr); result != 0)
                    throw_errno(result, "replace the TC program on " + device_text(ifindex));
            return true;
        }
        pins.unpin(pin);  // of a device that is gone, whose number came again
    }
    // First: it watches source addresses, and lets frames go on, where others' programs may end the chain.
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = point == TcPoint::ingress ? kTcxBefore : 0);
    const Fd link(bpf_link_create(program, static_cast<int>(ifindex),
                                  point == TcPoint::ingress ? kTcxIngress : kTcxEgress, &options));
    if (!link) {
        if (errno == EINVAL) return false;
        throw_errno(errno, "attach the TC program to " + device_text(ifindex));
    }
    pins.pin(link.get(), pin);
    return true;
}

// libxdp (1.3) does not close the descriptors of programs that it looks at. Nothing that it opens here is kept, so what
// is open at the end and was not at the beginning is closed. For a process with one thread.
class CloseWhatIsLeft {
public:
    CloseWhatIsLeft() : before_(open_descriptors()), listed_(!before_.empty()) {}
    ~CloseWhatIsLeft() {
        if (!listed_) return;  // everything would look new
        for (const int fd : open_descriptors())
            if (!before_.contains(fd)) ::close(fd);
    }
    CloseWhatIsLeft(const CloseWhatIsLeft&) = delete;
    CloseWhatIsLeft& operator=(const CloseWhatIsLeft&) = delete;

    void keep(int fd) { before_.insert(fd); }

private:
    // None if they cannot be listed.
    static std::set<int> open_descriptors() {
        std::set<int> fds;
        std::error_code ignored;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", ignored))
            fds.insert(std::stoi(entry.path().filename()));
        // The one that listed them is among them, and free again.
        std::erase_if(fds, [](int fd) { return fcntl(fd, F_GETFD) < 0; });
        return fds;
    }

    std::set<int> before_;
    bool listed_;
};

// What goes for every call of libxdp.
struct Libxdp {
    CloseWhatIsLeft close_what_is_left;
    QuietLibraries quiet;
};

struct MultiprogDeleter {
    void operator()(xdp_multiprog* programs) const { xdp_multiprog__close(programs); }
};
using Multiprog = std::unique_ptr<xdp_multiprog, MultiprogDeleter>;

// What is on the device; null if nothing is.
Multiprog xdp_on(std::uint32_t ifindex) {
    xdp_multiprog* programs = xdp_multiprog__get_from_ifindex(static_cast<int>(ifindex));
    return Multiprog(libxdp_get_error(programs) != 0 ? nullptr : programs);
}

bool is_ours(const xdp_program* program) {
    const char* program_name = program != nullptr ? xdp_program__name(program) : nullptr;
    return program_name != nullptr && std::strcmp(program_name, PROGRAM_XDP) == 0;
}

// Ours among the dispatcher's programs, owned by `programs`.
std::vector<xdp_program*> ours_in(xdp_multiprog* programs) {
    std::vector<xdp_program*> ours;
    for (xdp_program* program = xdp_multiprog__next_prog(nullptr, programs); program != nullptr;
         program = xdp_multiprog__next_prog(program, programs))
        if (is_ours(program)) ours.push_back(program);
    return ours;
}

bpf_program* xdp_program_of(const LoadedXdp& loaded) {
    return bpf_object__find_program_by_name(loaded.object.get(), PROGRAM_XDP);
}

// For the devices to come. To load it takes a quarter of a second.
void keep(Programs& programs, LoadedXdp own, Libxdp& libxdp) {
    CloseWhatIsLeft& left = libxdp.close_what_is_left;
    for (const int fd : {xdp_program__fd(own.program.get()), bpf_program__fd(xdp_program_of(own)),
                         bpf_object__btf_fd(own.object.get())})
        left.keep(fd);
    const bpf_map* map = nullptr;
    bpf_object__for_each_map(map, own.object.get()) left.keep(bpf_map__fd(map));
    programs.loaded_xdp = std::move(own);
}

int attach_natively(xdp_program* program, std::uint32_t ifindex) {
    return xdp_program__attach(program, static_cast<int>(ifindex), XDP_MODE_NATIVE, 0);
}

void attach_by_libxdp(Programs& programs, std::uint32_t ifindex, Libxdp& libxdp) {
    // (What was loaded to replace a single program takes no place in a dispatcher.)
    const LoadedXdp& loaded = programs.loaded_xdp;
    if (loaded.by_libxdp && attach_natively(loaded.program.get(), ifindex) == 0) return;
    LoadedXdp own;
    own.object = programs.open_xdp();
    own.program.reset(xdp_program__from_bpf_obj(own.object.get(), "xdp.frags"));
    if (const long error = libxdp_get_error(own.program.get()); error != 0) {
        static_cast<void>(own.program.release());  // an error, no program
        throw_errno(static_cast<int>(error), "prepare the XDP program");
    }
    const QuietLibraries quiet;
    // libxdp 1.3 does not tell it by the section; refused where the kernel has none.
    xdp_program__set_xdp_frags_support(own.program.get(), true);
    if (const int result = attach_natively(own.program.get(), ifindex); result != 0)
        throw_errno(result, "attach the XDP program to " + device_text(ifindex) + " (native mode)" +
                                (quiet.text().empty() ? "" : ": " + quiet.text().substr(0, quiet.text().find('\n'))));
    if (loaded.by_libxdp) return;
    own.by_libxdp = true;
    keep(programs, std::move(own), libxdp);
}

// One program without a dispatcher is replaced in one step by netlink.
void replace_single(Programs& programs, std::uint32_t ifindex, int old_fd, Libxdp& libxdp) {
    const auto replace = [&](int fd) {
        LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = old_fd);
        return bpf_xdp_attach(static_cast<int>(ifindex), fd, XDP_FLAGS_DRV_MODE | XDP_FLAGS_REPLACE, &options);
    };
    const LoadedXdp& loaded = programs.loaded_xdp;
    if (loaded.program && replace(xdp_program__fd(loaded.program.get())) == 0) return;
    LoadedXdp own;
    own.object = programs.open_xdp();
    const QuietLibraries quiet;
    if (const int result = bpf_object__load(own.object.get()); result != 0) throw_errno(result, "load the XDP program");
    const int fd = bpf_program__fd(xdp_program_of(own));
    if (const int result = replace(fd); result != 0)
        throw_errno(result, "replace the XDP program on " + device_text(ifindex));
    if (loaded.program) return;
    own.program.reset(xdp_program__from_fd(fd));
    if (libxdp_get_error(own.program.get()) != 0) return static_cast<void>(own.program.release());
    keep(programs, std::move(own), libxdp);
}

}  // namespace

void XdpProgramDeleter::operator()(xdp_program* program) const noexcept {
    xdp_program__close(program);
}

const char* name(TcMethod method) {
    return method == TcMethod::tcx ? "tcx" : "clsact";
}
const char* name(XdpMethod method) {
    return method == XdpMethod::dispatcher ? "dispatcher" : "single";
}

TcMethod attach_tc(const Programs& programs, const PinDirectory& pins, std::uint32_t ifindex, TcPoint point) {
    if (attach_tcx(programs, pins, ifindex, point)) return TcMethod::tcx;
    const QuietLibraries quiet;
    bpf_tc_hook hook = clsact_hook(ifindex, point);
    const auto there = clsact_filter(ifindex, point);
    const int made = bpf_tc_hook_create(&hook);
    if (made != 0 && made != -EEXIST) throw_errno(made, "make the clsact qdisc on " + device_text(ifindex));
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program_fd(programs, point), .flags = BPF_TC_F_REPLACE,
                .handle = kHandleQdiscFound, .priority = kFilterPriority);
    if (made == 0)
        options.handle = kHandleQdiscMade;
    else if (there)
        options.handle = there->handle;
    if (const int result = bpf_tc_attach(&hook, &options); result != 0) {
        if (made == 0) remove_clsact(ifindex);
        throw_errno(result, "attach the TC program to " + device_text(ifindex));
    }
    return TcMethod::clsact;
}

void detach_tc(const PinDirectory& pins, std::uint32_t ifindex, TcPoint point, bool alone) {
    const QuietLibraries quiet;
    pins.unpin(pin_name(ifindex, point));
    const auto filter = clsact_filter(ifindex, point);
    if (!filter) return;
    bpf_tc_hook hook = clsact_hook(ifindex, point);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = filter->handle, .priority = kFilterPriority);
    if (const int result = bpf_tc_detach(&hook, &options); result != 0 && result != -ENOENT && result != -ENODEV)
        throw_errno(result, "detach the TC program from " + device_text(ifindex));
    if (!alone || filter->handle != kHandleQdiscMade) return;
    if (const int result = remove_clsact(ifindex); result != 0 && result != -ENOENT && result != -ENODEV)
        throw_errno(result, "remove the clsact qdisc from " + device_text(ifindex));
}

bool tc_is_attached(const Programs& programs, const PinDirectory& pins, std::uint32_t ifindex, TcPoint point) {
    const QuietLibraries quiet;
    const std::uint32_t id = program_id(program_fd(programs, point));
    if (const auto pinned = pins.open(pin_name(ifindex, point))) {
        const auto link = tcx_link_info(pinned->get());
        return link && link->ifindex == ifindex && link->program == id;
    }
    const auto filter = clsact_filter(ifindex, point);
    return filter && filter->program == id;
}

std::vector<std::uint32_t> pinned_tc_devices(const PinDirectory& pins, TcPoint point) {
    const std::string_view prefix = pin_prefix(point);
    std::vector<std::uint32_t> devices;
    for (const auto& pin : pins.names()) {
        if (!pin.starts_with(prefix)) continue;
        const std::string_view number = std::string_view(pin).substr(prefix.size());
        std::uint32_t ifindex = 0;
        const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), ifindex);
        if (error == std::errc() && end == number.data() + number.size()) devices.push_back(ifindex);
    }
    return devices;
}

std::vector<std::uint32_t> tcx_programs(std::uint32_t ifindex, bool ingress) {
    std::vector<std::uint32_t> ids(64);  // the kernel's own limit
    auto count = static_cast<std::uint32_t>(ids.size());
    // libbpf 1.1's wrapper of BPF_PROG_QUERY takes an ifindex where other types take a descriptor.
    if (bpf_prog_query(static_cast<int>(ifindex), ingress ? kTcxIngress : kTcxEgress, 0, nullptr, ids.data(), &count) !=
        0)
        count = 0;
    ids.resize(count);
    return ids;
}

XdpMethod attach_xdp(Programs& programs, std::uint32_t ifindex) {
    Libxdp libxdp;
    const Multiprog before = xdp_on(ifindex);
    if (before && xdp_multiprog__is_legacy(before.get())) {
        const xdp_program* main = xdp_multiprog__main_prog(before.get());
        if (!is_ours(main))
            throw_errno(EBUSY, "attach the XDP program to " + device_text(ifindex) +
                                   ": another XDP program is there that does not share the device");
        replace_single(programs, ifindex, xdp_program__fd(main), libxdp);
        return XdpMethod::single;
    }
    // In a dispatcher the new one joins before the old one leaves: for a moment a frame may pass both, never none.
    std::vector<xdp_program*> old;
    if (before) old = ours_in(before.get());
    const auto is_loaded = [&](const xdp_program* program) {
        return programs.loaded_xdp.program &&
               xdp_program__id(program) == xdp_program__id(programs.loaded_xdp.program.get());
    };
    if (std::erase_if(old, is_loaded) == 0) attach_by_libxdp(programs, ifindex, libxdp);
    if (!old.empty())
        if (const int result =
                xdp_program__detach_multi(old.data(), old.size(), static_cast<int>(ifindex), XDP_MODE_NATIVE, 0);
            result != 0)
            throw_errno(result, "detach the earlier XDP program from " + device_text(ifindex));
    const Multiprog after = xdp_on(ifindex);
    return after && !xdp_multiprog__is_legacy(after.get()) ? XdpMethod::dispatcher : XdpMethod::single;
}

void detach_xdp(std::uint32_t ifindex) {
    const Libxdp libxdp;
    const Multiprog on = xdp_on(ifindex);
    if (!on) return;
    if (xdp_multiprog__is_legacy(on.get())) {
        xdp_program* main = xdp_multiprog__main_prog(on.get());
        if (!is_ours(main)) return;
        LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = xdp_program__fd(main));
        if (const int result =
                bpf_xdp_detach(static_cast<int>(ifindex), XDP_FLAGS_DRV_MODE | XDP_FLAGS_REPLACE, &options);
            result != 0 && result != -ENODEV)
            throw_errno(result, "detach the XDP program from " + device_text(ifindex));
        return;
    }
    auto ours = ours_in(on.get());
    if (ours.empty()) return;
    if (const int result =
            xdp_program__detach_multi(ours.data(), ours.size(), static_cast<int>(ifindex), XDP_MODE_NATIVE, 0);
        result != 0 && result != -ENODEV)
        throw_errno(result, "detach the XDP program from " + device_text(ifindex));
}

bool xdp_is_attached(std::uint32_t ifindex) {
    const Libxdp libxdp;
    const Multiprog on = xdp_on(ifindex);
    if (!on) return false;
    return xdp_multiprog__is_legacy(on.get()) ? is_ours(xdp_multiprog__main_prog(on.get()))
                                              : !ours_in(on.get()).empty();
}

bool xdp_is_foreign(std::uint32_t ifindex) {
    const Libxdp libxdp;
    const Multiprog on = xdp_on(ifindex);
    return on && xdp_multiprog__is_legacy(on.get()) && !is_ours(xdp_multiprog__main_prog(on.get()));
}

int tcx_answer() {
    std::uint32_t count = 0;
    constexpr int kLoopback = 1;  // the first device of every namespace
    return bpf_prog_query(kLoopback, kTcxIngress, 0, nullptr, nullptr, &count);
}

}  // namespace underpass
