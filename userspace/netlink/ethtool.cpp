// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Each command carries its variable part behind the structure, in whole 32-bit words.
#include "netlink/ethtool.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "loader/error.h"

namespace underpass {

namespace {

std::uint32_t blocks(std::size_t count) {
    return static_cast<std::uint32_t>((count + 31) / 32);
}

}  // namespace

Ethtool::Ethtool(std::string device)
    : device_(std::move(device)), socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    if (!socket_) throw_errno(errno, "open a socket");
}

std::string Ethtool::driver() const {
    ethtool_drvinfo info = {};
    info.cmd = ETHTOOL_GDRVINFO;
    call(&info, "read the driver of ");
    return {info.driver, strnlen(info.driver, sizeof(info.driver))};
}

std::vector<std::string> Ethtool::feature_names() const {
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
    std::vector<std::string> names;
    for (std::uint32_t i = 0; i < count; i++)
        names.emplace_back(reinterpret_cast<const char*>(strings->data) + std::size_t{i} * ETH_GSTRING_LEN);
    return names;
}

std::vector<bool> Ethtool::active_features(std::size_t count) const {
    std::vector<std::uint32_t> words(sizeof(ethtool_gfeatures) / 4 + std::size_t{blocks(count)} * 4);
    auto* features = reinterpret_cast<ethtool_gfeatures*>(words.data());
    features->cmd = ETHTOOL_GFEATURES;
    features->size = blocks(count);
    call(features, "read the features of ");
    std::vector<bool> active(count);
    for (std::size_t i = 0; i < count; i++) active[i] = features->features[i / 32].active >> (i % 32) & 1;
    return active;
}

std::map<std::string, bool> Ethtool::features() const {
    const auto names = feature_names();
    const auto active = active_features(names.size());
    std::map<std::string, bool> features;
    for (std::size_t i = 0; i < names.size(); i++) features[names[i]] = active[i];
    return features;
}

void Ethtool::set_features(const std::map<std::size_t, bool>& wanted, std::size_t count) const {
    std::vector<std::uint32_t> words(sizeof(ethtool_sfeatures) / 4 + std::size_t{blocks(count)} * 2);
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

void Ethtool::require_features(const std::map<std::size_t, bool>& wanted, const std::vector<std::string>& names) const {
    const auto before = active_features(names.size());
    std::map<std::size_t, bool> changes;
    for (const auto& [bit, on] : wanted)
        if (before[bit] != on) changes.emplace(bit, on);
    if (changes.empty()) return;
    set_features(changes, names.size());
    const auto after = active_features(names.size());
    for (const auto& [bit, on] : changes)
        if (after[bit] != on)
            throw_errno(EOPNOTSUPP, "switch " + names[bit] + (on ? " on" : " off") + " at " + device_);
}

std::set<std::string> Ethtool::active_among(const std::set<std::string>& names) const {
    std::set<std::string> active;
    for (const auto& [name, on] : features())
        if (on && names.contains(name)) active.insert(name);
    return active;
}

void Ethtool::switch_features(const std::set<std::string>& names, bool on) const {
    const auto all = feature_names();
    const auto before = active_features(all.size());
    std::map<std::size_t, bool> wanted, back;
    for (std::size_t bit = 0; bit < all.size(); bit++) {
        if (!names.contains(all[bit])) continue;
        wanted.emplace(bit, on);
        back.emplace(bit, before[bit]);
    }
    try {
        require_features(wanted, all);
    } catch (...) {
        set_features(back, all.size());
        throw;
    }
}

void Ethtool::call(void* command, const char* what) const {
    ifreq request = {};
    if (device_.size() >= sizeof(request.ifr_name)) throw_errno(ENAMETOOLONG, what + device_);
    device_.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
    request.ifr_data = static_cast<char*>(command);
    if (::ioctl(socket_.get(), SIOCETHTOOL, &request) < 0) throw_errno(errno, what + device_);
}

}  // namespace underpass
