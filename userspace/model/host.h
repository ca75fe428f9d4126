// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The host as plain values: what the kernel says of its devices, bridges, ports, FDB and filters, in the kernel's own
// terms. Nothing here judges; the rules (rules.h) do. Absent is std::optional, never a number that means two things.
//
// An attribute that the decoders do not know is kept by its number in `unknown`: the rules leave what they do not
// understand to the kernel, as a switch driver does.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/ip.h"
#include "model/types.h"

namespace underpass {

// IFLA_BRPORT_STATE, in the kernel's numbering.
enum class PortState : std::uint8_t { disabled = 0, listening = 1, learning = 2, forwarding = 3, blocking = 4 };

const char* name(PortState state);

// A bridge port's attributes: IFLA_PROTINFO of an AF_BRIDGE message, IFLA_INFO_SLAVE_DATA of an AF_UNSPEC one.
struct PortAttributes {
    PortState state = PortState::disabled;
    bool hairpin = false;
    bool isolated = false;
    bool locked = false;
    bool mab = false;
    bool learning = true;
    bool neigh_suppress = false;
    bool vlan_tunnel = false;
    bool mrp_ring_open = false;
    bool mrp_in_open = false;
    std::optional<Ifindex> backup_port;
    std::optional<std::uint32_t> backup_nexthop;
    std::set<std::uint16_t> unknown;  // IFLA_BRPORT_* numbers

    bool operator==(const PortAttributes&) const = default;
};

// A bridge's own attributes: IFLA_INFO_DATA of a "bridge" link. Times in milliseconds.
struct BridgeAttributes {
    bool vlan_filtering = false;
    std::uint16_t vlan_protocol = 0x8100;  // EtherType of the tags that it goes by, in host order
    bool mst = false;                      // states are those of the VLANs, not of the ports
    bool local_in_vlan_0 = false;          // fdb_local_vlan_0: the host's own addresses are in VLAN 0 only
    bool stp = false;
    std::uint64_t ageing_ms = 300000;
    std::uint64_t forward_delay_ms = 15000;
    bool nf_call_iptables = false;
    bool nf_call_ip6tables = false;
    std::set<std::uint16_t> unknown;  // IFLA_BR_* numbers

    bool operator==(const BridgeAttributes&) const = default;
};

// A VLAN device's attributes: IFLA_INFO_DATA of a "vlan" link. Registration protocols (GVRP, MVRP) and bindings are not
// kept: they send frames of the host's own, or follow in the carrier.
struct VlanAttributes {
    Vid id = Vid::none;
    std::uint16_t protocol = 0x8100;  // EtherType of its tags, in host order
    bool reorder_header = true;
    bool maps_priority = false;       // an ingress-qos-map or egress-qos-map is set
    std::set<std::uint16_t> unknown;  // IFLA_VLAN_* numbers

    bool operator==(const VlanAttributes&) const = default;
};

// IFLA_VXLAN_DF, in the kernel's numbering.
enum class VxlanDf : std::uint8_t { unset = 0, set = 1, inherit = 2 };

// A VXLAN device's attributes: IFLA_INFO_DATA of a "vxlan" link. Of addresses only what follows for the family: one
// without any is IPv4.
struct VxlanAttributes {
    std::uint32_t vni = 0;
    std::uint16_t port = 0;  // UDP destination port, in host order
    bool ipv6 = false;
    bool has_local = false;
    bool has_remote = false;
    bool remote_is_group = false;
    std::optional<Ifindex> lower;  // IFLA_VXLAN_LINK
    bool learning = false;
    std::uint64_t ageing_ms = 0;  // 0: for ever
    std::uint8_t ttl = 0;         // 0: the host's default
    bool ttl_inherit = false;
    std::uint8_t tos = 0;  // 1: the inner packet's
    VxlanDf df = VxlanDf::unset;
    std::uint32_t label = 0;
    bool label_inherit = false;
    bool udp_csum = false;
    bool udp6_zero_csum_tx = false;
    bool udp6_zero_csum_rx = false;
    std::set<std::string> options;    // others that are on, by their names in ip-link(8): "external", "gbp"
    std::set<std::uint16_t> unknown;  // IFLA_VXLAN_* numbers

