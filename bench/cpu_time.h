// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// CPU time that a measurement cost, whoever spent it: processes, softirq and ksoftirqd alike.
//
// From /proc/stat: the time that passed less what the CPUs were idle, waiting for I/O or taken by the hypervisor. Idle
// time is kept exactly by a tickless kernel, busy time only by ticks; so the difference is the better figure. Its unit
// is 10 ms: over a second on one CPU that is 1 %.
#pragma once

#include <chrono>
#include <vector>

namespace underpass::bench {

class CpuTime {
public:
    // Starts now. `cpus`: which to watch; empty: all.
    explicit CpuTime(std::vector<int> cpus = {});
    // Seconds since construction that the watched CPUs were busy, added up.
    double busy_seconds() const;

private:
    struct Reading {
        std::chrono::steady_clock::time_point when;
        double unused_seconds = 0;
        int cpus = 0;
    };
    Reading read() const;

    std::vector<int> cpus_;
    Reading start_;
};

}  // namespace underpass::bench
