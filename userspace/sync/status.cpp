// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/status.h"

#include <fmt/format.h>
#include <linux/if_ether.h>

#include <array>
#include <limits>
#include <set>

#include "maps/reason.h"
#include "sync/status_vlans.h"

namespace underpass {

namespace {

using Json = nlohmann::json;

constexpr std::array<const char*, REASON_COUNT> kReasonNames = {
#define X(symbol, name, sentence) name,
    REASONS(X)
#undef X
};
constexpr std::array<const char*, REASON_COUNT> kReasonSentences = {
#define X(symbol, name, sentence) sentence,
    REASONS(X)
#undef X
};

std::int64_t age_ms(Engine::Clock::time_point since) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Engine::Clock::now() - since).count();
}

device_counters sum(const std::vector<device_counters>& of_cpus) {
    device_counters total{};
    for (const device_counters& one : of_cpus)
        for (std::uint32_t reason = 0; reason < REASON_COUNT; reason++) {
            total.by_reason[reason].packets += one.by_reason[reason].packets;
            total.by_reason[reason].bytes += one.by_reason[reason].bytes;
        }
    return total;
}

void add_counters(Json& port, const device_counters& counters) {
    std::uint64_t all = 0;
    counter fast{};
    Json slow = Json::object();
    for (std::uint32_t reason = 0; reason < REASON_COUNT; reason++) {
        const counter& one = counters.by_reason[reason];
        all += one.packets;
        if (reason_is_fast(reason) != 0) {
            fast.packets += one.packets;
            fast.bytes += one.bytes;
        }
        if (reason_is_fast(reason) != 0 || one.packets == 0) continue;
        slow[kReasonNames[reason]] = {
            {"packets", one.packets}, {"bytes", one.bytes}, {"meaning", kReasonSentences[reason]}};
    }
    const auto sum_of = [&counters](std::initializer_list<reason> reasons) {
        counter sum{};
        for (const reason each : reasons) {
            sum.packets += counters.by_reason[each].packets;
            sum.bytes += counters.by_reason[each].bytes;
        }
        return Json{{"packets", sum.packets}, {"bytes", sum.bytes}};
    };
    port["fast"] = {{"packets", fast.packets}, {"bytes", fast.bytes}};
    // Of those; and of what was routed, that of connections, translated or not.
    port["ruled"] = sum_of({REASON_BRIDGED_FLOW});
    port["routed"] = sum_of({REASON_ROUTED, REASON_ROUTED_CONNECTION, REASON_TRANSLATED});
    port["filtered"] = sum_of({REASON_ROUTED_CONNECTION});
    port["translated"] = sum_of({REASON_TRANSLATED});
    port["decapsulated"] = sum_of({REASON_DECAPSULATED});
    port["encapsulated"] = sum_of({REASON_ENCAPSULATED});
    port["slow"] = std::move(slow);
    port["share_fast"] = all == 0 ? Json() : Json(static_cast<double>(fast.packets) / static_cast<double>(all));
}

vlan_counters sum(const std::vector<vlan_counters>& of_cpus) {
    vlan_counters total{};
    for (const vlan_counters& one : of_cpus) {
        total.fast.packets += one.fast.packets;
        total.fast.bytes += one.fast.bytes;
        total.slow.packets += one.slow.packets;
        total.slow.bytes += one.slow.bytes;
    }
    return total;
}

vlan_counters fast_and_slow(const device_counters& counters) {
    vlan_counters total{};
    for (std::uint32_t reason = 0; reason < REASON_COUNT; reason++) {
        counter& part = reason_is_fast(reason) != 0 ? total.fast : total.slow;
        part.packets += counters.by_reason[reason].packets;
        part.bytes += counters.by_reason[reason].bytes;
    }
    return total;
}

