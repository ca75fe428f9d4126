// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>

#include "lab/link.h"
#include "loader/error.h"

namespace underpass::lab {

namespace {

constexpr const char* kDirectory = "/run/netns";
constexpr const char* kOwnNamespace = "/proc/thread-self/ns/net";

std::string path_of(const std::string& name) {
    return std::string(kDirectory) + '/' + name;
}

// As iproute2 does: the directory becomes a mount of its own, shared, so that a mount or unmount in it reaches the
// mount namespaces of other processes, and no namespace stays alive in one that was forgotten.
void share_directory() {
    if (::mkdir(kDirectory, 0755) != 0 && errno != EEXIST) throw_errno(errno, "make /run/netns");
    if (::mount("", kDirectory, "none", MS_SHARED | MS_REC, nullptr) == 0) return;
    // EINVAL: not a mount point yet.
    if (errno != EINVAL || ::mount(kDirectory, kDirectory, "none", MS_BIND | MS_REC, nullptr) != 0 ||
        ::mount("", kDirectory, "none", MS_SHARED | MS_REC, nullptr) != 0)
        throw_errno(errno, "share the mount /run/netns");
}

Fd open_path(const std::string& path, const std::string& what) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) throw_errno(errno, what);
    return fd;
}

}  // namespace

Namespace Namespace::create(const std::string& name) {
    const std::string path = path_of(name);
    const std::string what = "create the network namespace " + name;
    share_directory();
    const Fd place(::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0));
    if (!place) throw_errno(errno, what);
    // A thread of its own makes it, so that the caller never leaves where it is.
    std::exception_ptr failure;
    std::thread([&] {
        try {
            if (::unshare(CLONE_NEWNET) != 0) throw_errno(errno, what);
            if (::mount(kOwnNamespace, path.c_str(), "none", MS_BIND, nullptr) != 0) throw_errno(errno, what);
            set_up("lo");
        } catch (...) {
            failure = std::current_exception();
        }
    }).join();
    if (failure) {
        remove(name);
        std::rethrow_exception(failure);
    }
    return {name, open_path(path, "open the network namespace " + name), true};
}

Namespace Namespace::open(const std::string& name) {
    return {name, open_path(path_of(name), "open the network namespace " + name), false};
}

void Namespace::remove(const std::string& name) {
    const std::string path = path_of(name);
    ::umount2(path.c_str(), MNT_DETACH);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno(errno, "remove the network namespace " + name);
}

Namespace::~Namespace() {
    if (!owned_) return;
    ::umount2(path().c_str(), MNT_DETACH);
    ::unlink(path().c_str());
}

std::string Namespace::path() const {
    return path_of(name_);
}

std::uint64_t Namespace::inode() const {
    struct stat status = {};
    if (::fstat(fd(), &status) != 0) throw_errno(errno, "look at the network namespace " + name_);
    return status.st_ino;
}

Inside::Inside(const Namespace& there) : before_(open_path(kOwnNamespace, "open the thread's network namespace")) {
    if (::setns(there.fd(), CLONE_NEWNET) != 0) throw_errno(errno, "enter the network namespace " + there.name());
}

Inside::~Inside() {
    if (::setns(before_.get(), CLONE_NEWNET) == 0) return;
    std::perror("return to the network namespace that the thread came from");
    std::abort();
}

}  // namespace underpass::lab
