// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Decoding of links, bridges and ports. The attributes of a bridge and of a port are an allow-list: each number is
// either stored, or listed as one that cannot change where a known unicast frame goes, or reported as unknown. The
// numbers are the kernel's br_port_fill_attrs() and br_fill_info() up to Linux 6.18.
#include "netlink/decode_link.h"

#include <endian.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_vlan.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "netlink/decode_vxlan.h"

namespace underpass {
namespace {

// Attributes newer than the headers this is built with, by number; the comment says since which kernel.
constexpr std::uint16_t kBrportMab = 40;                // 6.2
constexpr std::uint16_t kBrportMcastNGroups = 41;       // 6.3
constexpr std::uint16_t kBrportMcastMaxGroups = 42;     // 6.3
constexpr std::uint16_t kBrportNeighVlanSuppress = 43;  // 6.4
constexpr std::uint16_t kBrportBackupNhid = 44;         // 6.6
constexpr std::uint16_t kBrFdbNLearned = 48;            // 6.7
constexpr std::uint16_t kBrFdbMaxLearned = 49;          // 6.7
static_assert(__IFLA_BRPORT_MAX >= kBrportMab && __IFLA_BR_MAX >= kBrFdbNLearned);

// Options of IFLA_BR_MULTI_BOOLOPT, by number. Those that leave known unicast alone on any bridge: no learning from
// link-local frames (which are multicast), multicast snooping per VLAN, and notification of failed MDB offload, 3 since
// 6.15.
constexpr std::uint32_t kHarmlessOptions =
    1U << BR_BOOLOPT_NO_LL_LEARN | 1U << BR_BOOLOPT_MCAST_VLAN_SNOOPING | 1U << 3;
// Those that are stored: MST, and local FDB entries on VLAN 0 only, 4 since 6.18.
constexpr std::uint32_t kMst = 1U << BR_BOOLOPT_MST_ENABLE;
constexpr std::uint32_t kLocalInVlan0 = 1U << 4;

// VLAN device flags that change nothing for a frame: registration protocols, and what the carrier follows.
constexpr std::uint32_t kHarmlessVlanFlags =
    VLAN_FLAG_GVRP | VLAN_FLAG_MVRP | VLAN_FLAG_LOOSE_BINDING | VLAN_FLAG_BRIDGE_BINDING;

constexpr std::uint16_t kMaxVid = 4094;

// USER_HZ is 100 on every architecture.
constexpr std::uint64_t kMillisecondsPerTick = 10;

bool store_flag(bool& target, const Attribute& attribute) {
    auto value = attribute.u8();
    if (value) target = *value != 0;
    return value.has_value();
}

// An EtherType, which is in network byte order.
bool store_protocol(std::uint16_t& target, const Attribute& attribute) {
    auto value = attribute.u16();
    if (value) target = be16toh(*value);
    return value.has_value();
}

bool store_ticks(std::uint64_t& target, const Attribute& attribute) {
    auto value = attribute.u32();
    if (value) target = *value * kMillisecondsPerTick;
    return value.has_value();
}

bool store_options(BridgeAttributes& bridge, const Attribute& attribute) {
    auto options = attribute.as<br_boolopt_multi>();
    if (!options) return false;
    const std::uint32_t on = options->optval & options->optmask;
    bridge.mst = on & kMst;
    bridge.local_in_vlan_0 = on & kLocalInVlan0;
    // An option that is unknown but off is as if it did not exist.
    if (on & ~(kHarmlessOptions | kMst | kLocalInVlan0)) bridge.unknown.insert(attribute.type);
    return true;
}

bool store_vlan_flags(VlanAttributes& vlan, const Attribute& attribute) {
    auto flags = attribute.as<ifla_vlan_flags>();
    if (!flags) return false;
    vlan.reorder_header = flags->flags & VLAN_FLAG_REORDER_HDR;
    if (flags->flags & ~(VLAN_FLAG_REORDER_HDR | kHarmlessVlanFlags)) vlan.unknown.insert(attribute.type);
    return true;
}

bool store_state(PortState& target, const Attribute& attribute) {
    auto value = attribute.u8();
    if (!value || *value > static_cast<std::uint8_t>(PortState::blocking)) return false;
    target = static_cast<PortState>(*value);
    return true;
}

// The program that runs at the device: a native one hides a generic one, and an offloaded one counts as well.
bool store_xdp(Link& link, Bytes attributes) {
    std::uint8_t mode = XDP_ATTACHED_NONE;
    std::uint32_t main = 0;
    std::uint32_t native = 0;
    std::uint32_t generic = 0;
    std::uint32_t offloaded = 0;
    bool ok = for_each_attribute(attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case IFLA_XDP_ATTACHED: return store(mode, attribute.u8());
            case IFLA_XDP_PROG_ID: return store(main, attribute.u32());
            case IFLA_XDP_DRV_PROG_ID: return store(native, attribute.u32());
            case IFLA_XDP_SKB_PROG_ID: return store(generic, attribute.u32());
            case IFLA_XDP_HW_PROG_ID: return store(offloaded, attribute.u32());
            default: return true;
        }
    });
    for (std::uint32_t id : {native, generic, offloaded, main}) {
        if (id != 0) {
            link.xdp_program = id;
            break;
        }
    }
    link.xdp_generic = generic != 0 || mode == XDP_ATTACHED_SKB;
    return ok;
}

