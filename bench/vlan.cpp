// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/vlan.h"

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <stdexcept>

namespace underpass::bench {

namespace {

constexpr std::uint16_t kBytes = 60;
constexpr const char* kUntagged = "untagged";

constexpr const char* kFiltering =
    "The kernel's bridge has VLAN filtering: both its side and Underpass's are that bridge.";
constexpr const char* kNoFiltering =
    "This kernel has no VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING), so its own side is missing. Underpass with "
    "VLANs "
    "is its programs, with maps that the bench wrote as the daemon would have; untagged it is the daemon's.";

struct Case {
    const char* name;
    WireVlans vlans;
};

const std::vector<Case>& cases() {
    static const std::vector<Case> all = {{"vlan-push", {WireKind::access, WireKind::trunk}},
                                          {"vlan-pop", {WireKind::trunk, WireKind::access}},
                                          {"vlan-keep", {WireKind::trunk, WireKind::trunk}}};
    return all;
}

// All of them with the tag, or none: else a side did something else than it is measured for.
void require_tags(const Traffic::Passed& passed, const std::string& case_name, const std::string& side, bool tagged) {
    const std::uint64_t wanted = tagged ? passed.received : 0;
    if (passed.received == 0 || passed.tagged != wanted)
        throw std::runtime_error(
            fmt::format("{}, {}: {} frames came out and {} of them have a tag, but {} should, so this would measure "
                        "something else",
                        case_name, side, passed.received, passed.tagged, wanted));
}

std::vector<std::string> sides_of(const Case& each, bool filtering) {
    std::vector<std::string> sides = {"underpass", "limit"};
    if (filtering) sides.emplace_back("kernel");
    if (each.vlans.left != each.vlans.right) sides.emplace_back(kTagLimit);
    return sides;
}

Job job_of(const Case& each, const Topology& topology, const RunOptions& options) {
    const Measure measure = [&](const std::string& side, const Add& add) {
        const bool tagged = (side == "limit" ? each.vlans.left : each.vlans.right) == WireKind::trunk;
        require_tags(measure_frames(topology, kBytes, options, add), each.name, side, tagged);
    };
    return {topology, Ports::wires, each.name, sides_of(each, topology.filtering()), measure};
}

}  // namespace

const std::vector<std::string>& vlan_cases() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const Case& each : cases()) all.emplace_back(each.name);
        return all;
    }();
    return names;
}

Report run_vlan(const RunOptions& options) {
    Runner runner("vlan", options);
    const bool filtering = kernel_filters_vlans();
    const Topology plain(Ports::wires);
    std::vector<std::unique_ptr<Topology>> with_vlans;
    std::vector<Job> jobs = {{plain, Ports::wires, kUntagged, kSides, [&](const std::string& side, const Add& add) {
                                  require_tags(measure_frames(plain, kBytes, options, add), kUntagged, side, false);
                              }}};
    for (const Case& each : cases()) {
        if (!runner.wants(each.name)) continue;
        with_vlans.push_back(std::make_unique<Topology>(fmt::format("ubench-{}", each.name), each.vlans, filtering));
        jobs.push_back(job_of(each, *with_vlans.back(), options));
    }
    for (const Hook hook : {Hook::xdp, Hook::tc}) runner.run(jobs, hook);
    Report report = runner.take();
    report.compare_with(kUntagged);
    report.note(filtering ? kFiltering : kNoFiltering);
    return report;
}

}  // namespace underpass::bench
