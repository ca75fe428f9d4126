// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "lab/check.h"
#include "lab/guest.h"
#include "yaml/reader.h"

namespace underpass::lab {

namespace {

constexpr std::size_t kMostExpectations = 1000000;
constexpr std::uint32_t kSmallestMtu = 68, kLargestMtu = 65535, kLargestVni = (1U << 24) - 1;
constexpr std::uint16_t kLargestVid = 4094;

class LabReader : YamlReader {
public:
    using YamlReader::YamlReader;

    Spec read(const std::string& text) {
        const YAML::Node root = load(text);
        if (root.IsNull())
            fail(YAML::Mark(), "the file is empty (`underpass lab init MODEL` prints one to start from)");
        check(root, "lab", "the file");
        Spec spec;
        spec.name = required_text(root, "name", "the file");
        spec.mark = mark_of(root["name"]);
        if (const auto node = root["about"]) spec.about = scalar<std::string>(node, "a line of text");
        const auto all = root["accelerate"] ? accelerate(root["accelerate"]) : std::nullopt;
        if (!root["nodes"]) fail(root, "a lab needs nodes");
        for_each(root["nodes"], "nodes", [&](const YAML::Node& key, const YAML::Node& node) {
            spec.nodes.push_back(read_node(key, node, all));
        });
        each_of(root["links"], "links", [&](const YAML::Node& node) { spec.links.push_back(read_link(node)); });
        for (const bool reach : {true, false})
            each_of(root[reach ? "reach" : "isolate"], reach ? "reach" : "isolate",
                    [&](const YAML::Node& node) { add_expectations(spec, node, reach); });
        return spec;
    }

private:
    using Name = std::string;

    static Mark mark_of(const YAML::Node& node) { return {node.Mark().line + 1, node.Mark().column + 1}; }

    void check(const YAML::Node& node, std::string_view part, const std::string& what) const {
        check_keys(node, known_keys().at(part), what);
    }

    // Calls `use(key, value)` for each entry of a map; an absent map has none.
    template <class Use>
    void for_each(const YAML::Node& map, const std::string& what, Use&& use) const {
        if (!map) return;
        require_map(map, what);
        for (const auto& entry : map) use(entry.first, entry.second);
    }
    template <class Use>
    void each_of(const YAML::Node& list, const std::string& what, Use&& use) const {
        if (!list) return;
        require_list(list, what);
        for (const auto& node : list) use(node);
    }

    std::string required_text(const YAML::Node& map, const char* key, const std::string& what) const {
        if (!map[key]) fail(map, fmt::format("{} needs the key '{}'", what, key));
        return scalar<std::string>(map[key], "a text");
    }

    template <class Number>
    Number number_of(const YAML::Node& node, const std::string& what, Number least, Number most) const {
        const auto value = scalar<std::int64_t>(node, "a number");
        if (value < std::int64_t{least} || value > std::int64_t{most})
            fail(node, fmt::format("{} must be from {} to {}, not {}", what, least, most, value));
        return static_cast<Number>(value);
    }
    bool flag(const YAML::Node& map, const char* key, bool otherwise = false) const {
        return map[key] ? scalar<bool>(map[key], "true or false") : otherwise;
    }
    IpAddress address(const YAML::Node& node) const {
        const auto text = scalar<std::string>(node, "an IP address");
        if (const auto parsed = IpAddress::parse(text)) return *parsed;
        fail(node, fmt::format("'{}' is no IP address", text));
    }
    IpPrefix prefix(const YAML::Node& node, bool length_needed) const {
        const auto text = scalar<std::string>(node, "an address with its prefix length");
        const auto parsed = IpPrefix::parse(text);
        if (!parsed) fail(node, fmt::format("'{}' is no address with a prefix length, as 10.1.0.2/24 is", text));
        if (length_needed && text.find('/') == std::string::npos)
            fail(node,
                 fmt::format("'{}' needs its prefix length, as in {}/{}", text, text, parsed->address.v6 ? 64 : 24));
        return *parsed;
    }
    Vid vid(const YAML::Node& node) const { return Vid{number_of<std::uint16_t>(node, "a VLAN id", 1, kLargestVid)}; }
    std::uint16_t port(const YAML::Node& node) const { return number_of<std::uint16_t>(node, "a port", 1, 65535); }

