// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/graph.h"

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
    if (node.accelerate && !node.bridges.empty())
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

namespace {

// How each kind of thing looks: attributes of DOT.
constexpr const char* kGraph = R"(bgcolor=white labelloc=t fontsize=14 fontname="Helvetica,Arial,sans-serif" )"
                               R"(fontcolor="#1f2933" nodesep=0.2 ranksep=0.35 pad=0.15)";
constexpr const char* kNode = R"(shape=box style="rounded,filled" fontname="Helvetica,Arial,sans-serif" fontsize=11 )"
                              R"(fontcolor="#1f2933" margin="0.1,0.05" height=0.3 width=0.5)";
constexpr const char* kEdge = R"(dir=none fontname="Helvetica,Arial,sans-serif" fontsize=9 fontcolor="#5d6873" )"
                              R"(color="#4a5560" penwidth=1.2)";
constexpr const char* kMachine =
    R"(labelloc=b labeljust=l fontsize=13 style=rounded bgcolor="#f6f8fa" color="#b5bec7" margin=12)";

constexpr const char* kLeft = R"(<br align="left"/>)";
constexpr const char* kBridge = R"(fillcolor="#dce8f5" color="#4f7cac" margin="0.25,0.07")";
constexpr const char* kDevice = R"(fillcolor="#ffffff" color="#8a949e")";
constexpr const char* kVlan = R"(fillcolor="#e3f0e0" color="#6b9560")";
constexpr const char* kVxlan = R"(fillcolor="#fcebd8" color="#c07830")";
constexpr const char* kMacvlan = R"(fillcolor="#e0f0ef" color="#4d918c")";
constexpr const char* kRouting = R"(style=filled fillcolor="#f3efda" color="#a89a55")";
constexpr const char* kHost = R"(fillcolor="#ffffff" color="#4a5560" penwidth=1.3 margin="0.15,0.08")";
constexpr const char* kCrowd = R"(style=filled fillcolor="#ffffff" color="#4a5560" peripheries=2 margin="0.15,0.08")";
constexpr const char* kGuest = R"(shape=box3d style=filled fillcolor="#efe6f6" color="#7d5ba6" margin="0.17,0.1")";
constexpr const char* kTap =
    R"(shape=box3d style="filled,dashed" fillcolor="#f7f2fa" color="#7d5ba6" margin="0.17,0.1")";

constexpr const char* kInside = R"(color="#8a949e" weight=3)";
constexpr const char* kUnseen = "style=invis";
constexpr const char* kOn = R"(color="#8a949e" style=dotted penwidth=1.4 weight=3)";
constexpr const char* kRouted = R"(color="#a89a55" style=dotted penwidth=1.4)";
// Straight down even if a machine's frame is wider for it, and so past its name.
constexpr const char* kStraight = "weight=300";
constexpr const char* kAbreast = "minlen=0 weight=300";
constexpr const char* kWire = R"(color="#4a5560:white:#4a5560")";
constexpr const char* kTunnel = R"(color="#c07830" style=dashed penwidth=1.6 constraint=false)";
constexpr const char* kMacvlanOn = R"(color="#4d918c" style=dashed)";

// The length of the character that `text` starts with; 0 if it starts with none that XML in UTF-8 may hold.
std::size_t character_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || length > text.size()) return 0;
    std::uint32_t value = first & (0x7fU >> length);
    for (std::size_t i = 1; i < length; i++) {
        if ((byte(i) & 0xc0) != 0x80) return 0;
        value = value << 6 | (byte(i) & 0x3fU);
    }
    constexpr std::array<std::uint32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = value >= 0xd800 && value <= 0xdfff, none = value == 0xfffe || value == 0xffff;
    return value < kLeast.at(length) || value > 0x10ffff || surrogate || none ? 0 : length;
}

// For Graphviz's labels in angle brackets, which are XML: nothing in `text` can end the label or is read as markup.
std::string escape(std::string_view text) {
    std::string escaped;
    while (!text.empty()) {
        const std::size_t length = character_length(text);
        const std::string_view character = text.substr(0, std::max<std::size_t>(length, 1));
        text.remove_prefix(character.size());
        const auto first = static_cast<unsigned char>(character.front());
        if (length == 0)
            escaped += "\xef\xbf\xbd";  // U+FFFD: Graphviz refuses text that is not UTF-8
        else if (first < 0x20 || first == 0x7f)
            escaped += ' ';
        else if (std::string_view("&<>\"'\\").find(character) != std::string_view::npos)
            escaped += fmt::format("&#{};", first);
        else
            escaped += character;
    }
    return escaped;
}

