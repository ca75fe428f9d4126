// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A lab as a file describes it: plain values, in the file's own order. Nothing here touches the system.
//
// A node is a network namespace, and the devices of its own are told in it; links join two nodes by a veth (or a tap,
// if one of them is a guest). A name of a device is a name in its node: two nodes may each have an eth0.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/ip.h"
#include "model/types.h"

namespace underpass::lab {

// Where in the file something is said, both from 1; 0: nowhere, a program said it.
struct Mark {
    int line = 0;
    int column = 0;
};

// What any device has. A link's end that needs none of it is not listed in its node.
struct Interface {
    std::string name;
    Mark mark;
    std::vector<IpPrefix> addresses;
    std::optional<MacAddr> mac;
    std::optional<std::uint32_t> mtu;
};

// Membership of a port of a VLAN-aware bridge. Neither said: VLAN 1 untagged, as the kernel has it.
struct VlanMembership {
    std::optional<Vid> pvid;  // untagged on the wire, both ways
    std::vector<Vid> tagged;

    bool is_default() const { return !pvid && tagged.empty(); }
};

struct Port {
    std::string device;
    Mark mark;
    VlanMembership vlans;
    bool isolated = false;
    bool hairpin = false;
};

struct Bridge : Interface {
    bool stp = false;
    bool vlan_filtering = false;
    bool multicast_snooping = true;
    std::optional<std::chrono::seconds> ageing;
    std::vector<Port> ports;
    VlanMembership self;  // the bridge's own, for VLAN devices on it
};

struct VlanDevice : Interface {
    std::string on;
    Vid id = Vid::none;
    bool service = false;  // 802.1ad
};

struct VxlanDevice : Interface {
    std::uint32_t vni = 0;
    IpAddress local;
    std::vector<IpAddress> remotes;  // that unknown and group frames are sent to
    std::optional<std::string> on;   // the underlay's device
    std::uint16_t port = 4789;
    bool learning = true;
    bool summed = true;  // outer packets have UDP checksums; said by programs alone
};

// "NODE:DEVICE"
struct Endpoint {
    std::string node;
    std::string device;

    auto operator<=>(const Endpoint&) const = default;
    std::string text() const { return node + ':' + device; }
};

enum class MacvlanMode { bridge, vepa, isolated /* "private" */, passthru };

struct MacvlanDevice : Interface {
    Endpoint on;  // may be in another node, as a container's is
    MacvlanMode mode = MacvlanMode::bridge;
};

struct Route {
    Mark mark;
    IpPrefix to;  // length 0: default
    std::optional<IpAddress> via;
    std::optional<std::string> dev;
};

// One rule of the node's table "lab"; the forms of iptables' targets.
struct NatRule {
    enum class Kind { masquerade, snat, dnat };
    Mark mark;
    Kind kind = Kind::masquerade;
    std::optional<IpPrefix> from;    // masquerade, snat: of these sources
    std::optional<std::string> out;  // masquerade, snat: leaving by this device
    std::optional<std::string> in;   // dnat: arriving at this device
    std::string protocol = "tcp";    // dnat: tcp or udp
    std::uint16_t port = 0;          // dnat: published here
    std::optional<IpAddress> to;     // snat: this source; dnat: this destination
    std::uint16_t to_port = 0;       // dnat; 0: the same port
};

enum class NodeKind {
    space,  // a network namespace
    tap,    // nothing but the tap at the other end of its link, for a guest that somebody else starts
    guest,  // that tap, and a machine of ours at it
};

// A virtual machine of Debian's kernel and busybox.
struct Guest {
    std::uint32_t memory_mib = 128;
};

struct Node {
    std::string name;
    Mark mark;
    NodeKind kind = NodeKind::space;
    Guest guest;
    // Ends of links, and `lo`: what they have beside their names. For a guest, its one device eth0.
    std::vector<Interface> interfaces;
    std::vector<Bridge> bridges;
    std::vector<VlanDevice> vlans;
    std::vector<VxlanDevice> vxlans;
    std::vector<MacvlanDevice> macvlans;
    std::vector<Route> routes;
    // "net.ipv4.ip_forward" -> "1". A name that begins with '-' is left out where the kernel does not have it.
    std::vector<std::pair<std::string, std::string>> sysctls;
    std::vector<NatRule> nat;
    std::optional<std::string> nftables;  // a rule set in nft's own language, loaded as it is
    // How the bridges in it go fast; absent: not at all. (The file's may be for all nodes.)
    std::optional<HookChoice> accelerate;
};

struct Link {
    Mark mark;
    std::array<Endpoint, 2> ends;
    std::optional<std::uint32_t> mtu;
    bool wire = false;  // both ends carry frames as a wire would: no offloads that XDP breaks
};

struct Expectation {
    Mark mark;
    bool reach = true;  // else: isolated
    std::string from;   // a node
    std::string to;     // a node (each of its addresses), or an address
};

struct Spec {
    std::string name;
    Mark mark;
    std::string about;  // one line
    std::vector<Node> nodes;
    std::vector<Link> links;
    std::vector<Expectation> expectations;

    // Absent if there is none.
    const Node* find(std::string_view node) const;
};

// A node in which no frame comes of itself and no rule sees a bridged one: without IPv6, and without iptables under its
// bridges where the kernel would have them.
Node quiet_node(const std::string& name);

// Every device of a node that has settings in the file, in the order in which they are made: ends of links, bridges,
// VXLANs, VLANs, macvlans.
std::vector<const Interface*> interfaces_of(const Node& node);
// The addresses of all of them.
std::vector<IpAddress> addresses_of(const Node& node);
// Namespaces are named "LAB.NODE": neither name has a dot, so two labs never share one.
std::string namespace_name(std::string_view lab, std::string_view node);

}  // namespace underpass::lab
