// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Underpass's daemon in a topology's bridge namespace: the commands that reach it, and what it is asked about.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bench/process.h"
#include "bench/topology.h"

namespace underpass::bench {

// `underpass` of this build, with these words, in a host's namespace. Its output. Throws what it says if it fails.
std::string run_underpass(const lab::Namespace& host, const std::vector<std::string>& words,
                          bool stop_on_interrupt = true);

// A daemon that has room for so many flows; `up` then finds it. Returns when it runs; it ends with the object.
Process start_daemon(const Topology& topology, std::uint32_t flows);

// Frames since the programs were attached.
struct FastAndSlow {
    std::uint64_t fast = 0;
    std::map<std::string, std::uint64_t> slow;  // by reason, named as in `status --json`

    std::uint64_t all() const;
};
FastAndSlow counted_by_daemon(const Topology& topology);
// As that, of both hosts of a tunnel, and fast is only what went into the tunnel or out of it in one step.
FastAndSlow tunnelled_by_daemon(const Topology& topology, Ports ports);

// Of the daemon that runs there: its own memory, and what the kernel accounts for the maps that it has open.
struct DaemonMemory {
    std::uint64_t resident_bytes = 0;
    std::uint64_t map_bytes = 0;
};
DaemonMemory memory_of_daemon(const Topology& topology);

// Of the daemon that runs there.
int pid_of_daemon(const Topology& topology);
// CPU time that a process has taken, all its threads, in ns. Throws std::system_error.
std::uint64_t cpu_ns_of(int pid);

}  // namespace underpass::bench