    std::optional<HookChoice> accelerate(const YAML::Node& node) const {
        const auto text = scalar<std::string>(node, "true, xdp, tc or false");
        if (text == "false") return std::nullopt;
        if (text == "true") return HookChoice::automatic;
        if (const auto choice = parse_hook_choice(text)) return *choice;
        fail(node, fmt::format("'{}' is no way to accelerate: expected true (or auto), xdp, tc or false", text));
    }

    // The keys that every device has.
    void read_interface(Interface& interface, const YAML::Node& key, const YAML::Node& node) const {
        interface.name = scalar<std::string>(key, "the name of a device");
        interface.mark = mark_of(key);
        each_of(node["addresses"], "addresses",
                [&](const YAML::Node& each) { interface.addresses.push_back(prefix(each, true)); });
        if (const auto mac = node["mac"]) {
            const auto text = scalar<std::string>(mac, "a MAC address");
            interface.mac = MacAddr::parse(text);
            if (!interface.mac) fail(mac, fmt::format("'{}' is no MAC address, as 02:00:00:00:00:01 is", text));
            if ((interface.mac->bytes[0] & 1) != 0) fail(mac, fmt::format("{} is the address of a group", text));
        }
        if (node["mtu"]) interface.mtu = mtu(node["mtu"]);
    }
    std::uint32_t mtu(const YAML::Node& node) const {
        return number_of<std::uint32_t>(node, "an MTU", kSmallestMtu, kLargestMtu);
    }

    VlanMembership membership(const YAML::Node& node) const {
        VlanMembership vlans;
        if (node["pvid"]) vlans.pvid = vid(node["pvid"]);
        each_of(node["tagged"], "tagged", [&](const YAML::Node& each) {
            vlans.tagged.push_back(vid(each));
            if (vlans.pvid == vlans.tagged.back() || std::ranges::count(vlans.tagged, vlans.tagged.back()) > 1)
                fail(each, fmt::format("VLAN {} is there twice", number(vlans.tagged.back())));
        });
        return vlans;
    }

    Port read_port(const YAML::Node& node) const {
        Port port;
        port.mark = mark_of(node);
        if (node.IsScalar()) {
            port.device = node.as<std::string>();
            return port;
        }
        check(node, "port", "a port");
        port.device = required_text(node, "device", "a port");
        port.vlans = membership(node);
        port.isolated = flag(node, "isolated");
        port.hairpin = flag(node, "hairpin");
        return port;
    }

    Bridge read_bridge(const YAML::Node& key, const YAML::Node& node) const {
        check(node, "bridge", "a bridge");
        Bridge bridge;
        read_interface(bridge, key, node);
        bridge.stp = flag(node, "stp");
        bridge.vlan_filtering = flag(node, "vlan_filtering");
        bridge.multicast_snooping = flag(node, "multicast_snooping", true);
        if (node["ageing"])
            bridge.ageing =
                std::chrono::seconds(number_of<std::uint32_t>(node["ageing"], "ageing (seconds)", 0, 1000000));
        each_of(node["ports"], "ports", [&](const YAML::Node& each) { bridge.ports.push_back(read_port(each)); });
        bridge.self = membership(node);
        return bridge;
    }

    VlanDevice read_vlan(const YAML::Node& key, const YAML::Node& node) const {
        check(node, "vlan", "a VLAN device");
        VlanDevice vlan;
        read_interface(vlan, key, node);
        vlan.on = required_text(node, "on", "a VLAN device");
        if (!node["id"]) fail(node, "a VLAN device needs the key 'id'");
        vlan.id = vid(node["id"]);
        if (const auto protocol = node["protocol"]) {
            const auto text = scalar<std::string>(protocol, "802.1Q or 802.1ad");
            if (text != "802.1Q" && text != "802.1ad") fail(protocol, "expected 802.1Q or 802.1ad, not '" + text + "'");
            vlan.service = text == "802.1ad";
        }
        return vlan;
    }

