// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// VXLAN devices in the calling thread's network namespace, which is also where their UDP socket and their underlay are.
//
// A kernel may lack them; then a NetlinkError (EOPNOTSUPP) says so.
#pragma once

#include <string>

#include "lab/spec.h"
#include "model/ip.h"

namespace underpass::lab {

// The device, with its address and MTU where they are said. Its IP addresses and its remotes are not added.
void create_vxlan(const VxlanDevice& device);
// One more VTEP to which frames with an unknown or group destination are sent. One that is there already is no error.
void add_vxlan_remote(const std::string& device, const IpAddress& remote);

}  // namespace underpass::lab
