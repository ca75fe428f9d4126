// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/vlan_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

namespace underpass {

namespace {

// Why a VLAN is left to the kernel at a port; empty if it is not.
std::string vlan_refusal(const VlanRange& range) {
    if (range.tunnel) return "it is mapped to a tunnel (tunnel_info)";
    if (range.unknown.contains(0)) return "it has flags that this version does not know (BRIDGE_VLAN_INFO_*)";
    if (!range.unknown.empty())
        return fmt::format("it has attributes that this version does not know (BRIDGE_VLANDB_ENTRY_* {})",
                           fmt::join(range.unknown, ", "));
    return {};
}

// The VLAN's own state counts where the port's lets all through (br_allowed_ingress).
PortState state_of(PortState port, const VlanRange& range) {
    return port == PortState::forwarding ? range.state : port;
}

void give(port_vlans& vlans, std::uint16_t vid, std::uint64_t rights) {
    vlans.word[vid / VLAN_VIDS_PER_WORD] |= rights << (vid % VLAN_VIDS_PER_WORD * VLAN_BITS_PER_VID);
}

}  // namespace

VidSet members(const PortVlans& vlans) {
    VidSet set;
    for (const VlanRange& range : vlans.ranges)
        for (std::size_t vid = range.first; vid <= range.last && vid < VLAN_VIDS; vid++) set.set(vid);
    return set;
}

VidSet forwarding(const PortVlans& vlans, bool untagged) {
    PortVlans some;
    std::ranges::copy_if(vlans.ranges, std::back_inserter(some.ranges), [untagged](const VlanRange& range) {
        return range.untagged == untagged && range.state == PortState::forwarding && vlan_refusal(range).empty();
    });
    return members(some);
}

std::map<Ifindex, VidSet> vlan_devices_by_lower(const Host& host, std::uint16_t protocol) {
    std::map<Ifindex, VidSet> by_lower;
    for (const auto& [index, link] : host.links)
        if (link.vlan && link.lower && !link.lower_netnsid && link.vlan->protocol == protocol)
            by_lower[*link.lower].set(number(link.vlan->id) % VLAN_VIDS);
    return by_lower;
}

void plan_vlans(const Host& host, const Link& link, const VidSet& taken, PortPlan& plan) {
    const auto vlans = host.vlans.find(link.index);
    if (vlans == host.vlans.end() || !link.port) return;
    VidSet upper = taken;
    const auto elsewhere = host.vlan_uppers.find(link.index);
    if (elsewhere != host.vlan_uppers.end())
        for (const Vid vid : elsewhere->second) upper.set(number(vid) % VLAN_VIDS);
    if (upper.test(0) && plan.refusal.empty()) {
        plan.refusal = "a VLAN device with VID 0 may be on it, which takes priority-tagged frames";
        plan.record.flags &= ~static_cast<std::uint32_t>(DEVICE_INGRESS | DEVICE_EGRESS);
    }
    for (const VlanRange& range : vlans->second.ranges) {
        const PortState state = state_of(link.port->state, range);
        const std::string refusal = vlan_refusal(range);
        if (!refusal.empty())
            plan.vlan_refusals[range.first == range.last ? fmt::format("{}", range.first)
                                                         : fmt::format("{}-{}", range.first, range.last)] = refusal;
        std::uint64_t rights = range.untagged ? VLAN_UNTAGGED : 0;
        if (state == PortState::forwarding && refusal.empty()) rights |= VLAN_FORWARD;
        if (state == PortState::forwarding || state == PortState::learning) rights |= VLAN_LEARNS;
        for (std::uint16_t vid = range.first; vid <= range.last && vid < VLAN_VIDS; vid++)
            give(plan.vlans, vid, rights | (upper.test(vid) ? VLAN_UPPER : 0));
    }
}

std::uint8_t rights_of(const port_vlans& vlans, std::uint16_t vid) {
    return vlans.word[vid / VLAN_VIDS_PER_WORD] >> (vid % VLAN_VIDS_PER_WORD * VLAN_BITS_PER_VID) & 0xf;
}

}  // namespace underpass
