// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/check.h"

#include <fmt/format.h>
#include <linux/if.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "yaml/reader.h"

namespace underpass::lab {

namespace {

constexpr std::size_t kLongestName = 32;

bool is_device_name(std::string_view text) {
    constexpr std::string_view kForbidden = "/: \t\n\v\f\r%";
    return !text.empty() && text.size() < IFNAMSIZ && text != "." && text != ".." &&
           text.find_first_of(kForbidden) == std::string_view::npos && text.find('\0') == std::string_view::npos;
}

bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Sets of things that belong together, joined two by two.
class Groups {
public:
    std::size_t of(const Endpoint& place) {
        const auto [entry, fresh] = numbers_.emplace(place, parents_.size());
        if (fresh) parents_.push_back(entry->second);
        return root(entry->second);
    }
    void join(const Endpoint& a, const Endpoint& b) { parents_[of(a)] = of(b); }

private:
    std::size_t root(std::size_t i) {
        while (parents_[i] != i) i = parents_[i] = parents_[parents_[i]];
        return i;
    }

    std::map<Endpoint, std::size_t> numbers_;
    std::vector<std::size_t> parents_;
};

class Checker {
public:
    Checker(const Spec& spec, const std::string& file) : spec_(spec), file_(file) {}

    void check() {
        check_names();
        for (const Link& link : spec_.links) check_link(link);
        for (const Node& node : spec_.nodes) collect_devices(node);
        for (const Node& node : spec_.nodes) {
            if (node.kind == NodeKind::space)
                check_space(node);
            else
                check_machine(node);
        }
        check_addresses();
        for (const Expectation& each : spec_.expectations) {
            node_named(each.from, each.mark);
            if (!IpAddress::parse(each.to)) node_named(each.to, each.mark);
            if (node_named(each.from, each.mark).kind == NodeKind::tap)
                fail(each.mark, fmt::format("{} is a tap: nothing can be tried from it", each.from));
        }
    }

private:
    [[noreturn]] void fail(const Mark& mark, const std::string& what) const {
        throw FileError(file_, mark.line, mark.column, what);
    }

    static std::string nearest_of(const std::string& name, const std::vector<std::string_view>& known) {
        return known.empty() ? "" : fmt::format(" (nearest: '{}')", nearest(name, known));
    }

    void check_names() {
        const auto require_name = [&](const std::string& name, const Mark& mark, const char* what) {
            if (!is_name(name))
                fail(mark, fmt::format("'{}' is no name for a {}: letters, digits, '-' and '_', {} at most", name, what,
                                       kLongestName));
        };
        require_name(spec_.name, spec_.mark, "lab");
        if (spec_.nodes.empty()) fail(spec_.mark, "a lab needs nodes");
        std::set<std::string> names;
        for (const Node& node : spec_.nodes) {
            require_name(node.name, node.mark, "node");
            if (!names.insert(node.name).second) fail(node.mark, fmt::format("node {} is there twice", node.name));
            node_names_.push_back(node.name);
        }
    }

    const Node& node_named(const std::string& name, const Mark& mark) const {
        const Node* node = spec_.find(name);
        if (node == nullptr) fail(mark, fmt::format("there is no node '{}'{}", name, nearest_of(name, node_names_)));
        return *node;
    }

    void add_device(const Endpoint& device, const Mark& mark) {
        if (!is_device_name(device.device))
            fail(mark, fmt::format("'{}' is no name for a device: {} characters at most, no '/', ':', '%' or space",
                                   device.device, IFNAMSIZ - 1));
        // These names mean something else to the kernel, here or among its sysctls.
        if (device.device == "lo" || device.device == "all" || device.device == "default")
            fail(mark, fmt::format("a device cannot be called {}", device.device));
        if (!devices_.emplace(device, mark).second)
            fail(mark, fmt::format("device {} of node {} is there twice", device.device, device.node));
    }