struct LinkInfo {
    std::string_view kind;
    std::string_view slave_kind;
    Bytes data;
    Bytes slave_data;
};

std::optional<LinkInfo> link_info(Bytes attributes) {
    LinkInfo info;
    bool ok = for_each_attribute(attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case IFLA_INFO_KIND: info.kind = attribute.text(); break;
            case IFLA_INFO_DATA: info.data = attribute.payload; break;
            case IFLA_INFO_SLAVE_KIND: info.slave_kind = attribute.text(); break;
            case IFLA_INFO_SLAVE_DATA: info.slave_data = attribute.payload; break;
            default: break;
        }
        return true;
    });
    return ok ? std::optional(info) : std::nullopt;
}

// Absent if malformed, or without a VID.
std::optional<VlanAttributes> decode_vlan_attributes(Bytes attributes) {
    VlanAttributes vlan;
    // The kernel leaves the flags out where none is set.
    vlan.reorder_header = false;
    std::optional<std::uint16_t> id;
    bool ok = for_each_attribute(attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case IFLA_VLAN_ID: id = attribute.u16(); return id.has_value();
            case IFLA_VLAN_PROTOCOL: return store_protocol(vlan.protocol, attribute);
            case IFLA_VLAN_FLAGS: return store_vlan_flags(vlan, attribute);
            case IFLA_VLAN_EGRESS_QOS:
            case IFLA_VLAN_INGRESS_QOS: vlan.maps_priority |= !attribute.payload.empty(); return true;
            default: vlan.unknown.insert(attribute.type); return true;
        }
    });
    if (!ok || !id || *id > kMaxVid) return std::nullopt;
    vlan.id = Vid{*id};
    return vlan;
}

bool store_link_info(Link& link, Bytes attributes) {
    auto info = link_info(attributes);
    if (!info) return false;
    link.kind = info->kind;
    if (info->kind == "bridge") {
        link.bridge = decode_bridge_attributes(info->data);
        if (!link.bridge) return false;
    }
    if (info->kind == "vlan") {
        link.vlan = decode_vlan_attributes(info->data);
        if (!link.vlan) return false;
    }
    if (info->kind == "vxlan") {
        link.vxlan = decode_vxlan_attributes(info->data);
        if (!link.vxlan) return false;
    }
    if (info->slave_kind == "bridge" && !info->slave_data.empty()) {
        link.port = decode_port_attributes(info->slave_data);
        if (!link.port) return false;
    }
    return true;
}

