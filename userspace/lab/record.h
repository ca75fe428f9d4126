// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is known of the labs that are up, or were being built when something ended it: files below /run/underpass/labs.
//
// A lab's record is a journal: a line before each thing that is taken and one after it, so whatever kills the builder,
// the next `down` finds everything and touches nothing else. It goes with a reboot, as the namespaces do; where /run
// does not, the journal names the boot that it is about.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lab/namespace.h"
#include "loader/fd.h"

namespace underpass::lab {

struct Record {
    std::string lab;
    std::string source;  // the file or model that it is of, for people
    std::string text;    // of that file, as it was
    // Said on the command line, beside the file; empty: the file's own.
    std::string name_override, accelerate_override;
    bool this_boot = true;
    std::chrono::system_clock::time_point begun;
    bool complete = false;  // it is up
    struct Space {
        std::string name;
        std::optional<std::uint64_t> identity;  // absent: it was about to be made
    };
    std::vector<Space> spaces;

    bool same_as(const Record& other) const {
        return text == other.text && name_override == other.name_override &&
               accelerate_override == other.accelerate_override;
    }
};

// The directory of one lab, for whoever holds its lock.
class LabDirectory {
public:
    // Throws std::runtime_error if another command is at work on the lab.
    explicit LabDirectory(const std::string& lab);

    const std::filesystem::path& path() const { return path_; }  // guests have their files here too
    std::optional<Record> read() const;

    void begin(const Record& record) const;
    void making(const std::string& name) const;
    void made(const Namespace& space) const;
    void complete() const;
    // With everything in it, the lock last.
    void remove() const;

private:
    void clear() const;  // all but the lock
    void append(const std::string& line) const;

    std::filesystem::path path_;
    Fd lock_;
};

// Tells it from every other one of this boot. (The inode does not: the kernel uses its number again.)
std::uint64_t identity_of(const Namespace& space);

// Without the lock, for those who only look. Absent: there is no such lab.
std::optional<Record> read_record(const std::string& lab);
// By name.
std::vector<Record> read_records();
std::filesystem::path directory_of(const std::string& lab);

}  // namespace underpass::lab
