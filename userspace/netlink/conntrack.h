// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is told to the kernel's connection tracking, in the calling thread's network namespace.
#pragma once

#include "maps/flow.h"
#include "netlink/socket.h"

namespace underpass {

// Has conntrack take every packet of this TCP connection to be right, whatever its sequence numbers (BE_LIBERAL, both
// directions), since it will not see all of them. `tuple` is of either direction, as it comes in. `socket` is of
// NETLINK_NETFILTER. Throws NetlinkError: ENOENT where the connection is gone.
void make_liberal(NetlinkSocket& socket, const flow_key& tuple);

}  // namespace underpass