    bool operator==(const VxlanAttributes&) const = default;
};

// VLANs of a bridge's port that are alike, one after another: BRIDGE_VLANDB_ENTRY.
struct VlanRange {
    std::uint16_t first = 0;
    std::uint16_t last = 0;  // the same for a single one
    bool untagged = false;
    PortState state = PortState::forwarding;  // the VLAN's own
    bool tunnel = false;                      // BRIDGE_VLANDB_ENTRY_TUNNEL_INFO
    std::set<std::uint16_t> unknown;          // BRIDGE_VLANDB_ENTRY_* numbers; 0: a flag that is not known

    bool operator==(const VlanRange&) const = default;
};

// All VLANs of a port (or of the bridge itself), in ascending order.
struct PortVlans {
    Vid pvid = Vid::none;
    std::vector<VlanRange> ranges;

    bool operator==(const PortVlans&) const = default;
};

// A network device: an RTM_NEWLINK message of family AF_UNSPEC.
struct Link {
    Ifindex index = Ifindex::none;
    std::string name;
    std::string kind;            // IFLA_INFO_KIND: "bridge", "veth", "tun", ...; empty for hardware
    std::uint16_t arp_type = 0;  // ARPHRD_*: 1 is Ethernet
    std::uint32_t flags = 0;     // IFF_*
    bool carrier = false;
    MacAddr mac;
    std::uint32_t mtu = 0;
    std::uint32_t promiscuity = 0;  // how many asked for it; a bridge port has at least one
    std::uint32_t allmulti = 0;
    std::string qdisc;
    std::optional<Ifindex> master;
    std::optional<Ifindex> lower;      // IFLA_LINK: a veth's peer, a VLAN device's parent
    std::optional<int> lower_netnsid;  // IFLA_LINK_NETNSID: the lower is in another namespace (-1: one without id)
    bool switchdev = false;            // IFLA_PHYS_SWITCH_ID: a port of a hardware switch
    std::uint32_t xdp_program = 0;     // id of a native or generic program that is attached; 0: none
    bool xdp_generic = false;          // there is one in generic mode
    std::optional<BridgeAttributes> bridge;
    std::optional<PortAttributes> port;
    std::optional<VlanAttributes> vlan;
    std::optional<VxlanAttributes> vxlan;

    bool operator==(const Link&) const = default;
};

struct FdbKey {
    Ifindex bridge = Ifindex::none;
    Vid vid = Vid::none;
    MacAddr mac;

    auto operator<=>(const FdbKey&) const = default;
};

// What the bridge's FDB says of one address: an RTM_NEWNEIGH message of family AF_BRIDGE with a master.
struct FdbRecord {
    Ifindex port = Ifindex::none;  // none: the bridge itself
    bool local = false;            // NUD_PERMANENT: an address of the host
    bool is_static = false;        // NUD_NOARP
    bool sticky = false;
    bool locked = false;     // NTF_EXT_LOCKED: must not be used yet
    bool offloaded = false;  // NTF_OFFLOADED

    bool operator==(const FdbRecord&) const = default;
};

// What a VXLAN device's own FDB says of one address: an RTM_NEWNEIGH message of family AF_BRIDGE from the device
// itself.
struct VtepRecord {
    IpAddress address;
    bool fixed = false;  // NUD_PERMANENT or NUD_NOARP: a frame from elsewhere does not move it

    bool operator==(const VtepRecord&) const = default;
};

struct NeighbourKey {
    Ifindex device = Ifindex::none;
    IpAddress address;

