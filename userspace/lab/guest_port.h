// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The wire to the commands of a guest (initramfs.h): its second serial port, which is a Unix socket here.
//
// One caller at a time has it; a file that exists as long as the guest has its socket is the lock.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "lab/initramfs.h"
#include "loader/fd.h"

namespace underpass::lab {

class GuestPort {
public:
    // Waits so long for another caller. Throws std::runtime_error if it is there still, or the guest is not.
    GuestPort(const std::string& guest, const std::filesystem::path& lock, const std::filesystem::path& socket,
              std::chrono::milliseconds time);

    // Absent: not within `time`; the next request then ends the command. Throws std::runtime_error if the guest ends
    // meanwhile, or Interrupted.
    std::optional<GuestAnswer> ask(const std::string& command, std::chrono::milliseconds time);

private:
    void take(const std::filesystem::path& lock, std::chrono::milliseconds time);
    void connect(const std::filesystem::path& socket);
    void send(std::string_view& unsent) const;
    void receive();
    [[noreturn]] void fail(const std::string& what) const;

    std::string guest_;
    Fd lock_, socket_;
    std::string received_;
    std::random_device random_;
};

}  // namespace underpass::lab
