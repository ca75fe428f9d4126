// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Offloads of a network device in the calling thread's network namespace.
//
// Features have the kernel's names ("tx-checksum-ip-generic", "rx-gro", as `ethtool -k` shows them) or those that
// ethtool gives to groups of them ("tso", "gso", "gro" and their long forms).
#pragma once

#include <string>
#include <vector>

namespace underpass::lab {

struct FeatureChange {
    std::string name;
    bool on;
};

// Throws std::invalid_argument for an unknown name, std::system_error if the device does not then have it so.
void set_features(const std::string& device, const std::vector<FeatureChange>& changes);
bool feature(const std::string& device, const std::string& name);

// Makes what this device sends look as if it came off a wire: whole checksums, one frame at a time, VLAN tags in the
// bytes. And makes frames redirected to its veth peer arrive here: it runs NAPI (GRO), which a device that was moved
// between namespaces only claims to do until it is switched anew. For the far end of a veth, in its final namespace.
void make_wire_like(const std::string& device);

}  // namespace underpass::lab