std::optional<Event> decode_port(std::uint16_t type, const Payload<ifinfomsg>& payload) {
    PortChanged changed;
    changed.index = Ifindex{static_cast<std::uint32_t>(payload.header.ifi_index)};
    changed.flags = payload.header.ifi_flags;
    std::optional<Bytes> port;
    bool ok = for_each_attribute(payload.attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case IFLA_MASTER: return store(changed.bridge, attribute.ifindex());
            case IFLA_PROTINFO: port = attribute.payload; return true;
            default: return true;
        }
    });
    // A bridge reports on itself in the same family, with itself as master.
    if (!ok || changed.bridge == Ifindex::none || changed.bridge == changed.index) return std::nullopt;
    if (type == RTM_DELLINK) return PortGone{changed.index};
    if (!port) return std::nullopt;
    auto attributes = decode_port_attributes(*port);
    if (!attributes) return std::nullopt;
    changed.port = std::move(*attributes);
    return changed;
}

}  // namespace

std::optional<PortAttributes> decode_port_attributes(Bytes attributes) {
    PortAttributes port;
    bool has_state = false;
    bool suppress = false;
    bool suppress_per_vlan = false;
    bool ok = for_each_attribute(attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case IFLA_BRPORT_STATE: return has_state = store_state(port.state, attribute);
            case IFLA_BRPORT_MODE: return store_flag(port.hairpin, attribute);
            case IFLA_BRPORT_LEARNING: return store_flag(port.learning, attribute);
            case IFLA_BRPORT_VLAN_TUNNEL: return store_flag(port.vlan_tunnel, attribute);
            case IFLA_BRPORT_NEIGH_SUPPRESS: return store_flag(suppress, attribute);
            case kBrportNeighVlanSuppress: return store_flag(suppress_per_vlan, attribute);
            case IFLA_BRPORT_ISOLATED: return store_flag(port.isolated, attribute);
            case IFLA_BRPORT_LOCKED: return store_flag(port.locked, attribute);
            case kBrportMab: return store_flag(port.mab, attribute);
            case IFLA_BRPORT_MRP_RING_OPEN: return store_flag(port.mrp_ring_open, attribute);
            case IFLA_BRPORT_MRP_IN_OPEN: return store_flag(port.mrp_in_open, attribute);
            case IFLA_BRPORT_BACKUP_PORT: {
                auto index = attribute.ifindex();
                port.backup_port = index;
                return index.has_value();
            }
            case kBrportBackupNhid: {
                auto id = attribute.u32();
                port.backup_nexthop = id;
                return id.has_value();
            }

            // STP's bookkeeping: what follows from it is the state.
            case IFLA_BRPORT_PRIORITY:
            case IFLA_BRPORT_COST:
            case IFLA_BRPORT_GUARD:
            case IFLA_BRPORT_PROTECT:
            case IFLA_BRPORT_ROOT_ID:
            case IFLA_BRPORT_BRIDGE_ID:
            case IFLA_BRPORT_DESIGNATED_PORT:
            case IFLA_BRPORT_DESIGNATED_COST:
            case IFLA_BRPORT_ID:
            case IFLA_BRPORT_NO:
            case IFLA_BRPORT_TOPOLOGY_CHANGE_ACK:
            case IFLA_BRPORT_CONFIG_PENDING:
            case IFLA_BRPORT_MESSAGE_AGE_TIMER:
            case IFLA_BRPORT_FORWARD_DELAY_TIMER:
            case IFLA_BRPORT_HOLD_TIMER:
            // Only for addresses that the FDB does not know, or that are no unicast.
            case IFLA_BRPORT_UNICAST_FLOOD:
            case IFLA_BRPORT_MCAST_FLOOD:
            case IFLA_BRPORT_BCAST_FLOOD:
            case IFLA_BRPORT_GROUP_FWD_MASK:
            case IFLA_BRPORT_FAST_LEAVE:
            case IFLA_BRPORT_MCAST_TO_UCAST:
            case IFLA_BRPORT_MULTICAST_ROUTER:
            case IFLA_BRPORT_MCAST_EHT_HOSTS_LIMIT:
            case IFLA_BRPORT_MCAST_EHT_HOSTS_CNT:
            case kBrportMcastNGroups:
            case kBrportMcastMaxGroups:
            // Only ARP and neighbour discovery, and which ports those are flooded to; both always take the kernel's
            // way.
            case IFLA_BRPORT_PROXYARP:
            case IFLA_BRPORT_PROXYARP_WIFI:
            // Whether hardware tells the bridge what it learned: the outcome is in the FDB.
            case IFLA_BRPORT_LEARNING_SYNC:
            // A command, and padding.
            case IFLA_BRPORT_FLUSH:
            case IFLA_BRPORT_PAD: return true;
            default: port.unknown.insert(attribute.type); return true;
        }
    });
    if (!ok || !has_state) return std::nullopt;
    port.neigh_suppress = suppress || suppress_per_vlan;
    return port;
}

