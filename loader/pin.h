// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The directory in the BPF file system that holds what outlives a daemon: maps and TC links of one network namespace,
// /sys/fs/bpf/underpass/<inode of the namespace>/, mode 0700.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "loader/fd.h"

namespace underpass {

class PinDirectory {
public:
    // The directory of the calling thread's network namespace. Touches nothing.
    static PinDirectory of_this_namespace();

    // Mounts the BPF file system if there is none and makes the directory. Throws std::system_error.
    void create() const;
    // Removes every pin in it, then the directory, and the common parent if that is empty. What the pins held goes.
    void remove() const;
    bool exists() const;

    // Absent if nothing is pinned under that name.
    std::optional<Fd> open(const std::string& name) const;
    // Replaces an earlier pin of that name in one step.
    void pin(int fd, const std::string& name) const;
    void unpin(const std::string& name) const;  // an absent pin is no error
    std::vector<std::string> names() const;

    const std::filesystem::path& path() const { return path_; }

private:
    explicit PinDirectory(std::filesystem::path path) : path_(std::move(path)) {}

    std::filesystem::path path_;
};

// The number by which the calling thread's network namespace is known: the inode of its /proc/.../ns/net.
std::uint64_t network_namespace_inode();

}  // namespace underpass