// For the names of things in the text, which are not drawn.
std::string quote(std::string_view text) {
    std::string quoted = "\"";
    for (const char each : text) {
        if (each == '"' || each == '\\') quoted += '\\';
        if (each != '\0') quoted += each;
    }
    return quoted + '"';
}

std::string bold(const std::string& text) {
    return "<b>" + escape(text) + "</b>";
}

std::string small(const std::string& text) {
    return R"(<font point-size="9" color="#5d6873">)" + escape(text) + "</font>";
}

class DotWriter {
public:
    explicit DotWriter(const Spec& spec) : spec_(spec), plan_(spec) {}

    std::string write() {
        add("digraph {} {{\n", quote(spec_.name));
        add("graph [label=<{}{}<br/>&#160;> {}]\n", bold(spec_.name),
            spec_.about.empty() ? "" : " &#160; " + escape(spec_.about), kGraph);
        add("node [{}]\nedge [{}]\n", kNode, kEdge);
        for (const Node& node : spec_.nodes)
            if (plan_.is_machine(node.name)) add_machine(node);
        for (const Node& node : spec_.nodes)
            if (!plan_.is_machine(node.name) && !hosts_.contains(node.name)) add_hosts({&node});
        add_top_row();
        for (const Link& link : spec_.links) add_link(link);
        for (const Node& node : spec_.nodes) {
            for (const MacvlanDevice& each : node.macvlans) add_macvlan_edge({node.name, each.name}, each);
            for (const VxlanDevice& each : node.vxlans) add_tunnels({node.name, each.name}, each);
        }
        return text_ + "}\n";
    }

private:
    template <class... Args>
    void add(fmt::format_string<Args...> format, Args&&... args) {
        fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
    }

    void add_node(const std::string& id, const std::vector<std::string>& lines, const char* look) {
        add("{} [label=<{}> {}]\n", quote(id), fmt::join(lines, "<br/>"), look);
    }

    void add_edge(const std::string& upper, const std::string& lower, const std::string& look) {
        // The links of a crowd are one.
        if (edges_.emplace(upper, lower).second) add("{} -> {} [{}]\n", quote(upper), quote(lower), look);
    }

    // What a machine holds; then, outside its frame, the crowds of hosts at it.
    void add_machine(const Node& node) {
        const bool routes = forwards(node);
        add("subgraph {} {{\n", quote("cluster " + node.name));
        std::string head = bold(node.name) + kLeft;
        if (!routes)
            for (const std::string& each : notes(node)) head += small(each) + kLeft;
        add("graph [label=<{}> {}]\n", head, kMachine);
        std::vector<Plan::Bundle> crowds;
        for (const Bridge& bridge : node.bridges) add_bridge({node.name, bridge.name}, bridge, crowds);
        for (const Plan::Bundle& each : plan_.bundles(plan_.loose_devices(node.name))) add_devices(each, crowds);
        add_on_relations(node);
        if (routes)
            add_routing(node);
        else
            add_order(node);
        add("}}\n");
        for (const Endpoint& each : plan_.devices(node.name))
            for (Plan::Bundle& uppers : plan_.bundles(plan_.macvlans_on(each))) {
                if (!plan_.is_machine(uppers.front().node)) top_.push_back(uppers.front().node);
                if (uppers.size() > 1) crowds.push_back(std::move(uppers));
            }
        for (const Plan::Bundle& crowd : crowds) {
            std::vector<const Node*> hosts;
            for (const Endpoint& each : crowd) hosts.push_back(plan_.host_behind(each));
            add_hosts(hosts);
        }
    }

    std::vector<std::string> notes(const Node& node) const {
        std::vector<std::string> lines = plan_.notes(node);
        for (std::string& route : plan_.routes(node)) lines.push_back(std::move(route));
        return lines;
    }

    void add_bridge(const Endpoint& here, const Bridge& bridge, std::vector<Plan::Bundle>& crowds) {
        std::vector<std::string> lines = {
            fmt::format("{} {}", bold(here.device), small(fmt::format("{}", fmt::join(plan_.facts(here), ", "))))};
        append(lines, plan_.addresses(here));
        append_mtu_and_mac(lines, here);
        add_node(here.text(), lines, kBridge);
        ids_[here] = here.text();
        std::vector<Endpoint> ports;
        for (const Port& port : bridge.ports) ports.push_back({here.node, port.device});
        for (const Plan::Bundle& each : plan_.bundles(ports)) {
            add_devices(each, crowds);
            if (is_upward(each.front()))
                add_edge(ids_.at(each.front()), here.text(), kInside);
            else
                add_edge(here.text(), ids_.at(each.front()), kInside);
        }
    }

