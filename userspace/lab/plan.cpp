// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <deque>
#include <iterator>
#include <string_view>
#include <utility>

namespace underpass::lab {

namespace {

constexpr std::uint32_t kUsualMtu = 1500;
constexpr std::uint16_t kVxlanPort = 4789;
constexpr std::size_t kMostRoutes = 3;

template <class Value>
const Value* find_in(const std::map<Endpoint, const Value*>& map, const Endpoint& key) {
    const auto found = map.find(key);
    return found == map.end() ? nullptr : found->second;
}

const std::vector<Endpoint>& list_in(const auto& map, const auto& key) {
    static const std::vector<Endpoint> none;
    const auto found = map.find(key);
    return found == map.end() ? none : found->second;
}

void add_membership(std::vector<std::string>& facts, const VlanMembership& vlans) {
    if (vlans.pvid) facts.push_back(fmt::format("pvid {}", number(*vlans.pvid)));
    std::vector<std::uint16_t> tagged;
    for (const Vid vid : vlans.tagged) tagged.push_back(number(vid));
    if (!tagged.empty()) facts.push_back(fmt::format("tagged {}", fmt::join(tagged, ", ")));
}

const char* name(MacvlanMode mode) {
    switch (mode) {
        case MacvlanMode::vepa: return "vepa";
        case MacvlanMode::isolated: return "private";
        case MacvlanMode::passthru: return "passthru";
        case MacvlanMode::bridge: break;
    }
    return "bridge";
}

std::optional<std::string> text_of_mtu(std::optional<std::uint32_t> mtu) {
    return mtu && *mtu != kUsualMtu ? std::optional(fmt::format("MTU {}", *mtu)) : std::nullopt;
}

std::string text_of(const NatRule& rule) {
    const std::string from = rule.from ? rule.from->text() : "all";
    const std::string to = rule.to ? rule.to->text() : "";
    switch (rule.kind) {
        case NatRule::Kind::snat:
            return fmt::format("SNAT of {} to {}{}", from, to, rule.out ? " out of " + *rule.out : "");
        case NatRule::Kind::dnat:
            return fmt::format("publishes {}:{} as {} {}{}", rule.to && rule.to->v6 ? '[' + to + ']' : to,
                               rule.to_port != 0 ? rule.to_port : rule.port, rule.protocol, rule.port,
                               rule.in ? " at " + *rule.in : "");
        case NatRule::Kind::masquerade: break;
    }
    return fmt::format("masquerades {}{}", from, rule.out ? " out of " + *rule.out : "");
}

// Which of the two sysctls the node sets: for IPv4, and for IPv6.
std::pair<bool, bool> forwarding(const Node& node) {
    std::pair<bool, bool> found;
    for (const auto& [key, value] : node.sysctls) {
        std::string sysctl = key.substr(key.starts_with('-') ? 1 : 0);
        std::ranges::replace(sysctl, '/', '.');
        if (sysctl == "net.ipv4.ip_forward" || sysctl == "net.ipv4.conf.all.forwarding") found.first = value != "0";
        if (sysctl == "net.ipv6.conf.all.forwarding") found.second = value != "0";
    }
    return found;
}

}  // namespace

bool forwards(const Node& node) {
    const auto [v4, v6] = forwarding(node);
    return v4 || v6;
}

bool is_accelerated(const Node& node) {
    return node.accelerate && (!node.bridges.empty() || forwards(node));
}

std::string range(const std::vector<std::string>& names) {
    return names.size() == 1 ? names.front() : names.front() + " … " + names.back();
}

Plan::Plan(const Spec& spec) : spec_(spec) {
    for (const Node& node : spec_.nodes) nodes_.emplace(node.name, &node);
    for (const Link& link : spec_.links) {
        cables_[link.ends[0]] = {&link, link.ends[1]};
        cables_[link.ends[1]] = {&link, link.ends[0]};
    }
    for (const Node& node : spec_.nodes)
        for (const Bridge& bridge : node.bridges) {
            bridges_[{node.name, bridge.name}] = &bridge;
            devices_[node.name].push_back({node.name, bridge.name});
        }
    for (const Link& link : spec_.links)
        for (const Endpoint& end : link.ends) devices_[end.node].push_back(end);
    for (const Node& node : spec_.nodes) place(node);
    find_machines();
    find_levels();
}

void Plan::remember(const Endpoint& device, const Interface& settings) {
    settings_[device] = &settings;
    auto& all = devices_[device.node];
    if (!bridges_.contains(device) && !cables_.contains(device)) all.push_back(device);
}

void Plan::place(const Node& node) {
    for (const Bridge& bridge : node.bridges) {
        remember({node.name, bridge.name}, bridge);
        for (const Port& port : bridge.ports) ports_[{node.name, port.device}] = &port;
    }
    for (const VxlanDevice& vxlan : node.vxlans) {
        remember({node.name, vxlan.name}, vxlan);
        vxlans_[{node.name, vxlan.name}] = &vxlan;
        vteps_[{vxlan.vni, vxlan.local, vxlan.port}].push_back({node.name, vxlan.name});
    }
    for (const VlanDevice& vlan : node.vlans) {
        remember({node.name, vlan.name}, vlan);
        vlans_[{node.name, vlan.name}] = &vlan;
    }
    for (const MacvlanDevice& macvlan : node.macvlans) {
        remember({node.name, macvlan.name}, macvlan);
        macvlans_[{node.name, macvlan.name}] = &macvlan;
        macvlans_on_[macvlan.on].push_back({node.name, macvlan.name});
    }
    for (const Interface& each : node.interfaces) remember({node.name, each.name}, each);
}

void Plan::find_machines() {
    for (const Node& node : spec_.nodes) {
        const auto own =
            std::ranges::count_if(devices(node.name), [](const Endpoint& each) { return each.device != "lo"; });
        if (own > 1 || !node.bridges.empty() || !node.vlans.empty() || !node.vxlans.empty())
            machines_.insert(node.name);
    }
    for (const auto& [upper, macvlan] : macvlans_)
        if (upper.node != macvlan->on.node) machines_.insert(macvlan->on.node);
}

void Plan::find_levels() {
    std::deque<std::string> reached;
    const auto reach = [&](const std::string& machine, std::size_t level) {
        if (levels_.emplace(machine, level).second) reached.push_back(machine);
    };
    for (const bool at_bridges : {true, false}) {
        if (!reached.empty()) break;
        for (const auto& [near, cable] : cables_)
            if (is_machine(near.node) && !is_machine(cable.far.node) && (!at_bridges || port(near)))
                reach(near.node, 0);
    }
    while (!reached.empty()) {
        const std::string machine = std::move(reached.front());
        reached.pop_front();
        for (const Endpoint& device : devices(machine))
            if (const Cable* at = cable(device); at != nullptr && is_machine(at->far.node))
                reach(at->far.node, levels_.at(machine) + 1);
    }
}

std::size_t Plan::level(const std::string& machine) const {
    const auto found = levels_.find(machine);
    return found == levels_.end() ? 0 : found->second;
}

const std::vector<Endpoint>& Plan::devices(const std::string& node) const {
    return list_in(devices_, node);
}

std::vector<Endpoint> Plan::loose_devices(const std::string& node) const {
    std::vector<Endpoint> loose;
    for (const Endpoint& each : devices(node))
        if (!bridges_.contains(each) && !ports_.contains(each)) loose.push_back(each);
    return loose;
}

const Plan::Cable* Plan::cable(const Endpoint& device) const {
    const auto found = cables_.find(device);
    return found == cables_.end() ? nullptr : &found->second;
}

const Interface* Plan::settings(const Endpoint& device) const {
    return find_in(settings_, device);
}

const Port* Plan::port(const Endpoint& device) const {
    return find_in(ports_, device);
}

const VlanDevice* Plan::vlan(const Endpoint& device) const {
    return find_in(vlans_, device);
}

const VxlanDevice* Plan::vxlan(const Endpoint& device) const {
    return find_in(vxlans_, device);
}

const MacvlanDevice* Plan::macvlan(const Endpoint& device) const {
    return find_in(macvlans_, device);
}

const std::vector<Endpoint>& Plan::macvlans_on(const Endpoint& lower) const {
    return list_in(macvlans_on_, lower);
}

std::optional<Endpoint> Plan::underlay(const Endpoint& vxlan) const {
    const VxlanDevice& device = *vxlans_.at(vxlan);
    if (device.on) return Endpoint{vxlan.node, *device.on};
    for (const Endpoint& each : devices(vxlan.node))
        if (const Interface* settings = this->settings(each); settings != nullptr && each.device != "lo")
            for (const IpPrefix& prefix : settings->addresses)
                if (prefix.address == device.local) return each;
    return std::nullopt;
}

std::optional<Endpoint> Plan::tunnel_end(const Endpoint& vxlan, const IpAddress& remote) const {
    const VxlanDevice& device = *vxlans_.at(vxlan);
    for (const Endpoint& each : list_in(vteps_, std::tuple(device.vni, remote, device.port)))
        if (each.node != vxlan.node) return each;
    return std::nullopt;
}

const Node* Plan::host_behind(const Endpoint& device) const {
    const Cable* at = cable(device);
    const std::string& name = at != nullptr ? at->far.node : device.node;
    return is_machine(name) ? nullptr : &node(name);
}

std::string Plan::likeness(const Endpoint& device) const {
    const Cable* at = cable(device);
    return fmt::format("{} {} {} {} {} {}", facts(device), port_facts(device), addresses(device),
                       mtu(device).value_or(""), host_facts(*host_behind(device)),
                       at != nullptr ? fmt::format("{} {}", at->link->wire, at->link->mtu.value_or(kUsualMtu)) : "");
}

std::vector<Plan::Bundle> Plan::bundles(const std::vector<Endpoint>& devices) const {
    const auto may_join = [&](const Endpoint& each) {
        return host_behind(each) != nullptr && macvlans_on(each).empty();
    };
    const bool crowded = static_cast<std::size_t>(std::ranges::count_if(devices, may_join)) > kMostHostsApart;
    std::set<std::string> kinds;
    if (crowded)
        for (const Endpoint& each : devices)
            if (may_join(each)) kinds.insert(likeness(each));
    std::vector<Bundle> all;
    std::map<std::string, std::size_t> at;  // by likeness, the index in `all`
    for (const Endpoint& each : devices) {
        if (crowded && may_join(each)) {
            // Where nearly each is of a kind of its own, they are one crowd all the same.
            const auto [found, fresh] = at.emplace(kinds.size() > kMostHostsApart ? "" : likeness(each), all.size());
            if (!fresh) {
                all[found->second].push_back(each);
                continue;
            }
        }
        all.push_back({each});
    }
    return all;
}

std::vector<std::string> Plan::facts(const Endpoint& device) const {
    std::vector<std::string> facts;
    if (const Bridge* bridge = find_in(bridges_, device)) {
        facts.emplace_back("bridge");
        if (bridge->vlan_filtering) facts.emplace_back("VLAN-aware");
        if (bridge->stp) facts.emplace_back("STP");
        add_membership(facts, bridge->self);
    } else if (const VlanDevice* vlan = this->vlan(device)) {
        facts.push_back(fmt::format("{}VLAN {} on {}", vlan->service ? "802.1ad " : "", number(vlan->id), vlan->on));
    } else if (const VxlanDevice* vxlan = this->vxlan(device)) {
        facts.push_back(fmt::format("VXLAN {}", vxlan->vni));
        facts.push_back(vxlan->local.text());
        if (vxlan->port != kVxlanPort) facts.push_back(fmt::format("port {}", vxlan->port));
        if (!vxlan->learning) facts.emplace_back("no learning");
    } else if (const MacvlanDevice* macvlan = this->macvlan(device)) {
        facts.push_back(fmt::format("macvlan on {}", macvlan->on.text()));
        facts.emplace_back(name(macvlan->mode));
    } else if (const Cable* at = cable(device); at != nullptr && node(at->far.node).kind != NodeKind::space) {
        facts.emplace_back("tap");
    }
    return facts;
}

std::vector<std::string> Plan::port_facts(const Endpoint& device) const {
    std::vector<std::string> facts;
    const Port* port = this->port(device);
    if (port == nullptr) return facts;
    add_membership(facts, port->vlans);
    if (port->isolated) facts.emplace_back("isolated");
    if (port->hairpin) facts.emplace_back("hairpin");
    return facts;
}

std::vector<std::string> Plan::addresses(const Endpoint& device) const {
    std::vector<std::string> texts;
    const Interface* settings = this->settings(device);
    if (settings == nullptr) return texts;
    for (const IpPrefix& each : settings->addresses) texts.push_back(each.text());
    return texts;
}

std::optional<std::string> Plan::mtu(const Endpoint& device) const {
    const Interface* settings = this->settings(device);
    return settings != nullptr ? text_of_mtu(settings->mtu) : std::nullopt;
}

std::vector<std::string> Plan::notes(const Node& node) const {
    std::vector<std::string> notes;
    if (const auto [v4, v6] = forwarding(node); v4 || v6) notes.emplace_back(v4 ? "forwards" : "forwards IPv6");
    for (const NatRule& rule : node.nat) notes.push_back(text_of(rule));
    if (node.nftables) notes.emplace_back("nftables rules of its own");
    if (is_accelerated(node))
        notes.push_back(*node.accelerate == HookChoice::automatic
                            ? "accelerated"
                            : fmt::format("accelerated ({})", underpass::name(*node.accelerate)));
    return notes;
}

std::vector<std::string> Plan::routes(const Node& node) const {
    std::vector<std::string> routes;
    for (const Route& route : node.routes) {
        if (routes.size() == kMostRoutes && node.routes.size() > kMostRoutes + 1) {
            routes.push_back(fmt::format("… and {} more routes", node.routes.size() - kMostRoutes));
            break;
        }
        routes.push_back(fmt::format("{}{}{}", route.to.length == 0 ? "default" : route.to.text(),
                                     route.via ? " via " + route.via->text() : "",
                                     route.dev ? " dev " + *route.dev : ""));
    }
    return routes;
}

std::vector<std::string> Plan::host_facts(const Node& node) const {
    switch (node.kind) {
        case NodeKind::guest: return {"guest", fmt::format("{} MiB", node.guest.memory_mib)};
        case NodeKind::tap: return {"tap for a guest"};
        case NodeKind::space: break;
    }
    return {};
}

std::string Plan::crowd(const std::vector<const Node*>& hosts) const {
    std::vector<std::string> texts;
    for (const Node* host : hosts)
        for (const Interface* each : interfaces_of(*host))
            if (!each->addresses.empty() && each->name != "lo") texts.push_back(each->addresses.front().text());
    const auto all_are = [&](NodeKind kind) {
        return std::ranges::all_of(hosts, [kind](const Node* host) { return host->kind == kind; });
    };
    const char* what = all_are(NodeKind::guest) ? "guests" : all_are(NodeKind::tap) ? "taps for guests" : "hosts";
    return fmt::format("{} {}{}", hosts.size(), what, texts.empty() ? "" : ", " + range(texts));
}

std::optional<std::string> Plan::mtu(const Link& link) const {
    return text_of_mtu(link.mtu);
}

}  // namespace underpass::lab
