// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// RTM_NEWVLAN and RTM_DELVLAN: the VLANs of a bridge's port, or of the bridge itself.
//
// In: a message whose nlmsg_len is within what was received. Out: that something changed, or the VLANs of an item of a
// dump; nothing if the message is malformed or is none of these. Pure.
#pragma once

#include <linux/netlink.h>

#include <optional>

#include "model/event.h"

namespace underpass {

// VlansChanged, of which device; about what in detail is left to a reading anew.
std::optional<Event> decode_vlan(const nlmsghdr* message);

// Appends an RTM_NEWVLAN's entries, which are in ascending order. False: not understood, and `vlans` is as it was.
bool append_vlans(PortVlans& vlans, const nlmsghdr* message);

}  // namespace underpass
