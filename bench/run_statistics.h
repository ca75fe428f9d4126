// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The kernel's run time statistics of BPF programs: how often they ran, and how long that took.
#pragma once

#include <cstdint>
#include <vector>

#include "loader/fd.h"

namespace underpass::bench {

// They are kept as long as one lives, for all programs of the machine, each run of which takes longer by that.
class RunStatistics {
public:
    // Throws std::system_error.
    RunStatistics();

private:
    Fd on_;
};

struct RunTime {
    std::uint64_t ns = 0;
    std::uint64_t runs = 0;

    // Mean since `before`; 0 if there was no run.
    double mean_since(const RunTime& before) const;
};
// Of a program, by a descriptor.
RunTime run_time_of(int program);

// Descriptors of those with this name that use that map, wherever they are attached.
std::vector<Fd> programs_on(const char* name, int map);
// Of what is attached to the device on the hook XDP.
Fd xdp_program_of(std::uint32_t ifindex);

}  // namespace underpass::bench