    VxlanDevice read_vxlan(const YAML::Node& key, const YAML::Node& node) const {
        check(node, "vxlan", "a VXLAN");
        VxlanDevice vxlan;
        read_interface(vxlan, key, node);
        for (const char* needed : {"vni", "local"})
            if (!node[needed]) fail(node, fmt::format("a VXLAN needs the key '{}'", needed));
        vxlan.vni = number_of<std::uint32_t>(node["vni"], "a VNI", 0, kLargestVni);
        vxlan.local = address(node["local"]);
        each_of(node["remotes"], "remotes", [&](const YAML::Node& each) {
            vxlan.remotes.push_back(address(each));
            if (vxlan.remotes.back().v6 != vxlan.local.v6) fail(each, "a remote must be of the local address's family");
        });
        if (node["on"]) vxlan.on = scalar<std::string>(node["on"], "the name of a device");
        if (node["port"]) vxlan.port = port(node["port"]);
        vxlan.learning = flag(node, "learning", true);
        return vxlan;
    }

    MacvlanDevice read_macvlan(const YAML::Node& key, const YAML::Node& node, const std::string& here) const {
        check(node, "macvlan", "a macvlan");
        MacvlanDevice macvlan;
        read_interface(macvlan, key, node);
        const std::string on = required_text(node, "on", "a macvlan");
        macvlan.on = on.find(':') == std::string::npos ? Endpoint{here, on} : endpoint(node["on"]);
        if (const auto mode = node["mode"]) {
            static const std::map<std::string, MacvlanMode> modes = {{"bridge", MacvlanMode::bridge},
                                                                     {"vepa", MacvlanMode::vepa},
                                                                     {"private", MacvlanMode::isolated},
                                                                     {"passthru", MacvlanMode::passthru}};
            const auto found = modes.find(scalar<std::string>(mode, "bridge, vepa, private or passthru"));
            if (found == modes.end()) fail(mode, "expected bridge, vepa, private or passthru");
            macvlan.mode = found->second;
        }
        return macvlan;
    }

    Route read_route(const YAML::Node& node) const {
        check(node, "route", "a route");
        Route route;
        route.mark = mark_of(node);
        if (node["via"]) route.via = address(node["via"]);
        if (node["dev"]) route.dev = scalar<std::string>(node["dev"], "the name of a device");
        if (!route.via && !route.dev) fail(node, "a route needs 'via' or 'dev'");
        if (!node["to"]) fail(node, "a route needs the key 'to'");
        if (node["to"].IsScalar() && node["to"].as<std::string>() == "default")
            route.to.address.v6 = route.via && route.via->v6;
        else
            route.to = prefix(node["to"], false);
        if (route.via && route.via->v6 != route.to.address.v6) fail(node, "'to' and 'via' must be of one family");
        return route;
    }

    NatRule read_nat(const YAML::Node& node) const {
        check(node, "nat", "a NAT rule");
        NatRule rule;
        rule.mark = mark_of(node);
        const int kinds =
            int{node["masquerade"].IsDefined()} + int{node["snat"].IsDefined()} + int{node["dnat"].IsDefined()};
        if (kinds != 1) fail(node, "a NAT rule is one of masquerade, snat and dnat");
        const auto refuse = [&](std::initializer_list<const char*> keys, const char* kind) {
            for (const char* key : keys)
                if (node[key]) fail(node[key], fmt::format("'{}' says nothing for {}", key, kind));
        };
        if (node["out"]) rule.out = scalar<std::string>(node["out"], "the name of a device");
        if (node["in"]) rule.in = scalar<std::string>(node["in"], "the name of a device");
        if (const auto from = node["masquerade"]) {
            refuse({"in", "protocol", "port", "to", "to_port"}, "masquerade");
            rule.kind = NatRule::Kind::masquerade;
            rule.from = prefix(from, false);
        } else if (const auto source = node["snat"]) {
            refuse({"in", "protocol", "port", "to_port"}, "snat");
            rule.kind = NatRule::Kind::snat;
            rule.from = prefix(source, false);
            if (!node["to"]) fail(node, "snat needs the key 'to'");
            rule.to = address(node["to"]);
            if (rule.to->v6 != rule.from->address.v6) fail(node["to"], "'snat' and 'to' must be of one family");
        } else {
            refuse({"out", "to"}, "dnat");
            rule.kind = NatRule::Kind::dnat;
            rule.to = address(node["dnat"]);
            if (!node["port"]) fail(node, "dnat needs the key 'port'");
            rule.port = port(node["port"]);
            rule.to_port = node["to_port"] ? port(node["to_port"]) : rule.port;
            if (node["protocol"]) rule.protocol = scalar<std::string>(node["protocol"], "tcp or udp");
            if (rule.protocol != "tcp" && rule.protocol != "udp") fail(node["protocol"], "expected tcp or udp");
        }
        return rule;
    }

