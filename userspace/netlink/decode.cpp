// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netlink/decode.h"

#include <linux/genetlink.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#include "netlink/attribute.h"
#include "netlink/decode_fdb.h"
#include "netlink/decode_link.h"
#include "netlink/decode_route.h"
#include "netlink/decode_vlan.h"
#include "netlink/netdev.h"

namespace underpass {

namespace {

std::optional<Event> decode_traffic_control(const nlmsghdr* message) {
    const auto payload = payload_of<tcmsg>(message);
    if (!payload || payload->header.tcm_ifindex <= 0) return std::nullopt;  // a shared block names no device
    return TrafficControlChanged{Ifindex{static_cast<std::uint32_t>(payload->header.tcm_ifindex)}};
}

}  // namespace

std::optional<Event> decode_event(const nlmsghdr* message) {
    switch (message->nlmsg_type) {
        case RTM_NEWLINK:
        case RTM_DELLINK: return decode_link(message);
        case RTM_NEWNEIGH:
        case RTM_DELNEIGH:
            if (auto event = decode_fdb(message)) return event;
            return decode_neighbour(message);
        case RTM_NEWROUTE:
        case RTM_DELROUTE: return decode_route(message);
        case RTM_NEWNEXTHOP:
        case RTM_DELNEXTHOP: return decode_nexthop(message);
        case RTM_NEWVLAN:
        case RTM_DELVLAN: return decode_vlan(message);
        case RTM_NEWQDISC:
        case RTM_DELQDISC:
        case RTM_NEWTFILTER:
        case RTM_DELTFILTER:
        case RTM_NEWCHAIN:
        case RTM_DELCHAIN: return decode_traffic_control(message);
        case RTM_NEWADDR:
        case RTM_DELADDR: return decode_address(message);
        case RTM_NEWNETCONF:
        case RTM_DELNETCONF: return decode_netconf(message);
        case RTM_NEWRULE:
        case RTM_DELRULE: return RoutingChanged{};
        default: return std::nullopt;
    }
}

std::optional<Event> decode_netdev_event(const nlmsghdr* message) {
    const auto payload = payload_of<genlmsghdr>(message);
    if (!payload) return std::nullopt;
    if (payload->header.cmd != kNetdevAdded && payload->header.cmd != kNetdevChanged) return std::nullopt;
    std::optional<Ifindex> device;
    const bool ok = for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
        if (attribute.type == kNetdevIfindex) device = attribute.ifindex();
        return true;
    });
    return ok && device ? std::optional<Event>(DriverChanged{*device}) : std::nullopt;
}

}  // namespace underpass
