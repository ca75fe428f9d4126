// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the kernel tells of a change, decoded: the same types for an event and for an item of a dump.
#pragma once

#include <variant>

#include "model/host.h"

namespace underpass {

// RTM_NEWLINK, RTM_DELLINK of family AF_UNSPEC: the whole device. `link.port` is absent where the message carried no
// port attributes, which says nothing about their values.
struct LinkChanged {
    Link link;
};

struct LinkGone {
    Ifindex index = Ifindex::none;
};

// RTM_NEWLINK of family AF_BRIDGE: only what it says of the port. It comes on every change of an attribute or state.
struct PortChanged {
    Ifindex index = Ifindex::none;
    Ifindex bridge = Ifindex::none;
    std::uint32_t flags = 0;  // IFF_*
    PortAttributes port;
};

// RTM_DELLINK of family AF_BRIDGE: the port has left the bridge; the device may live on.
struct PortGone {
    Ifindex index = Ifindex::none;
};

// RTM_NEWNEIGH, RTM_DELNEIGH of family AF_BRIDGE with a master: a bridge's own FDB.
struct FdbChanged {
    FdbKey key;
    FdbRecord record;
};

struct FdbGone {
    FdbKey key;
};

// The same from a VXLAN device itself, of an address that is behind one VTEP. (Other drivers' entries are none of
// ours.)
struct VtepChanged {
    FdbKey key;  // without a VLAN
    VtepRecord record;
};

// It is behind none, or not behind a plain one: a group, a nexthop group, one with a VNI or port of its own.
struct VtepGone {
    FdbKey key;
};

// RTM_NEWVLAN, RTM_DELVLAN: something about the VLANs of the port, or of the bridge itself, changed. They are read
// anew: not every change is told whole (which VLAN was the PVID before).
struct VlansChanged {
    Ifindex index = Ifindex::none;  // of the port or the bridge
};

// A qdisc, filter or chain of traffic control was made or taken away.
struct TrafficControlChanged {
    Ifindex index = Ifindex::none;
};

// The nftables ruleset of the namespace has a new generation.
struct RulesetChanged {};

// An address, a rule for routes, a sysctl of the IP stack or an IPsec policy changed.
struct RoutingChanged {};

// A link-local address or a sysctl of one device's IP stack: they are of what comes in by it, and of no more.
struct DeviceRoutingChanged {
    Ifindex index = Ifindex::none;
    bool gone = false;  // the device has no IP stack any more
};

// RTM_NEWNEIGH, RTM_DELNEIGH of an IP family. The programs look neighbours and routes up themselves for what is routed,
// but not for what goes into a tunnel: there the host need not be a router, and of none they are told nothing.
struct NeighbourChanged {
    NeighbourKey key;
    MacAddr mac;
};

// The kernel has no address for it (any more).
struct NeighbourGone {
    NeighbourKey key;
};

// A route came, changed or went.
struct RouteChanged {
    IpPrefix prefix;  // a network
};

// A nexthop object came, changed or went; which routes use it, it does not say.
struct NexthopChanged {};

// A driver's XDP features changed (netdev generic netlink), for example because a veth peer turned GRO off.
struct DriverChanged {
    Ifindex index = Ifindex::none;
};

using Event = std::variant<LinkChanged, LinkGone, PortChanged, PortGone, FdbChanged, FdbGone, VtepChanged, VtepGone,
                           VlansChanged, TrafficControlChanged, RulesetChanged, RoutingChanged, DeviceRoutingChanged,
                           NeighbourChanged, NeighbourGone, RouteChanged, NexthopChanged, DriverChanged>;

}  // namespace underpass
