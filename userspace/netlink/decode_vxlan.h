// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// VXLAN devices' own attributes.
#pragma once

#include <optional>

#include "model/host.h"
#include "netlink/attribute.h"

namespace underpass {

// IFLA_INFO_DATA of a "vxlan" link. Absent if malformed, or without a VNI.
std::optional<VxlanAttributes> decode_vxlan_attributes(Bytes attributes);

}  // namespace underpass