std::optional<BridgeAttributes> decode_bridge_attributes(Bytes attributes) {
    BridgeAttributes bridge;
    bool ok = for_each_attribute(attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case IFLA_BR_FORWARD_DELAY: return store_ticks(bridge.forward_delay_ms, attribute);
            case IFLA_BR_AGEING_TIME: return store_ticks(bridge.ageing_ms, attribute);
            case IFLA_BR_STP_STATE: {
                auto value = attribute.u32();
                bridge.stp = value.value_or(0) != 0;
                return value.has_value();
            }
            case IFLA_BR_VLAN_FILTERING: return store_flag(bridge.vlan_filtering, attribute);
            case IFLA_BR_NF_CALL_IPTABLES: return store_flag(bridge.nf_call_iptables, attribute);
            case IFLA_BR_NF_CALL_IP6TABLES: return store_flag(bridge.nf_call_ip6tables, attribute);
            case IFLA_BR_VLAN_PROTOCOL: return store_protocol(bridge.vlan_protocol, attribute);
            case IFLA_BR_MULTI_BOOLOPT: return store_options(bridge, attribute);

            // ARP frames are the kernel's anyway.
            case IFLA_BR_NF_CALL_ARPTABLES:
            // STP's bookkeeping and timers: what follows from it is in the ports' states. While the topology changes,
            // entries age after the forward delay; the kernel tells of each that goes.
            case IFLA_BR_HELLO_TIME:
            case IFLA_BR_MAX_AGE:
            case IFLA_BR_PRIORITY:
            case IFLA_BR_ROOT_ID:
            case IFLA_BR_BRIDGE_ID:
            case IFLA_BR_ROOT_PORT:
            case IFLA_BR_ROOT_PATH_COST:
            case IFLA_BR_TOPOLOGY_CHANGE:
            case IFLA_BR_TOPOLOGY_CHANGE_DETECTED:
            case IFLA_BR_HELLO_TIMER:
            case IFLA_BR_TCN_TIMER:
            case IFLA_BR_TOPOLOGY_CHANGE_TIMER:
            case IFLA_BR_GC_TIMER:
            // What new ports get, which then is in their VLANs, and statistics.
            case IFLA_BR_VLAN_DEFAULT_PVID:
            case IFLA_BR_VLAN_STATS_ENABLED:
            case IFLA_BR_VLAN_STATS_PER_PORT:
            // Only link-local and other multicast.
            case IFLA_BR_GROUP_FWD_MASK:
            case IFLA_BR_GROUP_ADDR:
            case IFLA_BR_MCAST_ROUTER:
            case IFLA_BR_MCAST_SNOOPING:
            case IFLA_BR_MCAST_QUERY_USE_IFADDR:
            case IFLA_BR_MCAST_QUERIER:
            case IFLA_BR_MCAST_HASH_ELASTICITY:
            case IFLA_BR_MCAST_HASH_MAX:
            case IFLA_BR_MCAST_LAST_MEMBER_CNT:
            case IFLA_BR_MCAST_STARTUP_QUERY_CNT:
            case IFLA_BR_MCAST_LAST_MEMBER_INTVL:
            case IFLA_BR_MCAST_MEMBERSHIP_INTVL:
            case IFLA_BR_MCAST_QUERIER_INTVL:
            case IFLA_BR_MCAST_QUERY_INTVL:
            case IFLA_BR_MCAST_QUERY_RESPONSE_INTVL:
            case IFLA_BR_MCAST_STARTUP_QUERY_INTVL:
            case IFLA_BR_MCAST_STATS_ENABLED:
            case IFLA_BR_MCAST_IGMP_VERSION:
            case IFLA_BR_MCAST_MLD_VERSION:
            case IFLA_BR_MCAST_QUERIER_STATE:
            // How many addresses may be learned: a frame whose source was not learned takes the kernel's way.
            case kBrFdbNLearned:
            case kBrFdbMaxLearned:
            // A command, and padding.
            case IFLA_BR_FDB_FLUSH:
            case IFLA_BR_PAD: return true;
            default: bridge.unknown.insert(attribute.type); return true;
        }
    });
    return ok ? std::optional(bridge) : std::nullopt;
}