    void read_kind(Node& node, const YAML::Node& yaml) const {
        if (flag(yaml, "tap")) node.kind = NodeKind::tap;
        const auto guest = yaml["guest"];
        if (!guest) return;
        if (node.kind == NodeKind::tap) fail(guest, "a node is either a tap for somebody's guest or a guest of ours");
        node.kind = NodeKind::guest;
        if (guest.IsScalar()) {
            if (!scalar<bool>(guest, "true or a map")) node.kind = NodeKind::space;
            return;
        }
        check(guest, "guest", "a guest");
        if (guest["memory"])
            node.guest.memory_mib =
                number_of<std::uint32_t>(guest["memory"], "memory (MiB)", kLeastGuestMemory, 1U << 20);
    }

    Node read_node(const YAML::Node& key, const YAML::Node& yaml, std::optional<HookChoice> all) const {
        Node node;
        node.name = scalar<std::string>(key, "the name of a node");
        node.mark = mark_of(key);
        node.accelerate = all;
        if (yaml.IsNull()) return node;  // `a:`, with nothing to say of it
        check(yaml, "node", "a node");
        read_kind(node, yaml);
        for_each(yaml["interfaces"], "interfaces", [&](const YAML::Node& name, const YAML::Node& device) {
            check(device, "interface", "an interface");
            read_interface(node.interfaces.emplace_back(), name, device);
        });
        for_each(yaml["bridges"], "bridges", [&](const YAML::Node& name, const YAML::Node& device) {
            node.bridges.push_back(read_bridge(name, device));
        });
        for_each(yaml["vlans"], "vlans", [&](const YAML::Node& name, const YAML::Node& device) {
            node.vlans.push_back(read_vlan(name, device));
        });
        for_each(yaml["vxlans"], "vxlans", [&](const YAML::Node& name, const YAML::Node& device) {
            node.vxlans.push_back(read_vxlan(name, device));
        });
        for_each(yaml["macvlans"], "macvlans", [&](const YAML::Node& name, const YAML::Node& device) {
            node.macvlans.push_back(read_macvlan(name, device, node.name));
        });
        each_of(yaml["routes"], "routes", [&](const YAML::Node& each) { node.routes.push_back(read_route(each)); });
        for_each(yaml["sysctls"], "sysctls", [&](const YAML::Node& name, const YAML::Node& value) {
            node.sysctls.emplace_back(sysctl_name(name), scalar<std::string>(value, "a value"));
        });
        each_of(yaml["nat"], "nat", [&](const YAML::Node& each) { node.nat.push_back(read_nat(each)); });
        if (yaml["nftables"]) node.nftables = scalar<std::string>(yaml["nftables"], "rules as nft reads them");
        if (yaml["accelerate"]) node.accelerate = accelerate(yaml["accelerate"]);
        return node;
    }

