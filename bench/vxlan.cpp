// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/vxlan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "bench/daemon.h"
#include "bench/tunnel_traffic.h"

namespace underpass::bench {

namespace {

constexpr std::chrono::milliseconds kWarmUp(300);
// The first frame of a flow goes by the kernel, and so do those of some 50 ms of each second.
constexpr double kTunnelled = 0.8;

struct Case {
    const char* name;
    bool summed;
};

const std::vector<Case>& cases() {
    static const std::vector<Case> all = {{"summed", true}, {"unsummed", false}};
    return all;
}

// Between containers behind the tunnel's ends.
struct TunnelledTalk {
    Talk talk;
    double tunnelled;  // share of the frames, at least
    bool summed = true;
};

const std::vector<TunnelledTalk>& talks() {
    // What is to be segmented yet, TC leaves to the VXLAN device; into a tunnel without checksums it goes in one step.
    static const std::vector<TunnelledTalk> all = {{{"vxlan-udp-small", TalkKind::small_frames}, kTunnelled},
                                                   {{"vxlan-udp-small-8", TalkKind::small_frames, 8}, kTunnelled},
                                                   {{"vxlan-tcp-bulk", TalkKind::bulk}, 0},
                                                   {{"vxlan-tcp-bulk-8", TalkKind::bulk, 8}, 0},
                                                   {{"vxlan-unsummed-tcp-bulk", TalkKind::bulk}, 0, false},
                                                   {{"vxlan-unsummed-tcp-bulk-8", TalkKind::bulk, 8}, 0, false},
                                                   {{"vxlan-tcp-rr", TalkKind::tcp_transactions}, kTunnelled},
                                                   {{"vxlan-tcp-rr-8", TalkKind::tcp_transactions, 8}, kTunnelled}};
    return all;
}

void require_tunnelled(const Topology& topology, Ports ports, double share, const Add& add) {
    const FastAndSlow counted = tunnelled_by_daemon(topology, ports);
    const double tunnelled = static_cast<double>(counted.fast) / static_cast<double>(counted.all());
    add("in one step", "%", 100.0 * tunnelled);
    if (!(tunnelled >= share))
        throw std::runtime_error(fmt::format("only {} of {} frames went into or out of the tunnel in one step ({})",
                                             counted.fast, counted.all(), fmt::join(counted.slow, ", ")));
}

// All of them with the tunnel's headers, or none: else a side did something else than it is measured for.
void require_length(const Traffic::Passed& passed, Side from, const std::string& side) {
    const bool outside = (side == "limit") == (from == Side::right);
    const std::uint64_t wanted = TunnelTraffic::kFrameBytes + (outside ? OUTER_BYTES : 0);
    if (passed.received == 0 || passed.bytes != wanted * passed.received)
        throw std::runtime_error(fmt::format("{}: {} frames came out and have {} bytes, but each should have {}", side,
                                             passed.received, passed.bytes, wanted));
}

// From the right, what comes in is in the tunnel.
void run_frames(Runner& runner, Side from, const Case& each, const RunOptions& options) {
    if (!runner.wants(each.name)) return;
    const Topology topology("ubench-vxlan-frames", Tunnel{.summed = each.summed});
    // pktgen makes no VXLAN packets.
    RunOptions with = options;
    if (from == Side::right) with.generator = GeneratorKind::frames;
    const Measure one = [&](const std::string& side, const Add& add) {
        TunnelTraffic traffic(topology, kHosts, each.summed);
        traffic.learn();
        const auto forward = [&](const Load& load) { return traffic.forward(from, load); };
        require_length(measure_forward(forward, kWarmUp, with, add), from, side);
        if (side == "underpass") require_tunnelled(topology, Ports::wires, kTunnelled, add);
    };
    for (const Hook hook : {Hook::xdp, Hook::tc})
        runner.run({{.topology = topology,
                     .ports = Ports::wires,
                     .case_name = each.name,
                     .sides = kSides,
                     .measure = one,
                     .fast_share = 0,
                     .generator = generator_of(with)}},
                   hook);
}

void run_talks(Runner& runner, const RunOptions& options, bool summed) {
    const auto wanted = [&](const TunnelledTalk& each) {
        return each.summed == summed && runner.wants(each.talk.name);
    };
    if (!runner.wants(Hook::tc) || std::ranges::none_of(talks(), wanted)) return;
    const Topology topology("ubench-vxlan", Tunnel{.stacks = true, .summed = summed});
    const Ends ends = {{topology.end(Ports::containers, Side::left).there.fd(), 0},
                       {topology.end(Ports::containers, Side::right).there.fd(), usable_cpus() - 1},
                       Topology::address(Side::right)};
    for (const TunnelledTalk& each : talks()) {
        if (!wanted(each)) continue;
        const Measure one = [&](const std::string& side, const Add& add) {
            add_talk(each.talk, ends, options, add);
            if (side == "underpass") require_tunnelled(topology, Ports::containers, each.tunnelled, add);
        };
        runner.run({{.topology = topology,
                     .ports = Ports::containers,
                     .case_name = each.talk.name,
                     .sides = kSides,
                     .measure = one,
                     .fast_share = 0,
                     .generator = generator_of_talks(options)}},
                   Hook::tc);
    }
}

void run(const char* scenario, Side from, const RunOptions& options, Report& report) {
    Runner runner(scenario, options, report);
    report.note(scenario,
                fmt::format("{} flows, inner frames of {} bytes, {} more in the tunnel; unsummed: no outer UDP "
                            "checksum. The limit redirects what comes in as it is.",
                            kHosts, TunnelTraffic::kFrameBytes, OUTER_BYTES));
    for (const Case& each : cases()) run_frames(runner, from, each, options);
}

}  // namespace

void run_vxlan_talks(Runner& runner, const RunOptions& options) {
    for (const bool summed : {true, false}) run_talks(runner, options, summed);
}

const std::vector<std::string>& vxlan_cases() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const Case& each : cases()) all.emplace_back(each.name);
        return all;
    }();
    return names;
}

std::vector<Talk> vxlan_talks() {
    std::vector<Talk> all;
    for (const TunnelledTalk& each : talks()) all.push_back(each.talk);
    return all;
}

void run_vxlan_decap(const RunOptions& options, Report& report) {
    run("vxlan-decap", Side::right, options, report);
}

void run_vxlan_encap(const RunOptions& options, Report& report) {
    run("vxlan-encap", Side::left, options, report);
}

}  // namespace underpass::bench
