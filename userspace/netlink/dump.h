// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The namespace as it is now, in the events' own types: what a dump delivers goes the same way as a change. All of them
// throw NetlinkError if the kernel refuses.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "model/event.h"
#include "netlink/socket.h"

namespace underpass {

using EventSink = std::function<void(Event&&)>;

// Every device, as LinkChanged; a bridge port's has its port attributes.
void dump_links(NetlinkSocket& route, const EventSink& sink);

// Every FDB entry of every bridge, as FdbChanged.
void dump_fdb(NetlinkSocket& route, const EventSink& sink);

// Every neighbour of the IP families that the kernel has an address for, as NeighbourChanged.
void dump_neighbours(NetlinkSocket& route, const EventSink& sink);

// The VLANs of one port of a bridge, or of the bridge itself. Absent where it is neither, or the kernel has no VLANs.
std::optional<PortVlans> read_vlans(NetlinkSocket& route, Ifindex index);

// One device's state now; absent if there is none with this index. `netnsid`: in another namespace, by its id here.
std::optional<Link> get_link(NetlinkSocket& route, Ifindex index, std::optional<int> netnsid = {});

}  // namespace underpass