    // Of the network, which is the node's own; others are the whole machine's.
    std::string sysctl_name(const YAML::Node& node) const {
        auto name = scalar<std::string>(node, "the name of a sysctl");
        const std::string_view bare = std::string_view(name).substr(name.starts_with('-') ? 1 : 0);
        if (!(bare.starts_with("net.") || bare.starts_with("net/")) || bare.find("..") != std::string_view::npos)
            fail(node, fmt::format("'{}' is no sysctl of a node: they begin with net.", name));
        return name;
    }

    Endpoint endpoint(const YAML::Node& node) const {
        const auto text = scalar<std::string>(node, "NODE:DEVICE");
        const std::size_t colon = text.find(':');
        if (colon == std::string::npos || text.find(':', colon + 1) != std::string::npos)
            fail(node, fmt::format("'{}' is no end of a link: expected NODE:DEVICE", text));
        return {text.substr(0, colon), text.substr(colon + 1)};
    }

    Link read_link(const YAML::Node& node) const {
        check(node, "link", "a link");
        Link link;
        link.mark = mark_of(node);
        const auto ends = node["ends"];
        if (!ends) fail(node, "a link needs the key 'ends'");
        if (!ends.IsSequence() || ends.size() != link.ends.size())
            fail(ends, "a link has two ends, as in [host:a, a:eth0]");
        for (std::size_t i = 0; i < link.ends.size(); i++) link.ends.at(i) = endpoint(ends[i]);
        if (node["mtu"]) link.mtu = mtu(node["mtu"]);
        link.wire = flag(node, "wire");
        return link;
    }

    std::vector<std::string> names(const YAML::Node& node) const {
        std::vector<std::string> all;
        if (node.IsScalar()) return {node.as<std::string>()};
        each_of(node, "this", [&](const YAML::Node& each) { all.push_back(scalar<std::string>(each, "a node")); });
        return all;
    }

    // Every pair of those named, whoever is named on both sides apart from itself.
    void add_expectations(Spec& spec, const YAML::Node& node, bool reach) const {
        check(node, "expectation", "an expectation");
        for (const char* needed : {"from", "to"})
            if (!node[needed]) fail(node, fmt::format("an expectation needs the key '{}'", needed));
        const auto sources = names(node["from"]), targets = names(node["to"]);
        if (spec.expectations.size() + sources.size() * targets.size() > kMostExpectations)
            fail(node, fmt::format("more than {} expectations", kMostExpectations));
        for (const std::string& from : sources)
            for (const std::string& to : targets)
                if (from != to) spec.expectations.push_back({mark_of(node), reach, from, to});
    }
};

}  // namespace

const std::map<std::string_view, std::vector<std::string_view>>& known_keys() {
    static const std::map<std::string_view, std::vector<std::string_view>> keys = {
        {"lab", {"name", "about", "accelerate", "nodes", "links", "reach", "isolate"}},
        {"node",
         {"interfaces", "bridges", "vlans", "vxlans", "macvlans", "routes", "sysctls", "nat", "nftables", "tap",
          "guest", "accelerate"}},
        {"interface", {"addresses", "mac", "mtu"}},
        {"bridge",
         {"ports", "addresses", "mac", "mtu", "stp", "vlan_filtering", "multicast_snooping", "ageing", "pvid",
          "tagged"}},
        {"port", {"device", "pvid", "tagged", "isolated", "hairpin"}},
        {"vlan", {"on", "id", "protocol", "addresses", "mac", "mtu"}},
        {"vxlan", {"vni", "local", "remotes", "on", "port", "learning", "addresses", "mac", "mtu"}},
        {"macvlan", {"on", "mode", "addresses", "mac", "mtu"}},
        {"route", {"to", "via", "dev"}},
        {"nat", {"masquerade", "snat", "dnat", "out", "in", "protocol", "port", "to", "to_port"}},
        {"guest", {"memory"}},
        {"link", {"ends", "mtu", "wire"}},
        {"expectation", {"from", "to"}},
    };
    return keys;
}

Spec parse_spec(const std::string& text, const std::string& file) {
    Spec spec = LabReader(file).read(text);
    check_spec(spec, file);
    return spec;
}

}  // namespace underpass::lab
