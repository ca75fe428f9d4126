// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/ethtool.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string_view>

#include "loader/error.h"
#include "loader/fd.h"

namespace underpass::lab {

namespace {

using Names = std::vector<std::string>;

bool starts_with_any(const std::string& name, std::initializer_list<std::string_view> prefixes) {
    return std::any_of(prefixes.begin(), prefixes.end(), [&](auto prefix) { return name.starts_with(prefix); });
}

// What a word of ethtool's own stands for among the kernel's names.
bool belongs_to(const std::string& group, const std::string& name) {
    static const std::map<std::string, std::string> kShort = {
        {"tcp-segmentation-offload", "tso"}, {"generic-segmentation-offload", "gso"},
        {"generic-receive-offload", "gro"},  {"tx-checksumming", "tx"},
        {"rx-checksumming", "rx"},           {"scatter-gather", "sg"},
        {"rx-vlan-offload", "rxvlan"},       {"tx-vlan-offload", "txvlan"},
    };
    const auto found = kShort.find(group);
    const std::string& word = found == kShort.end() ? group : found->second;
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

// The ethtool commands on one device. Each carries its variable part behind the structure, in whole 32-bit words.
class Device {
public:
    explicit Device(std::string name)
        : name_(std::move(name)), socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        if (!socket_) throw_errno(errno, "open a socket");
    }

    const std::string& name() const { return name_; }

    Names names() const {
        alignas(ethtool_sset_info) std::array<std::uint32_t, sizeof(ethtool_sset_info) / 4 + 1> info_words{};
        auto* info = reinterpret_cast<ethtool_sset_info*>(info_words.data());
        info->cmd = ETHTOOL_GSSET_INFO;
        info->sset_mask = 1ULL << ETH_SS_FEATURES;
        call(info, "count the features of ");
        const std::uint32_t count = info->data[0];

        std::vector<std::uint32_t> words(sizeof(ethtool_gstrings) / 4 + count * ETH_GSTRING_LEN / 4);
        auto* strings = reinterpret_cast<ethtool_gstrings*>(words.data());
        strings->cmd = ETHTOOL_GSTRINGS;
        strings->string_set = ETH_SS_FEATURES;
        strings->len = count;
        call(strings, "name the features of ");
        Names result;
        for (std::uint32_t i = 0; i < count; i++)
            result.emplace_back(reinterpret_cast<const char*>(strings->data) + i * ETH_GSTRING_LEN);
        return result;
    }

    // Bit i: feature i is on.
    std::vector<bool> active(std::size_t count) const {
        std::vector<std::uint32_t> words(sizeof(ethtool_gfeatures) / 4 + blocks(count) * 4);
        auto* features = reinterpret_cast<ethtool_gfeatures*>(words.data());
        features->cmd = ETHTOOL_GFEATURES;
        features->size = blocks(count);
        call(features, "read the features of ");
        std::vector<bool> result(count);
        for (std::size_t i = 0; i < count; i++) result[i] = features->features[i / 32].active >> (i % 32) & 1;
        return result;
    }

    void set(const std::map<std::size_t, bool>& wanted, std::size_t count) const {
        std::vector<std::uint32_t> words(sizeof(ethtool_sfeatures) / 4 + blocks(count) * 2);
        auto* features = reinterpret_cast<ethtool_sfeatures*>(words.data());
        features->cmd = ETHTOOL_SFEATURES;
        features->size = blocks(count);
        for (const auto& [bit, on] : wanted) {
            auto& block = features->features[bit / 32];
            block.valid |= 1U << (bit % 32);
            if (on) block.requested |= 1U << (bit % 32);
        }
        call(features, "set features of ");
    }

private:
    static std::uint32_t blocks(std::size_t count) { return static_cast<std::uint32_t>((count + 31) / 32); }

    void call(void* command, const char* what) const {
        ifreq request = {};
        if (name_.size() >= sizeof(request.ifr_name)) throw_errno(ENAMETOOLONG, what + name_);
        name_.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
        request.ifr_data = static_cast<char*>(command);
        if (::ioctl(socket_.get(), SIOCETHTOOL, &request) < 0) throw_errno(errno, what + name_);
    }

    std::string name_;
    Fd socket_;
};

// Sets those of `wanted` that differ, and requires that they then are so.
void apply(const Device& device, const Names& names, const std::map<std::size_t, bool>& wanted) {
    const auto before = device.active(names.size());
    std::map<std::size_t, bool> changes;
    for (const auto& [bit, on] : wanted)
        if (before[bit] != on) changes.emplace(bit, on);
    if (changes.empty()) return;
    device.set(changes, names.size());
    const auto after = device.active(names.size());
    for (const auto& [bit, on] : changes)
        if (after[bit] != on)
            throw_errno(EOPNOTSUPP, "switch " + names[bit] + (on ? " on" : " off") + " at " + device.name());
}

}  // namespace

void set_features(const std::string& device_name, const std::vector<FeatureChange>& changes) {
    const Device device(device_name);
    const Names names = device.names();
    std::map<std::size_t, bool> wanted;
    for (const auto& change : changes) {
        bool known = false;
        for (std::size_t bit = 0; bit < names.size(); bit++) {
            if (!belongs_to(change.name, names[bit])) continue;
            wanted[bit] = change.on;
            known = true;
        }
        if (!known) throw std::invalid_argument("no device feature has the name " + change.name);
    }
    apply(device, names, wanted);
}

bool feature(const std::string& device_name, const std::string& name) {
    const Device device(device_name);
    const Names names = device.names();
    const auto active = device.active(names.size());
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
    const Device device(device_name);
    const Names names = device.names();
    std::map<std::size_t, bool> off;
    for (std::size_t bit = 0; bit < names.size(); bit++) {
        const std::string& name = names[bit];
        if (starts_with_any(name, {"tx-checksum-", "tx-vlan-"}) ||
            (name.starts_with("tx-") && name.ends_with("-segmentation")))
            off.emplace(bit, false);
    }
    // Some drivers claim features that cannot be changed; those that they have on are what matters, and apply() says
    // so if one stays.
    apply(device, names, off);
    set_features(device_name, {{"rx-gro", false}});
    set_features(device_name, {{"rx-gro", true}});
}

}  // namespace underpass::lab
