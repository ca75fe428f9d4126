// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/ethtool.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <stdexcept>
#include <string_view>

#include "loader/error.h"
#include "netlink/ethtool.h"

namespace underpass::lab {

namespace {

using Names = std::vector<std::string>;

bool starts_with_any(const std::string& name, std::initializer_list<std::string_view> prefixes) {
    return std::any_of(prefixes.begin(), prefixes.end(), [&](auto prefix) { return name.starts_with(prefix); });
}

// What a word of ethtool's own stands for among the kernel's names.
bool belongs_to(const std::string& group, const std::string& name) {
    static const std::map<std::string, std::string> short_names = {
        {"tcp-segmentation-offload", "tso"}, {"generic-segmentation-offload", "gso"},
        {"generic-receive-offload", "gro"},  {"tx-checksumming", "tx"},
        {"rx-checksumming", "rx"},           {"scatter-gather", "sg"},
        {"rx-vlan-offload", "rxvlan"},       {"tx-vlan-offload", "txvlan"},
    };
    const auto found = short_names.find(group);
    const std::string& word = found == short_names.end() ? group : found->second;
    if (word == "tso") return name.starts_with("tx-tcp") && name.ends_with("-segmentation");
    if (word == "gso") return name == "tx-generic-segmentation";
    if (word == "gro") return name == "rx-gro";
    if (word == "tx") return name.starts_with("tx-checksum-");
    if (word == "rx") return name == "rx-checksum";
    if (word == "sg") return name == "tx-scatter-gather";
    if (word == "rxvlan") return name == "rx-vlan-hw-parse";
    if (word == "txvlan") return name == "tx-vlan-hw-insert";
    return name == group;
}

}  // namespace

void set_features(const std::string& device_name, const std::vector<FeatureChange>& changes) {
    const Ethtool device(device_name);
    const Names names = device.feature_names();
    std::map<std::size_t, bool> wanted, wished;
    for (const auto& change : changes) {
        bool known = false;
        for (std::size_t bit = 0; bit < names.size(); bit++) {
            if (!belongs_to(change.name, names[bit])) continue;
            known = true;
            // A group on means those of it that the device has; what is off, or named by itself, must be so.
            const bool whole = !change.on || change.name == names[bit];
            (whole ? wanted : wished)[bit] = change.on;
        }
        if (!known) throw std::invalid_argument("no device feature has the name " + change.name);
    }
    if (!wished.empty()) device.set_features(wished, names.size());
    device.require_features(wanted, names);
    for (const auto& change : changes)
        if (change.on && !feature(device_name, change.name))
            throw_errno(EOPNOTSUPP, "switch " + change.name + " on at " + device_name);
}

bool feature(const std::string& device_name, const std::string& name) {
    const Ethtool device(device_name);
    const Names names = device.feature_names();
    const auto active = device.active_features(names.size());
    bool on = false;
    bool known = false;
    for (std::size_t bit = 0; bit < names.size(); bit++) {
        if (!belongs_to(name, names[bit])) continue;
        known = true;
        on = on || active[bit];
    }
    if (!known) throw std::invalid_argument("no device feature has the name " + name);
    return on;
}

void make_wire_like(const std::string& device_name) {
    const Ethtool device(device_name);
    const Names names = device.feature_names();
    std::map<std::size_t, bool> off;
    for (std::size_t bit = 0; bit < names.size(); bit++) {
        const std::string& name = names[bit];
        if (starts_with_any(name, {"tx-checksum-", "tx-vlan-"}) ||
            (name.starts_with("tx-") && name.ends_with("-segmentation")))
            off.emplace(bit, false);
    }
    // Some drivers claim features that cannot be changed; those that they have on are what matters, and
    // require_features() says so if one stays.
    device.require_features(off, names);
    set_features(device_name, {{"rx-gro", false}});
    set_features(device_name, {{"rx-gro", true}});
}

}  // namespace underpass::lab
