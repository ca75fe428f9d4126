// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The rules of VLANs: what a port of a VLAN-aware bridge may do in each of them. Pure.
#pragma once

#include <bitset>

#include "model/rules.h"

namespace underpass {

using VidSet = std::bitset<VLAN_VIDS>;

VidSet members(const PortVlans& vlans);

// The VLANs in which frames come and go by a bridge itself: with the tag, for VLAN devices on it, or without, for
// itself.
VidSet forwarding(const PortVlans& vlans, bool untagged);

// By device: the VIDs that VLAN devices of this namespace take from it, in tags of this protocol.
std::map<Ifindex, VidSet> vlan_devices_by_lower(const Host& host, std::uint16_t protocol);

// Fills `plan.vlans` and `plan.vlan_refusals` for a port of a VLAN-aware bridge; refuses the port where a VLAN device
// takes priority-tagged frames. `taken`: what VLAN devices of this namespace take from the port.
void plan_vlans(const Host& host, const Link& link, const VidSet& taken, PortPlan& plan);

// enum vlan_rights that the map gives the VID.
std::uint8_t rights_of(const port_vlans& vlans, std::uint16_t vid);

}  // namespace underpass
