// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// VLANs in the calling thread's network namespace: devices of one VLAN, and the VLANs of a bridge's ports.
//
// A kernel may lack either; then a NetlinkError (EOPNOTSUPP) says which. A bridge keeps its ports' VLANs whether or not
// it filters by them (BridgeOptions::vlan_filtering).
#pragma once

#include <string>

#include "lab/spec.h"
#include "model/host.h"
#include "model/types.h"

namespace underpass::lab {

// A VLAN device on `lower`. `service`: its tags are 802.1ad's (0x88a8), not 802.1Q's.
void create_vlan(const std::string& name, const std::string& lower, Vid vid, bool service = false);

struct BridgeVlanFlags {
    bool pvid = false;      // untagged frames that come in are of this VLAN
    bool untagged = false;  // frames of this VLAN go out without the tag
};

// Makes `device` a member of a VLAN, or changes it as a member. `self`: `device` is the bridge itself (what the host
// sends and receives by it); else it is a port. Throws std::runtime_error if it is not what `self` says.
void add_bridge_vlan(const std::string& device, Vid vid, BridgeVlanFlags flags = {}, bool self = false);
// No member is no error.
void delete_bridge_vlan(const std::string& device, Vid vid, bool self = false);

// The state of a port in one of its VLANs alone.
void set_vlan_state(const std::string& port, Vid vid, PortState state);
// Of a bridge with BridgeOptions::mst: the spanning tree instance that a VLAN follows (0 at first), and a port's state
// in an instance.
void set_msti(const std::string& bridge, Vid vid, std::uint16_t instance);
void set_mst_state(const std::string& port, std::uint16_t instance, PortState state);

// All of a port's (or the bridge's own) VLANs, for one that has what the kernel gives to each new port: VLAN 1, which
// stays only if it is named. What is default is left as it is.
void set_membership(const std::string& device, const VlanMembership& vlans, bool self);

}  // namespace underpass::lab
