// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The kernel's br_vlan_fill_vids() and br_vlan_opts_fill() read backwards. An entry's attributes are an allow-list, as
// those of a port are in decode_link.cpp: stored, or harmless, or reported as unknown. The numbers are those up to
// Linux 6.18.
#include "netlink/decode_vlan.h"

#include <linux/if_bridge.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "netlink/attribute.h"

namespace underpass {
namespace {

// Attributes newer than the headers this is built with, by number; the comment says since which kernel.
constexpr std::uint16_t kEntryMcastNGroups = 7;    // 6.3
constexpr std::uint16_t kEntryMcastMaxGroups = 8;  // 6.3
constexpr std::uint16_t kEntryNeighSuppress = 9;   // 6.4
static_assert(__BRIDGE_VLANDB_ENTRY_MAX >= kEntryMcastNGroups);

constexpr std::uint16_t kMaxVid = 4094;

// Stored, or only about how the message is put together, or whether the bridge itself is a member as well, which the
// bridge's own entries say.
constexpr unsigned kKnownFlags = BRIDGE_VLAN_INFO_MASTER | BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED |
                                 BRIDGE_VLAN_INFO_RANGE_BEGIN | BRIDGE_VLAN_INFO_RANGE_END | BRIDGE_VLAN_INFO_BRENTRY;

// Of whatever VLANs: of a message of the bridge, with a device.
std::optional<Payload<br_vlan_msg>> vlan_message(const nlmsghdr* message) {
    auto payload = payload_of<br_vlan_msg>(message);
    if (!payload || payload->header.family != AF_BRIDGE || payload->header.ifindex == 0) return std::nullopt;
    return payload;
}

bool store_state(VlanRange& range, const Attribute& attribute) {
    auto value = attribute.u8();
    if (!value || *value > static_cast<std::uint8_t>(PortState::blocking)) return false;
    range.state = static_cast<PortState>(*value);
    return true;
}

bool append_entry(PortVlans& vlans, Bytes attributes) {
    VlanRange range;
    std::optional<bridge_vlan_info> info;
    bool ok = for_each_attribute(attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case BRIDGE_VLANDB_ENTRY_INFO: info = attribute.as<bridge_vlan_info>(); return info.has_value();
            case BRIDGE_VLANDB_ENTRY_RANGE: return store(range.last, attribute.u16());
            case BRIDGE_VLANDB_ENTRY_STATE: return store_state(range, attribute);
            case BRIDGE_VLANDB_ENTRY_TUNNEL_INFO: range.tunnel = true; return true;

            case BRIDGE_VLANDB_ENTRY_STATS:
            // Only multicast.
            case BRIDGE_VLANDB_ENTRY_MCAST_ROUTER:
            case kEntryMcastNGroups:
            case kEntryMcastMaxGroups:
            // Only ARP and neighbour discovery, which always take the kernel's way.
            case kEntryNeighSuppress: return true;
            default: range.unknown.insert(attribute.type); return true;
        }
    });
    if (!ok || !info) return false;
    range.first = info->vid;
    if (range.last == 0) range.last = range.first;
    if (range.first == 0 || range.first > range.last || range.last > kMaxVid) return false;
    range.untagged = info->flags & BRIDGE_VLAN_INFO_UNTAGGED;
    if (info->flags & ~kKnownFlags) range.unknown.insert(0);
    // The kernel joins the PVID to no range.
    if (info->flags & BRIDGE_VLAN_INFO_PVID) vlans.pvid = Vid{range.first};
    vlans.ranges.push_back(std::move(range));
    return true;
}

}  // namespace

std::optional<Event> decode_vlan(const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWVLAN && message->nlmsg_type != RTM_DELVLAN) return std::nullopt;
    auto payload = vlan_message(message);
    if (!payload || !for_each_attribute(payload->attributes, [](const Attribute&) { return true; }))
        return std::nullopt;
    return VlansChanged{Ifindex{payload->header.ifindex}};
}

bool append_vlans(PortVlans& vlans, const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWVLAN) return false;
    auto payload = vlan_message(message);
    if (!payload) return false;
    PortVlans longer = vlans;
    // A bridge's global options are about multicast, or in the states.
    bool ok = for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
        return attribute.type != BRIDGE_VLANDB_ENTRY || append_entry(longer, attribute.payload);
    });
    if (ok) vlans = std::move(longer);
    return ok;
}

}  // namespace underpass
