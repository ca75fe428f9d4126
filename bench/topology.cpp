// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/topology.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "bench/bpf/tag_change.h"
#include "bench/cpu_time.h"
#include "bench/process.h"
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

lab::Spec filtered_spec(const std::string& lab, const Filtered& filtered) {
    lab::Spec spec = spec_of(lab, {Ports::wires});
    lab::Node& host = spec.nodes.front();
    for (const char* tables : {"iptables", "ip6tables"})
        host.sysctls.emplace_back(std::string("net.bridge.bridge-nf-call-") + tables, "1");
    if (!filtered.rules.empty()) host.nftables = filtered.rules;
    return spec;
}

constexpr const char* kSpare = "ws";

lab::Spec spare_spec(const std::string& lab) {
    lab::Spec spec = spec_of(lab, {Ports::wires});
    spec.nodes.push_back(lab::quiet_node(kSpare));
    spec.nodes.front().bridges.front().ports.push_back({.device = kSpare});
    spec.links.push_back({.ends = {{{"host", kSpare}, {kSpare, "eth0"}}}, .wire = true});
    return spec;
}

MacAddr mac(const std::array<unsigned char, 6>& bytes) {
    MacAddr address;
    std::ranges::copy(bytes, address.bytes.begin());
    return address;
}

IpPrefix prefix(const std::string& text) {
    return IpPrefix::parse(text).value();
}

std::string address_text(Side side, std::uint16_t host) {
    return fmt::format("10.{}.{}.{}", static_cast<int>(side), host >> 8, host & 0xff);
}

std::string router_text(Side side) {
    return address_text(side, Topology::kRouter);
}

void add_stack(lab::Node& node, Side side) {
    node.interfaces.push_back({.name = "eth0",
                               .addresses = {prefix(Topology::routed_address(side) + "/16")},
                               .mac = mac(Topology::router_mac(other(side)))});
    node.routes.push_back({.to = prefix("0.0.0.0/0"), .via = IpAddress::parse(router_text(side)).value()});
    // So many short connections that their ports have to be used again.
    node.sysctls.emplace_back("net.ipv4.ip_local_port_range", "1024 65535");
    node.sysctls.emplace_back("net.ipv4.tcp_tw_reuse", "1");
}

lab::Spec routed_spec(const std::string& lab, const Routing& routing) {
    lab::Spec spec = spec_of(lab, {});
    lab::Node& host = spec.nodes.front();
    const std::string port = end_name(routing.ports, Side::left), uplink = end_name(routing.ports, Side::right);
    lab::Bridge& bridge = host.bridges.front();
    bridge.ports.push_back({.device = port});
    bridge.addresses = {prefix(router_text(Side::left) + "/16")};
    bridge.mac = mac(Topology::router_mac(Side::left));
    host.interfaces.push_back({.name = uplink,
                               .addresses = {prefix(router_text(Side::right) + "/16")},
                               .mac = mac(Topology::router_mac(Side::right))});
    host.sysctls.emplace_back("net.ipv4.ip_forward", "1");
    if (!routing.rules.empty()) host.nftables = fmt::format("define uplink = {}\n{}", uplink, routing.rules);
    for (const Side side : {Side::left, Side::right}) {
        const std::string name = end_name(routing.ports, side);
        lab::Node node = lab::quiet_node(name);
        if (routing.stacks) add_stack(node, side);
        spec.nodes.push_back(std::move(node));
        spec.links.push_back({.ends = {{{"host", name}, {name, "eth0"}}}, .wire = routing.ports == Ports::wires});
    }
    return spec;
}

// Nobody behind a wire answers ARP, and past the router nobody is asked.
std::string neighbour(const std::string& address, const MacAddr& mac, const std::string& device) {
    return fmt::format("neigh replace {} lladdr {} nud permanent dev {}\n", address, mac.text(), device);
}

void set_neighbours(const lab::Namespace& there, const std::string& batch) {
    const Finished finished = run_program({"sh", "-c", "printf %s \"$0\" | ip -batch -", batch}, {there.fd(), -1});
    if (finished.status != 0) throw std::runtime_error("setting neighbours failed: " + finished.output);
}

lab::Network build_anew(const lab::Spec& spec) {
    for (const lab::Node& node : spec.nodes) lab::Namespace::remove(lab::namespace_name(spec.name, node.name));
    return lab::build(spec);
}

constexpr std::uint32_t kVni = 7;
constexpr const char* kVxlan = "ubench-vx";
constexpr const char* kUnderlay = "under";
constexpr const char* kFar = "far";
constexpr std::uint32_t kInnerMtu = 1450;

std::string vtep_text(Side side) {
    return fmt::format("10.3.0.{}", static_cast<int>(side));
}

// One end of the tunnel: a bridge with that port and the VXLAN device.
lab::Node tunnel_node(const std::string& name, Side side, const std::string& port, const std::string& underlay,
                      const Tunnel& tunnel) {
    lab::Node node = lab::quiet_node(name);
    lab::Bridge bridge;
    bridge.name = kBridge;
    bridge.multicast_snooping = false;
    bridge.ports.push_back({.device = port});
    bridge.ports.push_back({.device = kVxlan});
    node.bridges.push_back(std::move(bridge));
    node.interfaces.push_back(
        {.name = underlay, .addresses = {prefix(vtep_text(side) + "/24")}, .mac = mac(Topology::router_mac(side))});
    lab::VxlanDevice vxlan;
    vxlan.name = kVxlan;
    vxlan.vni = kVni;
    vxlan.local = IpAddress::parse(vtep_text(side)).value();
    vxlan.remotes = {IpAddress::parse(vtep_text(other(side))).value()};
    vxlan.on = underlay;
    vxlan.summed = tunnel.summed;
    node.vxlans.push_back(std::move(vxlan));
    return node;
}

