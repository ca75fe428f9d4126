// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netlink/netdev.h"

#include <linux/genetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <string_view>

#include "netlink/attribute.h"
#include "netlink/request.h"
#include "netlink/socket.h"

namespace underpass {

namespace {

constexpr std::uint64_t kXdpBasic = 1;
constexpr std::uint64_t kXdpRedirect = 2;
constexpr std::uint64_t kXdpTarget = 4;
constexpr std::uint64_t kXdpTargetFrags = 64;

struct Family {
    std::uint16_t id = 0;
    std::optional<std::uint32_t> group;
};

std::optional<std::uint32_t> management_group(Bytes groups) {
    std::optional<std::uint32_t> result;
    for_each_attribute(groups, [&](const Attribute& group) {
        std::string_view name;
        std::optional<std::uint32_t> id;
        for_each_attribute(group.payload, [&](const Attribute& attribute) {
            if (attribute.type == CTRL_ATTR_MCAST_GRP_NAME) name = attribute.text();
            if (attribute.type == CTRL_ATTR_MCAST_GRP_ID) id = attribute.u32();
            return true;
        });
        if (name == "mgmt") result = id;
        return true;
    });
    return result;
}

std::optional<Family> ask_for_family() {
    NetlinkSocket socket(NETLINK_GENERIC);
    DumpRequest<genlmsghdr> request(GENL_ID_CTRL);
    request.header->cmd = CTRL_CMD_GETFAMILY;
    request.header->version = 1;
    mnl_attr_put_strz(request.message, CTRL_ATTR_FAMILY_NAME, "netdev");
    Family family;
    try {
        socket.request(request.message, "find the netlink family netdev", [&](const nlmsghdr* message) {
            const auto payload = payload_of<genlmsghdr>(message);
            if (!payload) return;
            for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
                if (attribute.type == CTRL_ATTR_FAMILY_ID) family.id = attribute.u16().value_or(0);
                if (attribute.type == CTRL_ATTR_MCAST_GROUPS) family.group = management_group(attribute.payload);
                return true;
            });
        });
    } catch (const NetlinkError& error) {
        if (error.code().value() != ENOENT) throw;
        return std::nullopt;  // kernels before 6.3
    }
    return family.id == 0 ? std::nullopt : std::optional(family);
}

// Asked for once: it is built into the kernel or never there, and a kernel without it starts a modprobe at each
// request.
const std::optional<Family>& family() {
    static const std::optional<Family> answer = ask_for_family();
    return answer;
}

}  // namespace

std::optional<std::uint32_t> netdev_event_group() {
    return family() ? family()->group : std::nullopt;
}

std::optional<XdpFeatures> xdp_features(Ifindex device) {
    if (!family()) return std::nullopt;
    NetlinkSocket socket(NETLINK_GENERIC);
    DumpRequest<genlmsghdr> request(family()->id);
    request.header->cmd = kNetdevGetDevice;
    request.header->version = 1;
    mnl_attr_put_u32(request.message, kNetdevIfindex, number(device));
    std::optional<std::uint64_t> bits;
    try {
        socket.request(request.message, "read the XDP features of a device", [&](const nlmsghdr* message) {
            const auto payload = payload_of<genlmsghdr>(message);
            if (!payload) return;
            for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
                if (attribute.type == kNetdevXdpFeatures) bits = attribute.u64();
                return true;
            });
        });
    } catch (const NetlinkError&) {
        return std::nullopt;  // the device is gone
    }
    if (!bits) return std::nullopt;
    return XdpFeatures{.redirects = (*bits & (kXdpBasic | kXdpRedirect)) == (kXdpBasic | kXdpRedirect),
                       .target = (*bits & kXdpTarget) != 0,
                       .frags = (*bits & kXdpTargetFrags) != 0};
}

std::optional<bool> runs_napi(Ifindex device) {
    if (!family()) return std::nullopt;
    NetlinkSocket socket(NETLINK_GENERIC);
    DumpRequest<genlmsghdr> request(family()->id);
    request.header->cmd = kNetdevGetNapi;
    request.header->version = 1;
    mnl_attr_put_u32(request.message, kNetdevNapiIfindex, number(device));
    bool found = false;
    try {
        socket.dump(request.message, "list the NAPI instances of a device", [&](const nlmsghdr*) { found = true; });
    } catch (const NetlinkError&) {
        return std::nullopt;  // kernels before 6.8 do not have the command
    }
    return found;
}

}  // namespace underpass