// Of VLAN-aware bridges' ports by the map that has VIDs, of VLAN devices by their own counters.
VlanCounts count_vlans(const Engine& engine) {
    const std::size_t cpus = possible_cpus();
    std::map<std::uint32_t, Ifindex> ports;
    VlanCounts counts;
    for (const auto& [index, plan] : engine.plan())
        for (const PortPlan& port : plan.ports) {
            const auto slot = engine.reconciler().slot_of(port.index);
            if (!slot) continue;
            if (plan.vlan_aware) ports.emplace(*slot, port.index);
            const auto link = engine.host().links.find(port.index);
            if (plan.vlan_aware || link == engine.host().links.end() || !link->second.vlan) continue;
            counts[{port.index, number(link->second.vlan->id)}] =
                fast_and_slow(sum(engine.programs().counters.lookup(*slot, cpus)));
        }
    if (ports.empty()) return counts;
    for (const auto& [key, of_cpus] : engine.programs().vlan_counters.entries(cpus))
        if (const auto port = ports.find(key.slot); port != ports.end())
            counts[{port->second, static_cast<std::uint16_t>(key.vid)}] = sum(of_cpus);
    return counts;
}

Json vxlan_json(const VxlanAttributes& vxlan, const PortPlan& port) {
    Json json = {{"vni", vxlan.vni},
                 {"port", vxlan.port},
                 {"family", vxlan.ipv6 ? "ipv6" : "ipv4"},
                 {"underlays", port.underlays},
                 {"state", port.tunnel ? "fast" : "kernel"}};
    if (!port.tunnel_refusal.empty()) json["why"] = port.tunnel_refusal;
    if (!port.encap_refusal.empty()) json["why_not_encapsulated"] = port.encap_refusal;
    return json;
}

// Addresses that a VXLAN device's FDB has, and VTEPs that they are behind.
void count_vteps(Json& vxlan, const Host& host, Ifindex device) {
    std::set<IpAddress> vteps;
    std::size_t addresses = 0;
    for (auto entry = host.vteps.lower_bound({device, Vid::none, {}});
         entry != host.vteps.end() && entry->first.bridge == device; ++entry, addresses++)
        vteps.insert(entry->second.address);
    vxlan["vteps"] = vteps.size();
    vxlan["addresses"] = addresses;
}

Json port_json(const Host& host, const PortPlan& port) {
    Json entry = port_name_json(host, port);
    entry["hook"] = name(port.hook());
    entry["why"] = port.refusal.empty() ? port.why : port.refusal;
    if (!port.cost.empty()) entry["cost"] = port.cost;
    if (!port.xdp_refusal.empty()) entry["why_not_xdp"] = port.xdp_refusal;
    if (!port.vlan_refusals.empty()) entry["vlan_refusals"] = port.vlan_refusals;
    const auto link = host.links.find(port.index);
    if (link != host.links.end() && link->second.vxlan) entry["vxlan"] = vxlan_json(*link->second.vxlan, port);
    entry["peer_redirect"] = port.peer.has_value();
    entry["xdp_target"] = port.xdp_target;
    entry["forwarding"] = (port.record.flags & DEVICE_FORWARDING) != 0;
    return entry;
}

void add_attached(Json& port, const Attached& attached) {
    port["programs"] = Json::object();
    if (attached.tc) port["programs"]["tc"] = name(*attached.tc);
    if (attached.witness) port["programs"]["tc_egress"] = name(*attached.witness);
    if (attached.xdp) port["programs"]["xdp"] = name(*attached.xdp);
    if (!attached.features_off.empty()) port["features_off"] = attached.features_off;
}

}  // namespace

std::string vlan_protocol_name(std::uint16_t protocol) {
    return protocol == ETH_P_8021Q ? "802.1Q" : protocol == ETH_P_8021AD ? "802.1ad" : fmt::format("{:#06x}", protocol);
}

Json port_name_json(const Host& host, const PortPlan& port) {
    Json json = {{"name", port.name}, {"index", number(port.index)}};
    const auto link = host.links.find(port.index);
    if (link != host.links.end() && link->second.vlan) json["vid"] = number(link->second.vlan->id);
    const auto below = host.links.find(port.below);
    if (port.below != port.index && below != host.links.end()) json["below"] = below->second.name;
    return json;
}

