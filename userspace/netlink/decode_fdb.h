// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// RTM_NEWNEIGH and RTM_DELNEIGH of family AF_BRIDGE as events of a bridge's FDB, or of a VXLAN device's own. Another
// driver's list (no NDA_MASTER, or NTF_SELF: unicast filters) is none of ours.
//
// In: a message whose nlmsg_len is within what was received. Out: FdbChanged or FdbGone, VtepChanged or VtepGone, or
// nothing if the message is malformed or is none of these. Pure; allocates nothing.
#pragma once

#include <linux/netlink.h>

#include <optional>

#include "model/event.h"

namespace underpass {

std::optional<Event> decode_fdb(const nlmsghdr* message);

}  // namespace underpass
