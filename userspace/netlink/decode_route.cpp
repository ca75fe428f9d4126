// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The kernel's neigh_fill_info(), fib_dump_info(), rt6_fill_node() and nh_fill_node() read backwards.
#include "netlink/decode_route.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "netlink/attribute.h"

namespace underpass {
namespace {

// States in which the kernel sends to the address that it has.
constexpr std::uint16_t kValid = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY;

bool is_ip(int family) {
    return family == AF_INET || family == AF_INET6;
}

}  // namespace

std::optional<Event> decode_neighbour(const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWNEIGH && message->nlmsg_type != RTM_DELNEIGH) return std::nullopt;
    const auto payload = payload_of<ndmsg>(message);
    if (!payload || !is_ip(payload->header.ndm_family) || payload->header.ndm_ifindex <= 0) return std::nullopt;
    if (payload->header.ndm_flags & NTF_PROXY) return std::nullopt;  // an address that the host answers for
    NeighbourKey key{Ifindex{static_cast<std::uint32_t>(payload->header.ndm_ifindex)}, {}};
    std::optional<IpAddress> address;
    std::optional<MacAddr> mac;
    const bool ok = for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
        // (Of another length on devices that are not Ethernet.)
        if (attribute.type == NDA_LLADDR) mac = attribute.mac();
        if (attribute.type == NDA_DST) address = attribute.ip();
        return true;
    });
    if (!ok || !address || address->family() != payload->header.ndm_family) return std::nullopt;
    key.address = *address;
    const bool valid = message->nlmsg_type == RTM_NEWNEIGH && (payload->header.ndm_state & kValid) != 0;
    if (!valid || !mac || !mac->is_unicast()) return NeighbourGone{key};
    return NeighbourChanged{key, *mac};
}

std::optional<Event> decode_route(const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWROUTE && message->nlmsg_type != RTM_DELROUTE) return std::nullopt;
    const auto payload = payload_of<rtmsg>(message);
    if (!payload || !is_ip(payload->header.rtm_family)) return std::nullopt;
    RouteChanged route;
    route.prefix.address.v6 = payload->header.rtm_family == AF_INET6;
    route.prefix.length = payload->header.rtm_dst_len;
    std::optional<IpAddress> destination;
    const bool ok = for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
        if (attribute.type != RTA_DST) return true;
        destination = attribute.ip();
        return destination.has_value();
    });
    if (!ok || route.prefix.length > route.prefix.address.bits()) return std::nullopt;
    // The default route may have no address.
    if (!destination) return route.prefix.length == 0 ? std::optional<Event>(route) : std::nullopt;
    if (destination->v6 != route.prefix.address.v6) return std::nullopt;
    route.prefix.address = *destination;
    return route;
}

std::optional<Event> decode_nexthop(const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWNEXTHOP && message->nlmsg_type != RTM_DELNEXTHOP) return std::nullopt;
    if (!payload_of<nhmsg>(message)) return std::nullopt;
    return NexthopChanged{};
}

std::optional<Event> decode_address(const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWADDR && message->nlmsg_type != RTM_DELADDR) return std::nullopt;
    const auto payload = payload_of<ifaddrmsg>(message);
    if (!payload || payload->header.ifa_family != AF_INET6 || payload->header.ifa_scope != RT_SCOPE_LINK ||
        payload->header.ifa_index == 0)
        return RoutingChanged{};
    return DeviceRoutingChanged{.index = Ifindex{payload->header.ifa_index}};
}

std::optional<Event> decode_netconf(const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWNETCONF && message->nlmsg_type != RTM_DELNETCONF) return std::nullopt;
    const auto payload = payload_of<netconfmsg>(message);
    std::optional<std::uint32_t> device;
    const bool ok = payload && for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
                        if (attribute.type == NETCONFA_IFINDEX) device = attribute.u32();
                        return true;
                    });
    // "All" and "default" are negative.
    if (!ok || !device || static_cast<std::int32_t>(*device) <= 0) return RoutingChanged{};
    return DeviceRoutingChanged{.index = Ifindex{*device}, .gone = message->nlmsg_type == RTM_DELNETCONF};
}

}  // namespace underpass
