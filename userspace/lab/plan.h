// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Who is where in a lab, and how it is said in a picture: what the graph (graph.h) and the drawing for a terminal
// (drawing.h) share.
//
// Pure. A machine (a node with a bridge, with a device on another, or with several devices) is drawn with what is in
// it; any other node is a host, drawn as one thing at the end of its link. A crowd of hosts at one bridge is one.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "lab/spec.h"

namespace underpass::lab {

// More hosts than this at one bridge (or at one machine beside its bridges) are drawn as crowds.
inline constexpr std::size_t kMostHostsApart = 24;

// Refers to the Spec, which must outlive it.
class Plan {
public:
    struct Cable {
        const Link* link = nullptr;
        Endpoint far;
    };
    // Devices of one machine that are drawn as one: with hosts behind them that differ in nothing but names and
    // addresses. Most are of one device.
    using Bundle = std::vector<Endpoint>;

    explicit Plan(const Spec& spec);

    const Node& node(const std::string& name) const { return *nodes_.at(name); }
    bool is_machine(const std::string& node) const { return machines_.contains(node); }
    // Links from the next machine that has hosts at its bridges: what is far from them is drawn below.
    std::size_t level(const std::string& machine) const;

    // All devices of a node: bridges, ends of links, then what is on them, then `lo` if it has addresses.
    const std::vector<Endpoint>& devices(const std::string& node) const;
    // Those of them that are neither bridges nor ports of one.
    std::vector<Endpoint> loose_devices(const std::string& node) const;
    // Absent (null) if the device is none of that kind, or has no settings in the file.
    const Interface* settings(const Endpoint& device) const;
    const Cable* cable(const Endpoint& device) const;
    const Port* port(const Endpoint& device) const;
    const VlanDevice* vlan(const Endpoint& device) const;
    const VxlanDevice* vxlan(const Endpoint& device) const;
    const MacvlanDevice* macvlan(const Endpoint& device) const;
    const std::vector<Endpoint>& macvlans_on(const Endpoint& lower) const;
    // The device that the frames of a VXLAN leave by, if the file tells.
    std::optional<Endpoint> underlay(const Endpoint& vxlan) const;
    // The other VXLAN that `remote` of this one names.
    std::optional<Endpoint> tunnel_end(const Endpoint& vxlan, const IpAddress& remote) const;

    std::vector<Bundle> bundles(const std::vector<Endpoint>& devices) const;
    // The host that a device leads to, by a link or as a macvlan on it; null if to none or to a machine.
    const Node* host_behind(const Endpoint& device) const;

    // What a device is: {"bridge", "VLAN-aware"}, {"VLAN 10 on eth0"}, {"VXLAN 7", "192.0.2.1"}; empty for a link's
    // end.
    std::vector<std::string> facts(const Endpoint& device) const;
    // {"pvid 10", "tagged 20, 30", "isolated"}
    std::vector<std::string> port_facts(const Endpoint& device) const;
    std::vector<std::string> addresses(const Endpoint& device) const;
    std::optional<std::string> mtu(const Endpoint& device) const;  // "MTU 1450"; absent for the usual 1500
    std::optional<std::string> mtu(const Link& link) const;
    // Of the node as a whole: {"forwards", "masquerades 10.0.0.0/24 out of uplink"}
    std::vector<std::string> notes(const Node& node) const;
    // {"default via 10.0.0.254", "... and 7 more routes"}
    std::vector<std::string> routes(const Node& node) const;
    // {"guest", "128 MiB"}; empty for a namespace.
    std::vector<std::string> host_facts(const Node& node) const;
    // "500 hosts, 10.1.0.1/16 … 10.1.1.244/16"
    std::string crowd(const std::vector<const Node*>& hosts) const;

private:
    void place(const Node& node);
    void find_machines();
    void find_levels();
    void remember(const Endpoint& device, const Interface& settings);
    std::string likeness(const Endpoint& device) const;

    const Spec& spec_;
    std::map<std::string, const Node*> nodes_;
    std::map<std::string, std::vector<Endpoint>> devices_;
    std::map<Endpoint, Cable> cables_;
    std::map<Endpoint, const Interface*> settings_;
    std::map<Endpoint, const Bridge*> bridges_;
    std::map<Endpoint, const Port*> ports_;
    std::map<Endpoint, const VlanDevice*> vlans_;
    std::map<Endpoint, const VxlanDevice*> vxlans_;
    std::map<Endpoint, const MacvlanDevice*> macvlans_;
    std::map<Endpoint, std::vector<Endpoint>> macvlans_on_;
    std::map<std::tuple<std::uint32_t, IpAddress, std::uint16_t>, std::vector<Endpoint>> vteps_;
    std::set<std::string> machines_;
    std::map<std::string, std::size_t> levels_;
};

bool forwards(const Node& node);
// Whether there is anything of it to make fast, and the file asks for it.
bool is_accelerated(const Node& node);
// "a", or for more of them "a … z"
std::string range(const std::vector<std::string>& names);

}  // namespace underpass::lab
