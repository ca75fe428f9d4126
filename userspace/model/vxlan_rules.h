// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// VXLAN devices: which of them the fast path understands, and what it has to know of each. Pure.
#pragma once

#include <string>

#include "maps/device.h"
#include "maps/tunnel.h"
#include "model/host.h"

namespace underpass {

// Why a VXLAN device is left to the kernel; empty if it need not be.
std::string vxlan_refusal(const Host& host, const Link& link);

// Why frames are not put into its tunnel in one step: its packets differ in what a flow's have in common. Empty: they
// are.
std::string encap_refusal(const VxlanAttributes& vxlan);

// Which packets are for it.
tunnel_key tunnel_of(const VxlanAttributes& vxlan);

// Flags of its record in the devices map, but for DEVICE_ENCAP.
std::uint32_t vxlan_flags(const VxlanAttributes& vxlan);

}  // namespace underpass