    static void append(std::vector<std::string>& lines, const std::vector<std::string>& texts) {
        for (const std::string& text : texts) lines.push_back(escape(text));
    }
    void append_mtu_and_mac(std::vector<std::string>& lines, const Endpoint& device) const {
        if (const auto mtu = plan_.mtu(device)) lines.push_back(small(*mtu));
        const Interface* settings = plan_.settings(device);
        if (settings != nullptr && settings->mac) lines.push_back(small(settings->mac->text()));
    }

    void add_devices(const Plan::Bundle& bundle, std::vector<Plan::Bundle>& crowds) {
        const Endpoint& first = bundle.front();
        if (const Node* host = plan_.host_behind(first); host != nullptr && is_upward(first))
            top_.push_back(host->name);
        std::vector<std::string> names;
        for (const Endpoint& each : bundle) {
            names.push_back(each.device);
            ids_[each] = first.text();
        }
        const bool plain = bundle.size() > 1 || (plan_.port(first) != nullptr && plan_.cable(first) != nullptr);
        std::vector<std::string> lines = {plain ? escape(range(names)) : bold(first.device)};
        for (const std::string& fact : plan_.facts(first)) lines.push_back(small(fact));
        if (bundle.size() == 1) {
            append(lines, plan_.addresses(first));
            append_mtu_and_mac(lines, first);
        } else {
            crowds.push_back(bundle);
        }
        for (const std::string& fact : plan_.port_facts(first)) lines.push_back(small(fact));
        if (const VxlanDevice* vxlan = plan_.vxlan(first))
            for (const IpAddress& remote : vxlan->remotes)
                if (!plan_.tunnel_end(first, remote)) lines.push_back(small("to " + remote.text()));
        add_node(first.text(), lines, look_of(first));
    }

    const char* look_of(const Endpoint& device) const {
        if (plan_.vlan(device)) return kVlan;
        if (plan_.vxlan(device)) return kVxlan;
        if (plan_.macvlan(device)) return kMacvlan;
        return kDevice;
    }

    // Whether what a link's end leads to is drawn above it. Hosts at bridges are on top, and towards the bottom come
    // the machines that are further from them; a machine's other links lead down, unless it has no bridge.
    bool is_upward(const Endpoint& device) const {
        const Plan::Cable* at = plan_.cable(device);
        if (at == nullptr) return false;
        if (plan_.is_machine(at->far.node)) return plan_.level(at->far.node) < plan_.level(device.node);
        if (plan_.level(device.node) > 0) return false;
        return plan_.port(device) != nullptr ||
               (plan_.node(device.node).bridges.empty() && plan_.macvlans_on(device).empty());
    }

    void add_on_relations(const Node& node) {
        const auto add_on = [&](const Endpoint& upper, const Endpoint& lower) {
            if (!ids_.contains(upper) || !ids_.contains(lower)) return;
            const bool on_bridge = lower.text() == ids_.at(lower) && !plan_.port(lower) && is_bridge(lower);
            add_edge(ids_.at(on_bridge ? lower : upper), ids_.at(on_bridge ? upper : lower), kOn);
        };
        for (const VlanDevice& each : node.vlans) add_on({node.name, each.name}, {node.name, each.on});
        for (const VxlanDevice& each : node.vxlans)
            if (const auto lower = plan_.underlay({node.name, each.name})) add_on({node.name, each.name}, *lower);
    }

    bool is_bridge(const Endpoint& device) const {
        return std::ranges::any_of(plan_.node(device.node).bridges,
                                   [&](const Bridge& each) { return each.name == device.device; });
    }

    // A box between the devices that have addresses: what comes in by one may leave by another.
    void add_routing(const Node& node) {
        const std::string id = node.name + " routing";
        std::vector<std::string> lines;
        for (const std::string& each : notes(node)) lines.push_back(small(each));
        add_node(id, lines, kRouting);
        for (const Endpoint& each : plan_.devices(node.name)) {
            const Interface* settings = plan_.settings(each);
            if (settings == nullptr || settings->addresses.empty() || each.device == "lo") continue;
            if (is_bridge(each) || is_upward(each))
                add_edge(ids_.at(each), id, kRouted);
            else
                add_edge(id, ids_.at(each), kRouted);
        }
    }

