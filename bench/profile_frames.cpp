// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/profile_frames.h"

#include <utility>

#include "bench/route.h"
#include "bench/routed_traffic.h"
#include "bench/tunnel_traffic.h"

namespace underpass::bench {

namespace {

constexpr std::uint16_t kBytes = 60;
constexpr std::uint16_t kFlows = 4;

template <class Kind>
class FramesOf final : public Frames {
public:
    template <class... Arguments>
    explicit FramesOf(Arguments&&... arguments) : traffic_(std::forward<Arguments>(arguments)...) {}

    void learn() override { traffic_.learn(); }
    Traffic::Passed forward(std::chrono::milliseconds time) override { return traffic_.forward({.time = time}); }
    std::vector<unsigned char> frame() override { return traffic_.frame(); }

private:
    Kind traffic_;
};

// Of the two ways through a tunnel one.
class OneWay {
public:
    OneWay(const Topology& topology, Side from, bool summed) : traffic_(topology, kHosts, summed), from_(from) {}

    void learn() { traffic_.learn(); }
    Traffic::Passed forward(const Load& load) { return traffic_.forward(from_, load); }
    std::vector<unsigned char> frame() { return traffic_.frame(from_); }

private:
    TunnelTraffic traffic_;
    Side from_;
};

std::unique_ptr<Frames> start_bridged(const Topology& topology) {
    return std::make_unique<FramesOf<Traffic>>(topology, kBytes, kHosts, kFlows, usable_cpus() - 1);
}

ProfiledCase bridged() {
    return {
        "l2",         "frames-60", Side::left, std::nullopt, [] { return std::make_unique<Topology>(Ports::wires); },
        start_bridged};
}

ProfiledCase with_vlans(const std::string& scenario, const WireVlans& vlans) {
    return {
        scenario,
        "tagged",
        Side::left,
        std::nullopt,
        [scenario, vlans] { return std::make_unique<Topology>("ubench-" + scenario, vlans, kernel_filters_vlans()); },
        start_bridged};
}

ProfiledCase routed(const RouteCase& each) {
    return {each.name,
            "frames-60",
            Side::left,
            std::nullopt,
            [&each] {
                return std::make_unique<Topology>(std::string("ubench-") + each.name, Routing{.rules = each.rules});
            },
            [&each](const Topology& topology) {
                const Connections connections = {.ports = kRouteConnections, .translated = each.translated};
                return std::make_unique<FramesOf<RoutedTraffic>>(topology, connections, kBytes);
            }};
}

ProfiledCase tunnelled(const std::string& scenario, Side from, bool summed) {
    return {scenario,
            summed ? "summed" : "unsummed",
            from,
            from == Side::left ? OUTER_BYTES : -OUTER_BYTES,
            [summed] { return std::make_unique<Topology>("ubench-vxlan-frames", Tunnel{.summed = summed}); },
            [from, summed](const Topology& topology) {
                return std::make_unique<FramesOf<OneWay>>(topology, from, summed);
            }};
}

}  // namespace

const std::vector<ProfiledCase>& profiled_cases() {
    static const std::vector<ProfiledCase> all = [] {
        std::vector<ProfiledCase> cases = {bridged(), with_vlans("vlan-push", {WireKind::access, WireKind::trunk}),
                                           with_vlans("vlan-pop", {WireKind::trunk, WireKind::access}),
                                           with_vlans("vlan-keep", {WireKind::trunk, WireKind::trunk})};
        for (const RouteCase& each : routes()) cases.push_back(routed(each));
        for (const auto& [scenario, from] :
             {std::pair("vxlan-decap", Side::right), std::pair("vxlan-encap", Side::left)})
            for (const bool summed : {true, false}) cases.push_back(tunnelled(scenario, from, summed));
        return cases;
    }();
    return all;
}

}  // namespace underpass::bench
