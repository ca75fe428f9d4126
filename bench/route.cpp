// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/route.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/daemon.h"
#include "bench/routed_traffic.h"

namespace underpass::bench {

namespace {

using std::chrono::milliseconds;

constexpr std::uint16_t kBytes = 60;
constexpr milliseconds kWarmUp(300);

constexpr const char* kStatefulFilter =
    "table inet f { chain forward { type filter hook forward priority filter; policy drop; "
    "ct state established,related accept; ct state invalid drop; iifname ubench-br oifname $uplink accept; }; }";

// Between a client behind the bridge and a server behind the uplink.
struct RoutedTalk {
    Talk talk;
    double fast_share;
};

const std::vector<RoutedTalk>& talks() {
    // The first frames, and by XDP those of a moment of each second, go by the kernel: much of a short run.
    constexpr double kLeast = 0.8;
    static const std::vector<RoutedTalk> all = {{{"tcp-bulk", TalkKind::bulk}, kLeast},
                                                {{"tcp-rr", TalkKind::tcp_transactions}, kLeast},
                                                // The kernel sees every tracked connection begin and end, and there
                                                // is little between.
                                                {{"tcp-crr", TalkKind::connections}, 0}};
    return all;
}

constexpr const char* kFrames = "frames-60";
constexpr const char* kToUplink = "container-to-uplink";

void measure(const Topology& topology, const RouteCase& each, const RunOptions& options, const Add& add) {
    RoutedTraffic traffic(topology, {.ports = kRouteConnections, .translated = each.translated}, kBytes);
    traffic.learn();
    measure_forward([&](const Load& load) { return traffic.forward(load); }, kWarmUp, options, add);
}

void run_frames(Runner& runner, const RouteCase& each, const RunOptions& options) {
    if (!runner.wants(kFrames)) return;
    const Topology topology(fmt::format("ubench-{}", each.name), Routing{.rules = each.rules});
    const Measure one = [&](const std::string&, const Add& add) { measure(topology, each, options, add); };
    for (const Hook hook : {Hook::xdp, Hook::tc})
        runner.run({{.topology = topology,
                     .ports = Ports::wires,
                     .case_name = kFrames,
                     .sides = kSides,
                     .measure = one,
                     .generator = generator_of(options)}},
                   hook);
}

void add_fast_share(const Topology& topology, const Add& add) {
    const FastAndSlow counted = counted_by_daemon(topology);
    add("went fast", "%", 100.0 * static_cast<double>(counted.fast) / static_cast<double>(counted.all()));
}

Job job_of(const Topology& topology, Ports ports, const std::string& name, const RoutedTalk& each,
           const RunOptions& options) {
    const Ends ends = {{topology.end(ports, Side::left).there.fd(), 0},
                       {topology.end(ports, Side::right).there.fd(), usable_cpus() - 1},
                       Topology::routed_address(Side::right)};
    const Measure one = [&topology, &each, &options, ends](const std::string& side, const Add& add) {
        add_talk(each.talk, ends, options, add);
        if (side == "underpass") add_fast_share(topology, add);
    };
    return {.topology = topology,
            .ports = ports,
            .case_name = name,
            .sides = kSides,
            .measure = one,
            .fast_share = each.fast_share,
            .generator = generator_of_talks(options)};
}

// Over wires by XDP, between containers with their offloads by TC. `prefix`: of the cases' names.
void run_talks(Runner& runner, const RouteCase& each, Hook hook, const std::string& prefix, const RunOptions& options) {
    const auto wanted = [&](const RoutedTalk& talk) { return runner.wants(prefix + talk.talk.name); };
    if (!runner.wants(hook) || std::ranges::none_of(talks(), wanted)) return;
    const Ports ports = hook == Hook::xdp ? Ports::wires : Ports::containers;
    const Topology topology(fmt::format("ubench-{}-tcp", each.name),
                            Routing{.rules = each.rules, .ports = ports, .stacks = true});
    for (const RoutedTalk& talk : talks())
        if (wanted(talk)) runner.run({job_of(topology, ports, prefix + talk.talk.name, talk, options)}, hook);
}

void run(const RouteCase& each, const RunOptions& options, Report& report) {
    Runner runner(each.name, options, report);
    report.note(each.name,
                fmt::format("Frames: {} UDP connections, frames of {} bytes from a bridge's port to an uplink. TCP: "
                            "between the stacks of a client behind the bridge and a server behind the uplink, over "
                            "wires without offloads ({} is between containers with all of them).",
                            kRouteConnections, kBytes, kToUplink));
    run_frames(runner, each, options);
    run_talks(runner, each, Hook::xdp, "", options);
}

std::string prefix_of(const RouteCase& each) {
    return std::string(each.name) + '-';
}

}  // namespace

const std::vector<RouteCase>& routes() {
    static const std::vector<RouteCase> all = {{"route", false, ""},
                                               {"nat", true, kMasquerade},
                                               {"nat-filter", true, std::string(kMasquerade) + '\n' + kStatefulFilter}};
    return all;
}

std::vector<Talk> route_talks() {
    std::vector<Talk> all;
    for (const RoutedTalk& each : talks()) all.push_back(each.talk);
    return all;
}

std::vector<std::string> route_cases() {
    std::vector<std::string> all = {kFrames};
    for (const std::string& name : names_of(route_talks())) all.push_back(name);
    return all;
}

std::vector<Talk> container_to_uplink_talks() {
    std::vector<Talk> all;
    for (const RouteCase& each : routes())
        for (const Talk& talk : route_talks()) all.push_back({prefix_of(each) + talk.name, talk.kind});
    return all;
}

void run_route(const RunOptions& options, Report& report) {
    run(routes()[0], options, report);
}

void run_nat(const RunOptions& options, Report& report) {
    run(routes()[1], options, report);
}

void run_nat_filter(const RunOptions& options, Report& report) {
    run(routes()[2], options, report);
}

void run_container_to_uplink(const RunOptions& options, Report& report) {
    Runner runner(kToUplink, options, report);
    report.note(kToUplink,
                "TCP between the stacks of a container behind the bridge and of one behind the uplink, with all "
                "offloads: routed alone, masqueraded, and behind a stateful filter.");
    for (const RouteCase& each : routes()) run_talks(runner, each, Hook::tc, prefix_of(each), options);
}

}  // namespace underpass::bench
