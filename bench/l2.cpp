// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/l2.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace underpass::bench {

namespace {

void run_one(Runner& runner, Job job, Hook hook) {
    if (runner.wants(job.case_name)) runner.run({std::move(job)}, hook);
}

void measure_wires(Runner& runner, const RunOptions& options, const Topology& topology, std::uint16_t bytes) {
    for (const Hook hook : {Hook::xdp, Hook::tc})
        run_one(runner,
                {.topology = topology,
                 .ports = Ports::wires,
                 .case_name = fmt::format("frames-{}", bytes),
                 .sides = kSides,
                 .measure = [&](const std::string&, const Add& add) { measure_frames(topology, bytes, options, add); },
                 .generator = generator_of(options)},
                hook);
}

}  // namespace

const std::vector<std::string>& l2_cases() {
    static const std::vector<std::string> cases = {"frames-60", "frames-1500"};
    return cases;
}

void run_l2(const RunOptions& options, Report& report) {
    Runner runner("l2", options, report);
    const Topology topology(Ports::wires);
    for (const std::uint16_t bytes : std::array<std::uint16_t, 2>{60, 1500})
        measure_wires(runner, options, topology, bytes);
}

}  // namespace underpass::bench
