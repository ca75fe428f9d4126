// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/topology.h"

#include <cerrno>
#include <system_error>

#include "bench/bpf/tag_change.h"
#include "bench/cpu_time.h"
#include "bench/place.h"
#include "lab/interrupt.h"
#include "lab/link.h"

namespace underpass::bench {

namespace {

// "wl": the node of an end, and its port's name at the bridge.
std::string end_name(Ports kind, Side side) {
    return std::string(kind == Ports::wires ? "w" : "c") + (side == Side::left ? "l" : "r");
}

lab::Spec spec_of(const std::string& lab, const std::vector<Ports>& kinds) {
    lab::Spec spec;
    spec.name = lab;
    spec.nodes.push_back(lab::quiet_node("host"));
    lab::Bridge bridge;
    bridge.name = kBridge;
    bridge.multicast_snooping = false;
    for (const Ports kind : kinds)
        for (const Side side : {Side::left, Side::right}) {
            const std::string name = end_name(kind, side);
            lab::Node node = lab::quiet_node(name);
            if (kind == Ports::containers)
                node.interfaces.push_back(
                    {.name = "eth0", .addresses = {IpPrefix::parse(Topology::address(side) + "/24").value()}});
            spec.nodes.push_back(std::move(node));
            spec.links.push_back({.ends = {{{"host", name}, {name, "eth0"}}}, .wire = kind == Ports::wires});
            bridge.ports.push_back({.device = name});
        }
    spec.nodes.front().bridges.push_back(std::move(bridge));
    return spec;
}

lab::VlanMembership membership(WireKind kind) {
    const Vid vid{BENCH_VID};
    if (kind == WireKind::access) return {.pvid = vid, .tagged = {}};
    return {.pvid = std::nullopt, .tagged = {vid}};
}

lab::Spec vlan_spec(const std::string& lab, const WireVlans& vlans, bool filtering) {
    lab::Spec spec = spec_of(lab, {Ports::wires});
    if (!filtering) return spec;
    lab::Bridge& bridge = spec.nodes.front().bridges.front();
    bridge.vlan_filtering = true;
    for (const Side side : {Side::left, Side::right})
        for (lab::Port& port : bridge.ports)
            if (port.device == end_name(Ports::wires, side)) port.vlans = membership(vlans.of(side));
    return spec;
}

lab::Network build_anew(const lab::Spec& spec) {
    for (const lab::Node& node : spec.nodes) lab::Namespace::remove(lab::namespace_name(spec.name, node.name));
    return lab::build(spec);
}

std::vector<Ports> kinds_of(Ports ports) {
    if (ports == Ports::both) return {Ports::wires, Ports::containers};
    return {ports};
}

}  // namespace

bool kernel_filters_vlans() {
    const std::string name = lab::namespace_name("ubench", "probe");
    lab::Namespace::remove(name);
    const lab::Namespace probe = lab::Namespace::create(name);
    try {
        probe.run([] { lab::create_bridge(kBridge, {.vlan_filtering = true}); });
        return true;
    } catch (const std::system_error& error) {
        if (error.code().value() != EOPNOTSUPP) throw;
        return false;
    }
}

Topology::Topology(Ports ports) : network_(build_anew(spec_of("ubench", kinds_of(ports)))) {
    find_ends(ports);
}

Topology::Topology(const std::string& lab, const WireVlans& vlans, bool filtering)
    : network_(build_anew(vlan_spec(lab, vlans, filtering))), vlans_(vlans), filtering_(filtering) {
    find_ends(Ports::wires);
}

void Topology::find_ends(Ports ports) {
    for (const Ports kind : kinds_of(ports))
        for (const Side side : {Side::left, Side::right}) {
            const std::string name = end_name(kind, side);
            const lab::Namespace& there = network_.space(name);
            const auto index = [](const std::string& device) { return number(lab::ifindex(device)); };
            const End end = {.there = there,
                             .device = there.run([&] { return index("eth0"); }),
                             .port = bridge().run([&] { return index(name); })};
            (kind == Ports::wires ? wires_ : containers_).emplace(side, end);
        }
}

Traffic::Traffic(const Topology& topology, std::uint16_t frame_bytes, std::uint16_t pairs, std::uint16_t flows, int cpu)
    : topology_(topology), pairs_(pairs), cpu_(cpu) {
    // A sink at both ends: it also makes the device take what is redirected to its port.
    for (const Side side : {Side::left, Side::right})
        topology.end(Ports::wires, side).there.run([&] {
            (side == Side::left ? left_sink_ : right_sink_).emplace(topology.end(Ports::wires, side).device);
            const bool tagged = topology.vlans() && topology.vlans()->of(side) == WireKind::trunk;
            const GeneratorOptions options = {
                .ifindex = topology.end(Ports::wires, side).device,
                .frame_bytes = static_cast<std::uint16_t>(frame_bytes + (tagged ? TAG_BYTES : 0)),
                .tagged = tagged,
                .flows = flows};
            (side == Side::left ? from_left_ : from_right_)
                .emplace(options, udp_frames(side, pairs, frame_bytes, tagged ? BENCH_VID : 0));
        });
}

void Traffic::learn() {
    // Longer than the daemon takes to read what the bridge learnt.
    constexpr std::chrono::milliseconds kMirrored(60);
    for (int round = 0; round < 2; round++) {
        run_at({topology_.end(Ports::wires, Side::right).there.fd(), cpu_}, [&] { from_right_->send(pairs_); });
        run_at({topology_.end(Ports::wires, Side::left).there.fd(), cpu_}, [&] { from_left_->send(pairs_); });
        lab::pause_for(kMirrored);
    }
}

Traffic::Passed Traffic::forward(std::chrono::milliseconds time) {
    Passed passed;
    run_at({topology_.end(Ports::wires, Side::left).there.fd(), cpu_}, [&] {
        const sink_count before = right_sink_->count();
        const CpuTime cpu({cpu_});
        const auto start = std::chrono::steady_clock::now();
        passed.sent = from_left_->send_for(time);
        passed.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        passed.busy_seconds = cpu.busy_seconds();
        const sink_count after = right_sink_->count();
        passed.received = after.frames - before.frames;
        passed.tagged = after.tagged - before.tagged;
    });
    lab::throw_if_interrupted();
    return passed;
}

}  // namespace underpass::bench
