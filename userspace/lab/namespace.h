// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A network namespace with a name, as `ip netns add` makes it: a bind mount under /run/netns, on a mount that other
// mount namespaces share, so that `ip netns exec NAME` and `nsenter --net=/run/netns/NAME` find it.
//
// One that was created here is removed by the destructor, unless it is kept; one that was opened is only closed. What
// lives in it (veths, bridges) goes with it once no process, socket or descriptor holds it any more.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "loader/fd.h"

namespace underpass::lab {

class Namespace {
public:
    // Makes it, with `lo` up inside. Throws std::system_error (EEXIST: the name is taken).
    static Namespace create(const std::string& name);
    // One that is there already. Throws std::system_error.
    static Namespace open(const std::string& name);
    // Takes the name away, for what an earlier run left behind; an absent one is no error.
    static void remove(const std::string& name);

    Namespace(Namespace&& other) noexcept
        : name_(std::move(other.name_)), fd_(std::move(other.fd_)), owned_(std::exchange(other.owned_, false)) {}
    Namespace& operator=(Namespace&& other) noexcept {
        std::swap(name_, other.name_);
        std::swap(fd_, other.fd_);
        std::swap(owned_, other.owned_);
        return *this;
    }
    Namespace(const Namespace&) = delete;
    Namespace& operator=(const Namespace&) = delete;
    ~Namespace();

    int fd() const noexcept { return fd_.get(); }
    const std::string& name() const noexcept { return name_; }
    // For commands that take a path: /run/netns/NAME.
    std::string path() const;
    // Tells it from every other one that is there now, whatever their names. Throws std::system_error.
    std::uint64_t inode() const;
    // From now on it outlives this object: whoever takes it away calls remove().
    void keep() noexcept { owned_ = false; }

    // Calls `work` with the calling thread inside, and brings the thread back whatever happens.
    template <class Work>
    decltype(auto) run(Work&& work) const;

private:
    Namespace(std::string name, Fd fd, bool owned) noexcept
        : name_(std::move(name)), fd_(std::move(fd)), owned_(owned) {}

    std::string name_;
    Fd fd_;
    bool owned_;
};

// The calling thread is inside a namespace while this object lives. It belongs on the stack of that thread.
class Inside {
public:
    explicit Inside(const Namespace& there);
    // A thread that cannot return would go on in the wrong network: then the process ends.
    ~Inside();
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

private:
    Fd before_;
};

template <class Work>
decltype(auto) Namespace::run(Work&& work) const {
    const Inside inside(*this);
    return std::forward<Work>(work)();
}

}  // namespace underpass::lab
