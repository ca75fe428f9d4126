// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Guests: virtual machines under QEMU, of Debian's kernel and busybox, whose device eth0 is at a tap.
//
// A guest is known by its directory and its name: there is a QEMU whose command line names the socket NAME.sock there.
// It outlives whoever started it. A TCP echo server answers at its port 7. Whatever waits throws Interrupted, too.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lab/initramfs.h"
#include "lab/spec.h"

namespace underpass::lab {

struct GuestKernel {
    std::string version;
    std::filesystem::path image, modules;  // ROOT/boot/vmlinuz-VERSION, ROOT/lib/modules/VERSION
};

// The newest in $UNDERPASS_GUEST_ROOT, else in "/". Throws std::runtime_error if there is none.
GuestKernel find_guest_kernel();
// What else a guest needs, so that it can be said before anything is made. Throws std::runtime_error.
void check_guest_programs();

// With less, Debian's kernel does not even begin.
constexpr std::uint32_t kLeastGuestMemory = 96;  // MiB

struct GuestOptions {
    std::string name;
    std::uint32_t memory_mib = 128;
    std::string tap;  // in the calling thread's network namespace
    MacAddr mac;
    std::vector<IpPrefix> addresses;
    std::vector<Route> routes;  // one without `via` and `dev` is by eth0
    std::optional<std::uint32_t> mtu;
};

// Starts it in the calling thread's network namespace; it boots on after the return. In `directory` it has
// NAME.console.log, what its kernel and its first process say, and NAME.sock. With KVM where the machine has it.
void start_guest(const GuestKernel& kernel, const GuestOptions& options, const std::filesystem::path& directory);

// Until it answers commands. Throws std::runtime_error, with the end of its console, when it has ended or after `time`.
void wait_for_guest(const std::filesystem::path& directory, const std::string& name, std::chrono::milliseconds time);

// Runs a command in it, without input. If its end and all its output (some 100 kB a second where the machine is
// emulated, 20 % of its memory at most) are not there after `time`, it is ended: then status 124, and the first 32 KiB.
// One command runs at a time: another caller's is waited for, as long again. What a command left in the background
// lives on. Throws std::runtime_error if there is no such guest or it does not answer.
GuestAnswer run_in_guest(const std::filesystem::path& directory, const std::string& name,
                         const std::vector<std::string>& command, std::chrono::milliseconds time);

bool guest_runs(const std::filesystem::path& directory, const std::string& name);

// Those that are, or were about to be: whoever has a file there.
std::set<std::string> guests_in(const std::filesystem::path& directory);

// Ends it at once and removes its files. An absent one is no error.
void stop_guest(const std::filesystem::path& directory, const std::string& name);

}  // namespace underpass::lab
