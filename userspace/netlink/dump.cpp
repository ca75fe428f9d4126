// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests for dumps. Messages that do not decode are left out, as an event that does not decode is.
#include "netlink/dump.h"

#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

#include "netlink/decode_fdb.h"
#include "netlink/decode_link.h"
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
