// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What decides by which way packets go: neighbours (RTM_NEWNEIGH and RTM_DELNEIGH of the IP families), routes, nexthop
// objects, addresses, and the sysctls of devices.
//
// In: a message whose nlmsg_len is within what was received. Out: the event, or nothing if the message is malformed or
// is none of these. Pure; allocates nothing: a router has very many of them.
#pragma once

#include <linux/netlink.h>

#include <optional>

#include "model/event.h"

namespace underpass {

// NeighbourChanged, or NeighbourGone where the kernel has no address for it, or a group's.
std::optional<Event> decode_neighbour(const nlmsghdr* message);

// RouteChanged.
std::optional<Event> decode_route(const nlmsghdr* message);

// NexthopChanged.
std::optional<Event> decode_nexthop(const nlmsghdr* message);

// RoutingChanged, or DeviceRoutingChanged of an IPv6 address of link scope. One that cannot be read is RoutingChanged.
std::optional<Event> decode_address(const nlmsghdr* message);

// RTM_NEWNETCONF, RTM_DELNETCONF: DeviceRoutingChanged; of all devices, or one that cannot be read: RoutingChanged.
std::optional<Event> decode_netconf(const nlmsghdr* message);

}  // namespace underpass