Json plan_json(const Host& host, const BridgePlan& plan) {
    Json bridge = {{"name", plan.name},
                   {"index", number(plan.index)},
                   {"hook", name(plan.choice)},
                   {"state", plan.refusal.empty() ? "fast" : "kernel"}};
    if (!plan.refusal.empty()) bridge["why"] = plan.refusal;
    bridge["kind"] = plan.is_bridge ? "bridge" : "device";
    if (plan.is_bridge) {
        bridge["bridging"] = {{"state", plan.refusal.empty() ? "fast" : "kernel"}};
        if (!plan.refusal.empty()) bridge["bridging"]["why"] = plan.refusal;
        if (plan.ruled) bridge["bridging"]["rules"] = host.netfilter.ip_chains;
    }
    bridge["routing"] = {{"state", plan.routes() ? "fast" : "kernel"}};
    if (!plan.routes()) bridge["routing"]["why"] = plan.refusal.empty() ? plan.routing_refusal : plan.refusal;
    const Netfilter& rules = host.netfilter;
    bridge["routing"]["connections"] = {{"ipv4", rules.tracks_ipv4}, {"ipv6", rules.tracks_ipv6}};
    if (!rules.ip_chains.empty()) bridge["routing"]["rules"] = rules.ip_chains;
    const auto link = host.links.find(plan.index);
    if (plan.vlan_aware && link != host.links.end() && link->second.bridge)
        bridge["vlan_aware"] = vlan_protocol_name(link->second.bridge->vlan_protocol);
    for (const auto& [vxlan, vni] : plan.carries) bridge["carries"].push_back({{"name", vxlan}, {"vni", vni}});
    bridge["ports"] = Json::array();
    for (const PortPlan& port : plan.ports) bridge["ports"].push_back(port_json(host, port));
    return bridge;
}

Json status_json(const Engine& engine, bool vlans) {
    const std::size_t cpus = possible_cpus();
    const VlanCounts vlan_counts = vlans ? count_vlans(engine) : VlanCounts{};
    const auto& all_attached = engine.state().attached;
    Json bridges = Json::array();
    for (const auto& [index, plan] : engine.plan()) {
        Json bridge = plan_json(engine.host(), plan);
        for (std::size_t i = 0; i < plan.ports.size(); i++) {
            Json& port = bridge["ports"][i];
            if (const auto slot = engine.reconciler().slot_of(plan.ports[i].index))
                add_counters(port, sum(engine.programs().counters.lookup(*slot, cpus)));
            const auto attached = all_attached.find(plan.ports[i].below);
            if (attached != all_attached.end()) add_attached(port, attached->second);
            if (port.contains("vxlan")) count_vteps(port["vxlan"], engine.host(), plan.ports[i].index);
        }
        if (vlans) bridge["vlans"] = vlans_json(engine.host(), plan, vlan_counts);
        bridges.push_back(std::move(bridge));
    }
    const std::uint64_t beat_ns = engine.programs().heartbeat.age_ns();
    const auto& statistics = engine.statistics();
    return {
        {"bridges", std::move(bridges)},
        {"waiting", waited_for(engine.host(), engine.selection())},
        {"heartbeat_age_ms", beat_ns == std::numeric_limits<std::uint64_t>::max() ? Json() : Json(beat_ns / 1000000)},
        {"maps",
         {{"fdb",
           {{"entries", engine.reconciler().fdb_entries()},
            {"size", engine.programs().fdb_size},
            {"left_out", engine.reconciler().fdb_left_out()}}},
          {"vteps",
           {{"entries", engine.reconciler().vtep_entries()},
            {"size", engine.programs().fdb_size},
            {"left_out", engine.reconciler().vteps_left_out()}}},
          {"flows", {{"entries", engine.flow_count()}, {"size", engine.programs().flows_size}}},
          {"devices", {{"entries", engine.reconciler().device_count()}, {"size", DEVICE_SLOTS - 1}}},
          {"age_ms", age_ms(statistics.started)},
          {"adopted", engine.programs().adopted()},
          {"resync_age_ms", age_ms(statistics.resynced)}}},
        {"sync",
         {{"events", statistics.events},
          {"resyncs", statistics.resyncs},
          {"overruns", statistics.overruns},
          {"operations", engine.writer().written()},
          {"failures", engine.writer().failures()}}}};
}

}  // namespace underpass
