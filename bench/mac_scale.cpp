// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/mac_scale.h"

#include <fmt/format.h>

#include <stdexcept>

#include "bench/daemon.h"
#include "lab/interrupt.h"

namespace underpass::bench {

namespace {

using std::chrono::milliseconds;

constexpr const char* kScenario = "mac-scale";
constexpr std::uint16_t kBytes = 60;
constexpr std::uint16_t kFlows = 4;
constexpr milliseconds kWarmUp(200);
// The daemon reads what the bridge learnt.
constexpr milliseconds kRound(100), kMostRounds(20000);
constexpr double kFast = 0.95;

struct Case {
    const char* name;
    std::uint16_t pairs;
};

const std::vector<Case>& cases() {
    static const std::vector<Case> all = {{"macs-256", 128}, {"macs-1024", 512}, {"macs-65536", 32768}};
    return all;
}

// Until Underpass takes nearly all of the frames: it has to read so many entries first, and each host has to be seen
// once more after that. How long that takes is not what is measured here.
void settle(Traffic& traffic, const Topology& topology, const Case& each) {
    for (milliseconds passed(0); passed < kMostRounds; passed += kRound) {
        const FastAndSlow before = counted_by_daemon(topology);
        traffic.learn();
        const FastAndSlow now = counted_by_daemon(topology);
        const auto fast = static_cast<double>(now.fast - before.fast);
        if (fast >= kFast * static_cast<double>(now.all() - before.all())) return;
        lab::pause_for(kRound);
    }
    throw std::runtime_error(fmt::format("{}: Underpass does not know all of the hosts", each.name));
}

void measure(const Topology& topology, const Case& each, const std::string& side, const RunOptions& options,
             const Add& add) {
    Traffic traffic(topology, kBytes, each.pairs, kFlows, usable_cpus() - 1);
    traffic.learn();
    const bool underpass = side == "underpass";
    if (underpass) settle(traffic, topology, each);
    traffic.forward({kWarmUp, 0, options.generator});
    const FastAndSlow before = underpass ? counted_by_daemon(topology) : FastAndSlow{};
    const auto passed = traffic.forward({options.time, 0, options.generator});
    if (passed.received == 0) throw std::runtime_error(fmt::format("{}: no frame came out", each.name));
    const auto received = static_cast<double>(passed.received);
    add("frames", "frames/s", received / passed.seconds);
    add("CPU per frame", "ns", passed.busy_seconds * 1e9 / received);
    if (underpass) {
        const FastAndSlow now = counted_by_daemon(topology);
        add("went fast", "%",
            100.0 * static_cast<double>(now.fast - before.fast) / static_cast<double>(now.all() - before.all()));
    }
    add_no_drop_rate([&](const Load& load) { return traffic.forward(load); }, options, add);
}

}  // namespace

const std::vector<std::string>& mac_scale_cases() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const Case& each : cases()) all.emplace_back(each.name);
        return all;
    }();
    return names;
}

void run_mac_scale(const RunOptions& options, Report& report) {
    Runner runner(kScenario, options, report);
    report.compare_with(kScenario, cases().front().name);
    report.note(kScenario, fmt::format("Frames of {} bytes of so many MACs, half of them at either end, of one pair "
                                       "after another. The limit looks no MAC up.",
                                       kBytes));
    const Topology topology(Ports::wires);
    std::vector<Job> jobs;
    for (const Case& each : cases())
        if (runner.wants(each.name))
            jobs.push_back({.topology = topology,
                            .ports = Ports::wires,
                            .case_name = each.name,
                            .sides = kSides,
                            .measure = [&](const std::string& side,
                                           const Add& add) { measure(topology, each, side, options, add); },
                            .fast_share = 0,
                            .generator = generator_of(options)});
    for (const Hook hook : {Hook::xdp, Hook::tc}) runner.run(jobs, hook);
}

}  // namespace underpass::bench
