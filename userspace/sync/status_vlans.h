// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A bridge's VLANs as `status --vlans` tells them: by VID the ports that are in it. Pure: the host, the plan and what
// was counted in, JSON out.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "maps/vlan.h"
#include "model/rules.h"

namespace underpass {

// What came in, by port and VID.
using VlanCounts = std::map<std::pair<Ifindex, std::uint16_t>, vlan_counters>;

// [{first, last, protocol, ports: [{name, hook, tagged, pvid, state, why, fast, slow, ...}]}], in ascending order. Of a
// VLAN-aware bridge its ports' memberships, of another the VLAN devices that are its ports. VLANs that are alike, one
// after another, and have no frames are one entry.
nlohmann::json vlans_json(const Host& host, const BridgePlan& bridge, const VlanCounts& counts);

}  // namespace underpass
