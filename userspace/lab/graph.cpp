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

#include "lab/plan.h"

namespace underpass::lab {

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
