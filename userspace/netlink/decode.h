// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Any message of the event sockets as an event: the one door from bytes to the model.
//
// In: a message whose nlmsg_len is within what was received. Out: the event, or nothing if it is malformed or none of
// ours. Pure.
#pragma once

#include <linux/netlink.h>

#include <optional>

#include "model/event.h"

namespace underpass {

// Of the route and netfilter families, whose message types do not overlap.
std::optional<Event> decode_event(const nlmsghdr* message);

// Of the generic family "netdev", whose message type is given at run time.
std::optional<Event> decode_netdev_event(const nlmsghdr* message);

}  // namespace underpass