lab::Spec tunnel_spec(const std::string& lab, const Tunnel& tunnel) {
    const Ports kind = tunnel.stacks ? Ports::containers : Ports::wires;
    const std::string left = end_name(kind, Side::left), right = end_name(kind, Side::right);
    lab::Spec spec;
    spec.name = lab;
    spec.nodes.push_back(tunnel_node("host", Side::left, left, tunnel.stacks ? kUnderlay : right, tunnel));
    if (tunnel.stacks) {
        spec.nodes.push_back(tunnel_node(kFar, Side::right, right, kUnderlay, tunnel));
        spec.links.push_back({.ends = {{{"host", kUnderlay}, {kFar, kUnderlay}}}});
    }
    for (const Side side : {Side::left, Side::right}) {
        const std::string name = end_name(kind, side);
        lab::Node node = lab::quiet_node(name);
        lab::Link link = {.ends = {{{tunnel.stacks && side == Side::right ? kFar : "host", name}, {name, "eth0"}}},
                          .wire = !tunnel.stacks};
        if (tunnel.stacks) {
            link.mtu = kInnerMtu;
            node.interfaces.push_back({.name = "eth0", .addresses = {prefix(Topology::address(side) + "/24")}});
        }
        spec.nodes.push_back(std::move(node));
        spec.links.push_back(std::move(link));
    }
    return spec;
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

Topology::Topology(const std::string& lab, const Filtered& filtered)
    : network_(build_anew(filtered_spec(lab, filtered))) {
    find_ends(Ports::wires);
}

Topology::Topology(const std::string& lab, const Spare&) : network_(build_anew(spare_spec(lab))) {
    find_ends(Ports::wires);
    spare_.emplace(end_of(network_.space(kSpare), bridge(), kSpare));
}

Topology::Topology(const std::string& lab, const Routing& routing)
    : network_(build_anew(routed_spec(lab, routing))), uplink_(end_name(routing.ports, Side::right)) {
    find_ends(routing.ports);
    std::string of_host;
    for (const Side side : {Side::left, Side::right}) {
        const std::string device = side == Side::left ? kBridge : uplink_;
        if (routing.stacks) {
            of_host += neighbour(routed_address(side), mac(router_mac(other(side))), device);
            set_neighbours(end(routing.ports, side).there, neighbour(router_text(side), mac(router_mac(side)), "eth0"));
            continue;
        }
        for (std::uint16_t host = 0; host < routing.hosts; host++)
            of_host += neighbour(address_text(side, host), mac(mac_of(side, host)), device);
    }
    set_neighbours(bridge(), of_host);
}

Topology::Topology(const std::string& lab, const Tunnel& tunnel) : network_(build_anew(tunnel_spec(lab, tunnel))) {
    if (!tunnel.stacks) {
        find_ends(Ports::wires);
        set_neighbours(bridge(), neighbour(vtep_text(Side::right), mac(router_mac(Side::right)),
                                           end_name(Ports::wires, Side::right)));
        return;
    }
    find_ends(Ports::containers, true);
    const auto underlay = [] { return number(lab::ifindex(kUnderlay)); };
    underlays_ = {bridge().run(underlay), network_.space(kFar).run(underlay)};
}

TunnelEnds Topology::tunnel_ends(Side from, bool summed) {
    const auto address = [](Side side) { return htonl((10U << 24) | (3U << 16) | static_cast<std::uint32_t>(side)); };
    return {.from_mac = router_mac(from),
            .to_mac = router_mac(other(from)),
            .from = address(from),
            .to = address(other(from)),
            .vni = kVni,
            .summed = summed};
}

std::vector<Topology::Host> Topology::hosts(Ports kind) const {
    const std::uint32_t left = end(kind, Side::left).port, right = end(kind, Side::right).port;
    if (!underlays_) return {{bridge(), left, right}};
    return {{bridge(), left, underlays_->front()}, {network_.space(kFar), underlays_->back(), right}};
}

Topology::End Topology::end_of(const lab::Namespace& there, const lab::Namespace& at, const std::string& name) {
    const auto index = [](const std::string& device) { return number(lab::ifindex(device)); };
    return {.there = there, .device = there.run([&] { return index("eth0"); }), .port = at.run([&] {
                return index(name);
            })};
}

void Topology::find_ends(Ports ports, bool two_hosts) {
    for (const Ports kind : kinds_of(ports))
        for (const Side side : {Side::left, Side::right}) {
            const std::string name = end_name(kind, side);
            const lab::Namespace& there = network_.space(name);
            const lab::Namespace& at = two_hosts && side == Side::right ? network_.space(kFar) : bridge();
            (kind == Ports::wires ? wires_ : containers_).emplace(side, end_of(there, at, name));
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

Traffic::Passed Traffic::forward(const Load& load) {
    return pass({topology_.end(Ports::wires, Side::left).there.fd(), cpu_}, *right_sink_,
                [&] { return from_left_->send_for(load); });
}

Traffic::Passed Traffic::pass(const Place& place, const Sink& to, const std::function<Sent()>& send) {
    Passed passed;
    run_at(place, [&] {
        const sink_count before = to.count();
        const CpuTime cpu({place.cpu});
        const Sent sent = send();
        passed.sent = sent.frames;
        passed.seconds = sent.seconds;
        passed.busy_seconds = cpu.busy_seconds();
        const sink_count after = to.count();
        passed.received = after.frames - before.frames;
        passed.tagged = after.tagged - before.tagged;
        passed.bytes = after.bytes - before.bytes;
    });
    lab::throw_if_interrupted();
    return passed;
}

}  // namespace underpass::bench