    void check_link(const Link& link) {
        int machines = 0;
        for (const Endpoint& end : link.ends) {
            const Node& node = node_named(end.node, link.mark);
            add_device(end, link.mark);
            if (node.kind == NodeKind::space) continue;
            machines++;
            if (end.device != "eth0")
                fail(link.mark, fmt::format("the device of {} is eth0, not {}", node.name, end.device));
        }
        if (machines == 2) fail(link.mark, "a link needs a namespace at one end at least: there the tap is");
        if (machines == 1 && link.wire) fail(link.mark, "a tap cannot be a wire");
    }

    void collect_devices(const Node& node) {
        const auto add = [&](const Interface& each) { add_device({node.name, each.name}, each.mark); };
        for (const auto& each : node.bridges) add(each);
        for (const auto& each : node.vxlans) add(each);
        for (const auto& each : node.vlans) add(each);
        for (const auto& each : node.macvlans) add(each);
    }

    void require_device(const Endpoint& device, const Mark& mark) const {
        if (devices_.contains(device)) return;
        std::vector<std::string_view> known;
        for (const auto& [each, at] : devices_)
            if (each.node == device.node) known.push_back(each.device);
        fail(mark,
             fmt::format("node {} has no device '{}'{}", device.node, device.device, nearest_of(device.device, known)));
    }

    // A guest, or a tap for one: a device, addresses and routes, no more.
    void check_machine(const Node& node) const {
        const std::string what = node.kind == NodeKind::tap ? "a tap" : "a guest";
        if (!devices_.contains({node.name, "eth0"}))
            fail(node.mark, fmt::format("{} is {}: it needs a link", node.name, what));
        if (!node.bridges.empty() || !node.vlans.empty() || !node.vxlans.empty() || !node.macvlans.empty() ||
            !node.sysctls.empty() || !node.nat.empty() || node.nftables)
            fail(node.mark, fmt::format("{} is {}: it can have interfaces and routes, nothing else", node.name, what));
        for (const Interface& each : node.interfaces) require_device({node.name, each.name}, each.mark);
    }

    void check_space(const Node& node) {
        std::set<std::string> listed;
        for (const Interface& each : node.interfaces) {
            if (each.name != "lo") require_device({node.name, each.name}, each.mark);
            if (!listed.insert(each.name).second) fail(each.mark, fmt::format("{} is listed twice", each.name));
            for (const Interface* other : interfaces_of(node))
                if (other != &each && other->name == each.name)
                    fail(each.mark, fmt::format("{} is described twice, at line {} too", each.name, other->mark.line));
        }
        std::map<std::string, std::string> bridge_of;
        for (const Bridge& bridge : node.bridges) check_bridge(node, bridge, bridge_of);
        for (const VlanDevice& vlan : node.vlans) {
            require_device({node.name, vlan.on}, vlan.mark);
            if (vlan.on == vlan.name) fail(vlan.mark, vlan.name + " cannot be on itself");
        }
        for (const VxlanDevice& vxlan : node.vxlans) check_vxlan(node, vxlan);
        for (const MacvlanDevice& macvlan : node.macvlans) {
            if (node_named(macvlan.on.node, macvlan.mark).kind != NodeKind::space)
                fail(macvlan.mark,
                     fmt::format("{} is no namespace: a macvlan cannot be on its device", macvlan.on.node));
            require_device(macvlan.on, macvlan.mark);
        }
        for (const Route& route : node.routes) {
            if (route.dev) require_device({node.name, *route.dev}, route.mark);
            if (!route.to.is_network())
                fail(route.mark, fmt::format("{} is no destination: it has bits behind its prefix", route.to.text()));
        }
        for (const NatRule& rule : node.nat)
            for (const auto& device : {rule.in, rule.out})
                if (device) require_device({node.name, *device}, rule.mark);
    }

