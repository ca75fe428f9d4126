// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Whether a VLAN device sits on a device, out of sight in another namespace: no list shows that one, but it takes the
// frames of its VID all the same.
//
// In: the device below, as it is. Out: yes, no, or absent where it cannot be asked. The kernel is asked for a VLAN
// device that is too large for the one below, and says which it minds first, the VID that is taken
// (vlan_check_real_dev) or the MTU, as vlan_newlink() has them in this order. Nothing is made. Needs CAP_NET_ADMIN, as
// making one does.
#pragma once

#include <cstdint>
#include <optional>

#include "model/host.h"
#include "netlink/socket.h"

namespace underpass {

// `protocol` is an EtherType in host order. Only where the kernel has VLAN devices: asking would load them.
std::optional<bool> has_vlan_device(NetlinkSocket& route, const Link& below, std::uint16_t protocol, Vid vid);

}  // namespace underpass