std::optional<Link> decode_device(const nlmsghdr* message) {
    auto payload = payload_of<ifinfomsg>(message);
    if (message->nlmsg_type != RTM_NEWLINK || !payload || payload->header.ifi_family != AF_UNSPEC) return std::nullopt;
    if (payload->header.ifi_index <= 0) return std::nullopt;

    Link link;
    link.index = Ifindex{static_cast<std::uint32_t>(payload->header.ifi_index)};
    link.arp_type = payload->header.ifi_type;
    link.flags = payload->header.ifi_flags;
    bool has_mtu = false;
    bool ok = for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case IFLA_IFNAME: link.name = attribute.text(); return !link.name.empty();
            case IFLA_MTU: return has_mtu = store(link.mtu, attribute.u32());
            case IFLA_ADDRESS:
                // Devices that are not Ethernet have addresses of other lengths: none of ours.
                if (auto mac = attribute.mac()) link.mac = *mac;
                return true;
            case IFLA_CARRIER: return store_flag(link.carrier, attribute);
            case IFLA_PROMISCUITY: return store(link.promiscuity, attribute.u32());
            case IFLA_ALLMULTI: return store(link.allmulti, attribute.u32());
            case IFLA_QDISC: link.qdisc = attribute.text(); return true;
            case IFLA_MASTER: link.master = attribute.ifindex(); return attribute.u32().has_value();
            case IFLA_LINK:
                // Zero where the other end is gone or has no index.
                link.lower = attribute.ifindex();
                return attribute.u32().has_value();
            case IFLA_LINK_NETNSID: link.lower_netnsid = attribute.s32(); return link.lower_netnsid.has_value();
            case IFLA_PHYS_SWITCH_ID: link.switchdev = !attribute.payload.empty(); return true;
            case IFLA_XDP: return store_xdp(link, attribute.payload);
            case IFLA_LINKINFO: return store_link_info(link, attribute.payload);
            // Wireless extensions report under RTM_NEWLINK with nothing of the device but its name.
            case IFLA_WIRELESS: return false;
            default: return true;
        }
    });
    if (!ok || !has_mtu || link.name.empty()) return std::nullopt;
    return link;
}

std::optional<Event> decode_link(const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK) return std::nullopt;
    auto payload = payload_of<ifinfomsg>(message);
    if (!payload || payload->header.ifi_index <= 0) return std::nullopt;
    if (payload->header.ifi_family == AF_BRIDGE) return decode_port(message->nlmsg_type, *payload);
    if (payload->header.ifi_family != AF_UNSPEC) return std::nullopt;

    // With this attribute the message is about another namespace, where the same index is another device.
    bool elsewhere = false;
    bool ok = for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
        elsewhere |= attribute.type == IFLA_TARGET_NETNSID;
        return true;
    });
    if (!ok || elsewhere) return std::nullopt;
    if (message->nlmsg_type == RTM_DELLINK)
        return LinkGone{Ifindex{static_cast<std::uint32_t>(payload->header.ifi_index)}};
    auto link = decode_device(message);
    if (!link) return std::nullopt;
    return LinkChanged{std::move(*link)};
}

}  // namespace underpass