    auto operator<=>(const NeighbourKey&) const = default;
};

// What the drivers offer and what sits at the other end of a veth. Absent: could not be found out.
struct DriverFacts {
    std::string driver;                  // ethtool's name: "veth", "virtio_net", ...
    std::optional<bool> native_xdp;      // can run an XDP program that redirects
    std::optional<bool> xdp_target;      // takes frames from an XDP redirect right now
    bool xdp_frags = false;              // ... also frames of several buffers, which no kernel before 6.3 redirects
    std::optional<bool> strips_vlan;     // rx-vlan offload on: a tag is gone before XDP runs
    std::optional<bool> offloads_whole;  // hands checksums, segments and tags over as they are, as a veth is made
    bool foreign_xdp = false;            // an XDP program is there that is not ours and shares the device with none
    // A veth's other end, where its namespace could be entered:
    struct Peer {
        MacAddr mac;
        std::uint32_t mtu = 0;
        bool up = false;
        bool has_xdp = false;
        bool has_generic_xdp = false;
        bool gro = false;
        bool checksum_offload = false;  // may send frames with unfinished checksums
        bool segmentation_offload = false;
        bool vlan_offload = false;  // may send frames with the tag beside the bytes

        bool operator==(const Peer&) const = default;
    };
    std::optional<Peer> peer;

    bool operator==(const DriverFacts&) const = default;
};

// Traffic control by others on a device.
struct TrafficControl {
    bool clsact = false;           // has a clsact (or ingress) qdisc
    bool foreign_ingress = false;  // filters or tcx programs that are not ours
    bool foreign_egress = false;

    bool operator==(const TrafficControl&) const = default;
};

// Who else looks at bridged frames. Strings name the table and chain, for people: "table bridge filter, chain forward".
struct Netfilter {
    bool call_iptables = false;  // net.bridge.bridge-nf-call-*: for all bridges of the namespace
                                 // (ARP frames are the kernel's anyway, and with them arptables)
    bool call_ip6tables = false;
    bool filter_tagged = false;              // bridge-nf-filter-vlan-tagged or -pppoe-tagged
    std::vector<std::string> bridge_chains;  // nft's bridge family or ebtables, with rules or a drop policy
    std::vector<std::string> ip_chains;      // ip, ip6, inet families, iptables: rules, or conntrack in use
    // Of the IP families' chains: whether they see routed packets of that family, and what in them has to see each one:
    // "limit (table ip filter, chain FORWARD)".
    bool tracks_ipv4 = false;
    bool tracks_ipv6 = false;
    std::vector<std::string> per_packet;
    std::vector<std::string> per_own_packet;           // likewise, of UDP packets from and to the host alone
    std::map<std::string, std::string> device_chains;  // nft's netdev family: device name -> chain
    std::optional<std::string> unknown;                // why the rules could not be read: then everything is governed

    bool operator==(const Netfilter&) const = default;
};

// The state of one network namespace.
struct Host {
    std::map<Ifindex, Link> links;
    std::map<FdbKey, FdbRecord> fdb;
    std::map<FdbKey, VtepRecord> vteps;  // of VXLAN devices, by {the device, no VLAN, the address}
    // Of bridges themselves and of their ports; kept whether or not the bridge filters by them.
    std::map<Ifindex, PortVlans> vlans;
    // VIDs whose tagged frames, in the bridge's protocol, a VLAN device on the port takes, wherever that device is.
    std::map<Ifindex, std::set<Vid>> vlan_uppers;
    std::map<Ifindex, DriverFacts> drivers;
    std::map<Ifindex, TrafficControl> traffic_control;
    Netfilter netfilter;
    bool finds_connections = false;  // programs can look connections up (nf_conntrack was there when they were loaded)
    bool forwards = false;           // IPv4 or IPv6 packets, by the sysctls for all devices
    bool vlan_devices = false;       // the kernel has VLAN devices: one in another namespace may sit on a port unseen
};

}  // namespace underpass
