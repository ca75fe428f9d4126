// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The ethtool commands on one network device of the network namespace that the calling thread was in when this was
// made. Features have the kernel's names ("tx-checksum-ip-generic", "rx-gro", as `ethtool -k` shows them).
//
// All of them throw std::system_error with what was tried on which device.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "loader/fd.h"

namespace underpass {

// A device with one of these on takes the VLAN tag out of the bytes of what it receives.
inline const std::set<std::string> kVlanStripping = {"rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"};

class Ethtool {
public:
    explicit Ethtool(std::string device);

    const std::string& device() const { return device_; }
    std::string driver() const;  // "veth", "virtio_net"

    // Names by bit number, and which of them are on.
    std::vector<std::string> feature_names() const;
    std::vector<bool> active_features(std::size_t count) const;
    std::map<std::string, bool> features() const;
    // Changes these bits; one that the driver keeps as it was is no error here.
    void set_features(const std::map<std::size_t, bool>& wanted, std::size_t count) const;
    // Changes those bits that differ, and requires that they then are so; `names` as feature_names() has them.
    void require_features(const std::map<std::size_t, bool>& wanted, const std::vector<std::string>& names) const;

    // By name; what the kernel has no feature of is not on, and is not changed.
    std::set<std::string> active_among(const std::set<std::string>& names) const;
    // All of them, or, where the driver keeps one as it was, none.
    void switch_features(const std::set<std::string>& names, bool on) const;

private:
    void call(void* command, const char* what) const;

    std::string device_;
    Fd socket_;
};

}  // namespace underpass
