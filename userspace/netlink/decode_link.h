// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// RTM_NEWLINK and RTM_DELLINK as events. AF_UNSPEC messages describe a device (with its bridge or port attributes in
// IFLA_LINKINFO), AF_BRIDGE messages a bridge port (attributes in IFLA_PROTINFO).
//
// In: a message whose nlmsg_len is within what was received. Out: the event, or nothing if the message is malformed or
// is none of these. Pure.
#pragma once

#include <linux/netlink.h>

#include <optional>

#include "model/event.h"
#include "netlink/attribute.h"

namespace underpass {

// LinkChanged, LinkGone, PortChanged or PortGone.
std::optional<Event> decode_link(const nlmsghdr* message);

// The device of an RTM_NEWLINK of family AF_UNSPEC, of whatever namespace the answer is about.
std::optional<Link> decode_device(const nlmsghdr* message);

// IFLA_BRPORT_* and IFLA_BR_* attributes. Absent if malformed or, for a port, if the state is not among them: then it
// is a driver's report and not the bridge's.
std::optional<PortAttributes> decode_port_attributes(Bytes attributes);
std::optional<BridgeAttributes> decode_bridge_attributes(Bytes attributes);

}  // namespace underpass
