// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Macvlan devices: one more MAC address on a device, which may be of another network namespace than its lower one.
//
// A kernel may lack them; then a NetlinkError (EOPNOTSUPP) says so.
#pragma once

#include <optional>
#include <string>

#include "lab/namespace.h"
#include "lab/spec.h"
#include "model/types.h"

namespace underpass::lab {

// `lower` is in the calling thread's namespace, the new device in `target` (null: here too), where `name` must be free.
void create_macvlan(const std::string& name, const std::string& lower, MacvlanMode mode,
                    const Namespace* target = nullptr, const std::optional<MacAddr>& mac = std::nullopt);

}  // namespace underpass::lab
