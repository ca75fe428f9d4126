// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The daemon: one per network namespace, an epoll loop around the engine and the control socket.
//
// SIGTERM and SIGINT take everything away. SIGHUP reads the configuration again and executes the program file anew: a
// newer build adopts what is attached, without a gap. A daemon that dies leaves its programs in place; they pass every
// frame to the kernel once the heartbeat is old, and the next daemon adopts them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "sync/config.h"

namespace underpass {

inline constexpr std::string_view kReady = "ready";
inline constexpr std::string_view kLocked = "another daemon runs";

struct DaemonOptions {
    std::optional<std::filesystem::path> config;
    std::optional<HookChoice> all;  // from --all on the command line
    bool rxvlan_off = false;        // devices that strip VLAN tags may be told not to
    // Started by `up`: logs to a file, and ends when nothing is left to accelerate.
    bool background = false;
    // Where to say kReady, kLocked, or the reason why not. -1: nowhere.
    int ready_fd = -1;
    std::string version;
};

// Runs until a signal or, in the background, until nothing is left to do. Throws for what stands in its way at the
// start: another daemon, no privilege, a kernel without the features, a broken configuration.
void run_daemon(const DaemonOptions& options);

}  // namespace underpass
