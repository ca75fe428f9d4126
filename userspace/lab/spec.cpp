// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/spec.h"

#include <algorithm>

namespace underpass::lab {

const Node* Spec::find(std::string_view node) const {
    const auto found = std::ranges::find(nodes, node, &Node::name);
    return found == nodes.end() ? nullptr : &*found;
}

Node quiet_node(const std::string& name) {
    Node node;
    node.name = name;
    for (const char* devices : {"all", "default"})
        node.sysctls.emplace_back(std::string("-net.ipv6.conf.") + devices + ".disable_ipv6", "1");
    for (const char* tables : {"iptables", "ip6tables", "arptables"})
        node.sysctls.emplace_back(std::string("-net.bridge.bridge-nf-call-") + tables, "0");
    return node;
}

std::vector<const Interface*> interfaces_of(const Node& node) {
    std::vector<const Interface*> all;
    for (const auto& each : node.interfaces) all.push_back(&each);
    for (const auto& each : node.bridges) all.push_back(&each);
    for (const auto& each : node.vxlans) all.push_back(&each);
    for (const auto& each : node.vlans) all.push_back(&each);
    for (const auto& each : node.macvlans) all.push_back(&each);
    return all;
}

std::vector<IpAddress> addresses_of(const Node& node) {
    std::vector<IpAddress> all;
    for (const Interface* each : interfaces_of(node))
        for (const IpPrefix& prefix : each->addresses) all.push_back(prefix.address);
    return all;
}

std::string namespace_name(std::string_view lab, std::string_view node) {
    return std::string(lab) + '.' + std::string(node);
}

}  // namespace underpass::lab