    // Nothing joins these to the bridges, below which they belong.
    void add_order(const Node& node) {
        if (node.bridges.empty()) return;
        for (const Endpoint& each : plan_.loose_devices(node.name))
            if (plan_.cable(each) != nullptr && !is_upward(each))
                add_edge(node.name + ':' + node.bridges.front().name, ids_.at(each), kUnseen);
    }

    // Graphviz would put the hosts on top in any order; they keep the file's.
    void add_top_row() {
        if (top_.size() < 2) return;
        add("{{ rank=same\n");
        for (std::size_t i = 1; i < top_.size(); i++) add_edge(top_[i - 1], top_[i], kUnseen);
        add("}}\n");
    }

    // One host, or a crowd of them.
    void add_hosts(const std::vector<const Node*>& hosts) {
        const Node& first = *hosts.front();
        std::vector<std::string> names;
        for (const Node* host : hosts) {
            names.push_back(host->name);
            hosts_[host->name] = first.name;
        }
        std::vector<std::string> lines = {bold(range(names))};
        if (hosts.size() > 1) {
            lines.push_back(escape(plan_.crowd(hosts)));
            return add_node(first.name, lines, kCrowd);
        }
        const auto facts = plan_.host_facts(first);
        if (!facts.empty()) lines.push_back(small(fmt::format("{}", fmt::join(facts, ", "))));
        for (const Endpoint& device : plan_.devices(first.name)) append_host_device(lines, device);
        for (const std::string& each : notes(first)) lines.push_back(small(each));
        add_node(first.name, lines,
                 first.kind == NodeKind::guest ? kGuest
                 : first.kind == NodeKind::tap ? kTap
                                               : kHost);
    }

    void append_host_device(std::vector<std::string>& lines, const Endpoint& device) const {
        if (plan_.macvlan(device) != nullptr)
            lines.push_back(small(fmt::format("{}", fmt::join(plan_.facts(device), ", "))));
        std::vector<std::string> own = plan_.addresses(device);
        if (own.empty()) own.emplace_back();
        lines.push_back(small(device.device) + ' ' + escape(own.front()));
        append(lines, {own.begin() + 1, own.end()});
        append_mtu_and_mac(lines, device);
    }

    const std::string& id_of(const Endpoint& end) const {
        return plan_.is_machine(end.node) ? ids_.at(end) : hosts_.at(end.node);
    }

    void add_link(const Link& link) {
        const auto& [a, b] = link.ends;
        const bool turned = plan_.is_machine(a.node) ? is_upward(a) : plan_.is_machine(b.node) && !is_upward(b);
        // Neither of two machines is above the other if both are as far from the hosts.
        const bool abreast = plan_.is_machine(a.node) && plan_.is_machine(b.node) && !is_upward(a) && !is_upward(b);
        std::string look = abreast ? kAbreast : kStraight;
        if (link.wire) look += std::string(" ") + kWire;
        if (const auto mtu = plan_.mtu(link)) look += fmt::format(" label=\" {} \"", *mtu);
        add_edge(id_of(turned ? b : a), id_of(turned ? a : b), look);
    }

    void add_macvlan_edge(const Endpoint& device, const MacvlanDevice& macvlan) {
        add_edge(id_of(device), id_of(macvlan.on), kMacvlanOn);
    }

    // Once for both ends where each names the other, with an arrow where only one does.
    void add_tunnels(const Endpoint& here, const VxlanDevice& vxlan) {
        for (const IpAddress& remote : vxlan.remotes) {
            const auto there = plan_.tunnel_end(here, remote);
            if (!there) continue;
            const auto& back = plan_.vxlan(*there)->remotes;
            const bool mutual = std::ranges::find(back, vxlan.local) != back.end();
            if (mutual && edges_.contains({there->text(), here.text()})) continue;
            add_edge(ids_.at(here), ids_.at(*there),
                     mutual ? kTunnel : std::string(kTunnel) + " dir=forward arrowsize=0.7");
        }
    }

    const Spec& spec_;
    const Plan plan_;
    std::string text_;
    std::map<Endpoint, std::string> ids_;       // of the devices of machines
    std::map<std::string, std::string> hosts_;  // the boxes of hosts, by node
    std::vector<std::string> top_;              // boxes of hosts, from left to right
    std::set<std::pair<std::string, std::string>> edges_;
};

}  // namespace

std::string dot_graph(const Spec& spec) {
    return DotWriter(spec).write();
}

}  // namespace underpass::lab