    void check_vxlan(const Node& node, const VxlanDevice& vxlan) const {
        if (vxlan.on) require_device({node.name, *vxlan.on}, vxlan.mark);
        if (std::ranges::count(addresses_of(node), vxlan.local) == 0)
            fail(vxlan.mark, fmt::format("{} is no address of node {}, so {} cannot have it as its local one",
                                         vxlan.local.text(), node.name, vxlan.name));
        for (const VxlanDevice& other : node.vxlans)
            if (&other != &vxlan && other.vni == vxlan.vni && other.port == vxlan.port)
                fail(vxlan.mark, fmt::format("{} and {} have the same VNI at the same port", other.name, vxlan.name));
    }

    void check_bridge(const Node& node, const Bridge& bridge, std::map<std::string, std::string>& bridge_of) const {
        const auto is_bridge = [&](const std::string& name) {
            return std::ranges::find(node.bridges, name, &Bridge::name) != node.bridges.end();
        };
        for (const Port& port : bridge.ports) {
            require_device({node.name, port.device}, port.mark);
            if (is_bridge(port.device))
                fail(port.mark, fmt::format("{} is a bridge: it cannot be a port", port.device));
            const auto [entry, fresh] = bridge_of.emplace(port.device, bridge.name);
            if (!fresh) fail(port.mark, fmt::format("{} is a port of {} already", port.device, entry->second));
            if (!port.vlans.is_default() && !bridge.vlan_filtering)
                fail(port.mark, fmt::format("{} is not VLAN-aware: say vlan_filtering: true", bridge.name));
        }
        if (!bridge.self.is_default() && !bridge.vlan_filtering)
            fail(bridge.mark, fmt::format("{} is not VLAN-aware: say vlan_filtering: true", bridge.name));
    }

    // An address may be there once in a node, and once among the devices that certainly share a network: those joined
    // by links, bridges, macvlans and VNIs. A VLAN-aware bridge keeps some of its ports apart, so it joins none here.
    void check_addresses() {
        Groups networks;
        for (const Link& link : spec_.links) networks.join(link.ends[0], link.ends[1]);
        for (const Node& node : spec_.nodes) {
            for (const Bridge& bridge : node.bridges)
                if (!bridge.vlan_filtering)
                    for (const Port& port : bridge.ports)
                        networks.join({node.name, bridge.name}, {node.name, port.device});
            for (const VxlanDevice& vxlan : node.vxlans)
                networks.join({node.name, vxlan.name}, {"", "VNI " + std::to_string(vxlan.vni)});
            for (const MacvlanDevice& macvlan : node.macvlans) networks.join({node.name, macvlan.name}, macvlan.on);
        }
        std::map<std::pair<std::size_t, IpAddress>, Endpoint> in_network;
        for (const Node& node : spec_.nodes) {
            std::map<IpAddress, std::string> in_node;
            for (const Interface* each : interfaces_of(node)) {
                const Endpoint here{node.name, each->name};
                for (const IpPrefix& prefix : each->addresses) {
                    if (!prefix.is_host())
                        fail(each->mark,
                             fmt::format("{} is no address of a host: it means its whole subnet", prefix.text()));
                    const auto [own, fresh_here] = in_node.emplace(prefix.address, each->name);
                    const auto [other, fresh] = in_network.emplace(std::pair(networks.of(here), prefix.address), here);
                    if (!fresh_here || !fresh)
                        fail(each->mark,
                             fmt::format("address {} of {} is {}'s already", prefix.address.text(), here.text(),
                                         fresh ? Endpoint{node.name, own->second}.text() : other->second.text()));
                }
            }
        }
    }

    const Spec& spec_;
    const std::string& file_;
    std::vector<std::string_view> node_names_;
    std::map<Endpoint, Mark> devices_;
};

}  // namespace

bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= kLongestName && is_letter_or_digit(text.front()) &&
           std::ranges::all_of(text, [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_'; });
}

void check_spec(const Spec& spec, const std::string& file) {
    Checker(spec, file).check();
}

}  // namespace underpass::lab
