// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests for dumps. Messages that do not decode are left out, as an event that does not decode is.
#include "netlink/dump.h"

#include <fmt/format.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

#include "netlink/decode_fdb.h"
#include "netlink/decode_link.h"
#include "netlink/decode_route.h"
#include "netlink/decode_vlan.h"
#include "netlink/request.h"

namespace underpass {

void dump_links(NetlinkSocket& route, const EventSink& sink) {
    DumpRequest<ifinfomsg> request(RTM_GETLINK);
    request.header->ifi_family = AF_UNSPEC;
    mnl_attr_put_u32(request.message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    route.dump(request.message, "list devices", [&](const nlmsghdr* message) {
        if (auto event = decode_link(message)) sink(std::move(*event));
    });
}

void dump_fdb(NetlinkSocket& route, const EventSink& sink) {
    DumpRequest<ndmsg> request(RTM_GETNEIGH);
    request.header->ndm_family = AF_BRIDGE;
    route.dump(request.message, "list FDB entries", [&](const nlmsghdr* message) {
        if (auto event = decode_fdb(message)) sink(std::move(*event));
    });
}

void dump_neighbours(NetlinkSocket& route, const EventSink& sink) {
    for (const int family : {AF_INET, AF_INET6}) {
        DumpRequest<ndmsg> request(RTM_GETNEIGH);
        request.header->ndm_family = static_cast<std::uint8_t>(family);
        route.dump(request.message, "list neighbours", [&](const nlmsghdr* message) {
            auto event = decode_neighbour(message);
            if (event && std::holds_alternative<NeighbourChanged>(*event)) sink(std::move(*event));
        });
    }
}

std::optional<PortVlans> read_vlans(NetlinkSocket& route, Ifindex index) {
    DumpRequest<br_vlan_msg> request(RTM_GETVLAN);
    request.header->family = AF_BRIDGE;
    request.header->ifindex = number(index);
    std::optional<PortVlans> vlans = PortVlans{};
    try {
        // The kernel goes on by counting VLANs: one that goes meanwhile may hide another, but its event has them read
        // again. A message that is not understood could hide any.
        route.dump(request.message, fmt::format("read the VLANs of device {}", number(index)),
                   [&](const nlmsghdr* message) {
                       if (vlans && !append_vlans(*vlans, message)) vlans.reset();
                   });
    } catch (const NetlinkError& error) {
        // No such device, it left its bridge, or the kernel has no VLAN filtering.
        const int code = error.code().value();
        if (code != ENODEV && code != EINVAL && code != EOPNOTSUPP) throw;
        return std::nullopt;
    }
    return vlans;
}

std::optional<Link> get_link(NetlinkSocket& route, Ifindex index, std::optional<int> netnsid) {
    DumpRequest<ifinfomsg> request(RTM_GETLINK);
    request.header->ifi_index = static_cast<int>(number(index));
    mnl_attr_put_u32(request.message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    if (netnsid) mnl_attr_put_u32(request.message, IFLA_TARGET_NETNSID, static_cast<std::uint32_t>(*netnsid));
    std::optional<Link> link;
    try {
        route.request(request.message, fmt::format("read device {}", number(index)),
                      [&](const nlmsghdr* message) { link = decode_device(message); });
    } catch (const NetlinkError& error) {
        // It went away, alone or with its namespace (EINVAL: no such id).
        if (error.code().value() != ENODEV && error.code().value() != EINVAL) throw;
    }
    return link;
}

}  // namespace underpass
