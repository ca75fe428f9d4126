// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is told to the kernel's connection tracking, in the calling thread's network namespace, of TCP connections of
// which it does not see all packets. `tuple` is of either direction, as it comes in; `socket` is of NETLINK_NETFILTER.
// All throw NetlinkError: ENOENT where the connection is gone.
#pragma once

#include <cstdint>

#include "maps/flow.h"
#include "netlink/socket.h"

namespace underpass {

// One direction, as an attribute of this type (CTA_TUPLE_*).
void put_tuple(nlmsghdr* message, std::uint16_t type, const flow_key& tuple);

// Has conntrack take every packet of it to be right, whatever its sequence numbers (BE_LIBERAL, both directions), and
// forget what it has seen acknowledged, which it holds against a RST and against an idle connection.
void make_liberal(NetlinkSocket& socket, const flow_key& tuple);

// Of one that is idle: conntrack may have seen its last data but not their acknowledgement, for which it gives a
// connection minutes instead of days. If so, and it is established, it gets the time of an established one. True if it
// did. Throws std::system_error, too, if the kernel's times cannot be read.
bool settle(NetlinkSocket& socket, const flow_key& tuple);

}  // namespace underpass
