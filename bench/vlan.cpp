// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/vlan.h"

#include <fmt/format.h>

#include <cstdint>
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

constexpr const char* kTagged = "tagged";

struct Case {
    const char* name;  // of the scenario
    WireVlans vlans;
};

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
    const Measure measure = [each, &topology, &options](const std::string& side, const Add& add) {
        const bool tagged = (side == "limit" ? each.vlans.left : each.vlans.right) == WireKind::trunk;
        require_tags(measure_frames(topology, kBytes, options, add), each.name, side, tagged);
    };
    return {.topology = topology,
            .ports = Ports::wires,
            .case_name = kTagged,
            .sides = sides_of(each, topology.filtering()),
            .measure = measure,
            .generator = generator_of(options)};
}

void run(const Case& each, const RunOptions& options, Report& report) {
    Runner runner(each.name, options, report);
    const bool filtering = kernel_filters_vlans();
    report.compare_with(each.name, kUntagged);
    report.note(each.name, filtering ? kFiltering : kNoFiltering);
    const Topology plain(Ports::wires);
    const Topology with_vlans(fmt::format("ubench-{}", each.name), each.vlans, filtering);
    const Measure untagged = [&](const std::string& side, const Add& add) {
        require_tags(measure_frames(plain, kBytes, options, add), kUntagged, side, false);
    };
    for (const Hook hook : {Hook::xdp, Hook::tc})
        runner.run({{.topology = plain,
                     .ports = Ports::wires,
                     .case_name = kUntagged,
                     .sides = kSides,
                     .measure = untagged,
                     .generator = generator_of(options)},
                    job_of(each, with_vlans, options)},
                   hook);
}

}  // namespace

const std::vector<std::string>& vlan_cases() {
    static const std::vector<std::string> names = {kUntagged, kTagged};
    return names;
}

void run_vlan_push(const RunOptions& options, Report& report) {
    run({"vlan-push", {WireKind::access, WireKind::trunk}}, options, report);
}

void run_vlan_pop(const RunOptions& options, Report& report) {
    run({"vlan-pop", {WireKind::trunk, WireKind::access}}, options, report);
}

void run_vlan_keep(const RunOptions& options, Report& report) {
    run({"vlan-keep", {WireKind::trunk, WireKind::trunk}}, options, report);
}

}  // namespace underpass::bench
