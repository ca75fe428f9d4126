// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "loader/pin.h"

#include <bpf/bpf.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "loader/directory.h"
#include "loader/error.h"

namespace underpass {

namespace {

const std::filesystem::path kBpfFs = "/sys/fs/bpf";

bool is_bpf_fs(const std::filesystem::path& path) {
    struct statfs info = {};
    return statfs(path.c_str(), &info) == 0 && static_cast<std::uint64_t>(info.f_type) == BPF_FS_MAGIC;
}

}  // namespace

std::uint64_t network_namespace_inode() {
    struct stat info = {};
    if (stat("/proc/thread-self/ns/net", &info) != 0) throw_errno(errno, "stat /proc/thread-self/ns/net");
    return info.st_ino;
}

PinDirectory PinDirectory::of_this_namespace() {
    return PinDirectory(kBpfFs / "underpass" / std::to_string(network_namespace_inode()));
}

void PinDirectory::create() const {
    if (!is_bpf_fs(kBpfFs) && mount("bpf", kBpfFs.c_str(), "bpf", 0, "mode=0700") != 0)
        throw_errno(errno, "mount the BPF file system at " + kBpfFs.string());
    make_directory(path_);
}

void PinDirectory::remove() const {
    for (const auto& name : names()) unpin(name);
    rmdir(path_.c_str());
    rmdir(path_.parent_path().c_str());  // stays while another namespace has pins
}

bool PinDirectory::exists() const {
    return access(path_.c_str(), F_OK) == 0;
}

std::optional<Fd> PinDirectory::open(const std::string& name) const {
    Fd fd(bpf_obj_get((path_ / name).c_str()));
    return fd ? std::optional<Fd>(std::move(fd)) : std::nullopt;
}

void PinDirectory::pin(int fd, const std::string& name) const {
    const auto fresh = path_ / (name + "-new");
    const auto final = path_ / name;
    unpin(name + "-new");
    if (std::filesystem::is_directory(final)) unpin(name);
    if (const int result = bpf_obj_pin(fd, fresh.c_str()); result != 0) throw_errno(result, "pin " + final.string());
    if (rename(fresh.c_str(), final.c_str()) != 0) {
        const int code = errno;
        unlink(fresh.c_str());
        throw_errno(code, "pin " + final.string());
    }
}

void PinDirectory::unpin(const std::string& name) const {
    // A directory is nobody's pin, and would be in the way of ours.
    std::error_code code;
    std::filesystem::remove_all(path_ / name, code);
    if (code) throw std::system_error(code, "unlink " + (path_ / name).string());
}

std::vector<std::string> PinDirectory::names() const {
    std::vector<std::string> names;
    std::error_code ignored;  // a directory that is not there has no names
    for (const auto& entry : std::filesystem::directory_iterator(path_, ignored))
        names.push_back(entry.path().filename());
    return names;
}

}  // namespace underpass
