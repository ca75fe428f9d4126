// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a guest boots from: an archive of busybox, the kernel's modules for its network device, and scripts that set it
// up and then answer commands at its second serial port. Pure: bytes in, bytes out.
//
// A request is a line "NONCE COMMAND NONCE", the command as quote_words() writes it; a line that was cut off lacks the
// second nonce and is dropped. The answer is a line break, the line "NONCE STATUS SIZE" and SIZE bytes of output. The
// nonce is new for every request, so nothing that a command prints, and no rest of an earlier answer, passes for one.
// A request ends the command of the one before if that still runs; the start of what that has printed is then in
// kUnfinished.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace underpass::lab {

struct ArchiveEntry {
    std::string path;        // without a leading '/'; directories before what is in them
    std::uint32_t mode = 0;  // with its type: S_IFDIR, S_IFREG, S_IFLNK (the content is then its target)
    std::string content;
};

// A cpio archive in the form "newc", as the kernel unpacks it; all of root, from 1970.
std::string cpio_archive(const std::vector<ArchiveEntry>& entries);

// The files to load for these modules, each after those that it needs, from the texts of modules.dep and
// modules.builtin. One that is built in needs no file. Throws std::runtime_error for one that the kernel has not.
std::vector<std::string> module_files(const std::vector<std::string>& wanted, std::string_view dep,
                                      std::string_view builtin);

// Whether an ELF program for x86-64 runs without any library. False for all else.
bool is_static_program(std::string_view file);

struct GuestFiles {
    std::string busybox;
    std::vector<std::string> modules;  // contents, in the order of loading
    std::string setup;                 // a shell script; what fails in it ends the guest
};

std::string guest_archive(const GuestFiles& files);
// What the guest's console shows once it answers.
constexpr std::string_view kGuestReady = "underpass: the guest is ready";
constexpr const char* kUnfinished = "/guest/unfinished";

// Words as the guest's shell takes them apart again, whatever is in them, on one line of plain characters.
std::string quote_words(const std::vector<std::string>& words);

struct GuestAnswer {
    int status = 0;
    std::string output;  // standard output and error together
};

std::string guest_request(std::string_view nonce, std::string_view command);
// Absent as long as `received` does not have all of it.
std::optional<GuestAnswer> find_answer(std::string_view received, std::string_view nonce);

}  // namespace underpass::lab
