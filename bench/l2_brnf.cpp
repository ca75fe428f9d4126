// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/l2_brnf.h"

#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#include "bench/process.h"
#include "bench/routed_traffic.h"

namespace underpass::bench {

namespace {

using std::chrono::milliseconds;

constexpr const char* kScenario = "l2-brnf";
constexpr std::uint16_t kBytes = 60;
constexpr std::uint16_t kBehind = 16;  // hosts on either side
// Of each. Odd, so that pktgen, which steps hosts and ports at once, makes all of the connections.
constexpr std::uint16_t kPorts = 63;
constexpr milliseconds kWarmUp(300);
constexpr const char* kBrNetfilter = "/proc/sys/net/bridge/bridge-nf-call-iptables";

struct Case {
    const char* name;
    const char* rules;
};

const std::vector<Case>& cases() {
    static const std::vector<Case> all = {
        {"no-rules", ""},
        {"stateful",
         "table inet f { chain forward { type filter hook forward priority filter; policy drop; "
         "ct state established,related accept; ct state invalid drop; ip protocol udp accept; }; }"}};
    return all;
}

void require_br_netfilter() {
    if (std::filesystem::exists(kBrNetfilter)) return;
    if (is_installed("modprobe")) run_program({"modprobe", "br_netfilter"});
    if (!std::filesystem::exists(kBrNetfilter)) throw std::runtime_error("this kernel has no br_netfilter");
}

void measure(const Topology& topology, const RunOptions& options, const Add& add) {
    RoutedTraffic traffic(topology, {.hosts = kBehind, .ports = kPorts, .bridged = true}, kBytes);
    traffic.learn();
    measure_forward([&](const Load& load) { return traffic.forward(load); }, kWarmUp, options, add);
}

}  // namespace

const std::vector<std::string>& l2_brnf_cases() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const Case& each : cases()) all.emplace_back(each.name);
        return all;
    }();
    return names;
}

void run_l2_brnf(const RunOptions& options, Report& report) {
    Runner runner(kScenario, options, report);
    require_br_netfilter();
    report.note(kScenario, fmt::format("{} UDP connections of {} pairs of hosts, frames of {} bytes.", kBehind * kPorts,
                                       kBehind, kBytes));
    for (const Case& each : cases()) {
        if (!runner.wants(each.name)) continue;
        const Topology topology("ubench-brnf", Filtered{.rules = each.rules});
        const Measure one = [&](const std::string&, const Add& add) { measure(topology, options, add); };
        for (const Hook hook : {Hook::xdp, Hook::tc})
            runner.run({{.topology = topology,
                         .ports = Ports::wires,
                         .case_name = each.name,
                         .sides = kSides,
                         .measure = one,
                         .generator = generator_of(options)}},
                       hook);
    }
}

}  // namespace underpass::bench
