// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/l2.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "bench/talk_figures.h"

namespace underpass::bench {

namespace {

void run_one(Runner& runner, Job job, Hook hook) {
    if (runner.wants(job.case_name)) runner.run({std::move(job)}, hook);
}

void measure_wires(Runner& runner, const RunOptions& options, const Topology& topology, std::uint16_t bytes) {
    for (const Hook hook : {Hook::xdp, Hook::tc})
        run_one(runner,
                {topology, Ports::wires, fmt::format("frames-{}", bytes), kSides,
                 [&](const std::string&, const Add& add) { measure_frames(topology, bytes, options, add); }},
                hook);
}

void measure_containers(Runner& runner, const RunOptions& options) {
    const Topology topology(Ports::containers);
    const int last = usable_cpus() - 1;
    const Ends ends = {{topology.end(Ports::containers, Side::left).there.fd(), 0},
                       {topology.end(Ports::containers, Side::right).there.fd(), last},
                       Topology::address(Side::right)};
    const auto run = [&](const char* case_name, const Measure& measure) {
        run_one(runner, {topology, Ports::containers, case_name, kSides, measure}, Hook::tc);
    };
    run("tcp-bulk", [&](const std::string&, const Add& add) { add_bulk(ends, options, add); });
    for (const Protocol protocol : {Protocol::tcp, Protocol::udp})
        run(protocol == Protocol::tcp ? "tcp-rr" : "udp-rr",
            [&](const std::string&, const Add& add) { add_request_response(protocol, ends, options, add); });
    run("udp-small", [&](const std::string&, const Add& add) { add_small_frames(ends, options, add); });
}

}  // namespace

const std::vector<std::string>& l2_cases() {
    static const std::vector<std::string> cases = {"frames-60", "frames-1500", "tcp-bulk",
                                                   "tcp-rr",    "udp-rr",      "udp-small"};
    return cases;
}

Report run_l2(const RunOptions& options) {
    Runner runner("l2", options);
    if (runner.wants("frames-60") || runner.wants("frames-1500")) {
        const Topology topology(Ports::wires);
        for (const std::uint16_t bytes : std::array<std::uint16_t, 2>{60, 1500})
            measure_wires(runner, options, topology, bytes);
    }
    measure_containers(runner, options);
    return runner.take();
}

}  // namespace underpass::bench
