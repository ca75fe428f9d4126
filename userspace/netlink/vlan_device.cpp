// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netlink/vlan_device.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <cerrno>

#include "netlink/request.h"

namespace underpass {
namespace {

// The most that a VLAN device may have: with more, its MTU would be refused before anything is looked up.
constexpr std::uint32_t kTooLarge = 65535;

// A name that is taken would be EEXIST as well: one that nobody gives, and by which to delete.
constexpr const char* kName = "underpass-asks";

void delete_again(NetlinkSocket& route) {
    DumpRequest<ifinfomsg> request(RTM_DELLINK);
    mnl_attr_put_strz(request.message, IFLA_IFNAME, kName);
    route.request(request.message, fmt::format("delete {}, made to see whether it can be", kName));
}

}  // namespace

std::optional<bool> has_vlan_device(NetlinkSocket& route, const Link& below, std::uint16_t protocol, Vid vid) {
    if (below.mtu >= kTooLarge) return std::nullopt;  // it would be made
    DumpRequest<ifinfomsg> request(RTM_NEWLINK);
    request.message->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
    mnl_attr_put_strz(request.message, IFLA_IFNAME, kName);
    mnl_attr_put_u32(request.message, IFLA_LINK, number(below.index));
    mnl_attr_put_u32(request.message, IFLA_MTU, kTooLarge);
    nlattr* info = mnl_attr_nest_start(request.message, IFLA_LINKINFO);
    mnl_attr_put_strz(request.message, IFLA_INFO_KIND, "vlan");
    nlattr* data = mnl_attr_nest_start(request.message, IFLA_INFO_DATA);
    mnl_attr_put_u16(request.message, IFLA_VLAN_ID, number(vid));
    mnl_attr_put_u16(request.message, IFLA_VLAN_PROTOCOL, htons(protocol));
    mnl_attr_nest_end(request.message, data);
    mnl_attr_nest_end(request.message, info);
    try {
        route.request(request.message, fmt::format("ask for VLAN {} on {}", number(vid), below.name));
    } catch (const NetlinkError& error) {
        switch (error.code().value()) {
            case EEXIST: return true;
            case EINVAL: return false;
            default: return std::nullopt;  // it went away, it takes no VLAN devices, or we may not ask
        }
    }
    // Its MTU grew meanwhile.
    delete_again(route);
    return false;
}

}  // namespace underpass
