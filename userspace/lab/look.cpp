// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/look.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>
#include <variant>

#include "netlink/attribute.h"
#include "netlink/dump.h"
#include "netlink/request.h"

namespace underpass::lab {

namespace {

struct OnDevice {
    Ifindex device;
    IpPrefix prefix;
};

// Absent if the message is malformed.
std::optional<OnDevice> decode_address(const nlmsghdr* message) {
    const auto payload = payload_of<ifaddrmsg>(message);
    if (!payload) return std::nullopt;
    OnDevice found{Ifindex{payload->header.ifa_index}, {}};
    found.prefix.length = payload->header.ifa_prefixlen;
    found.prefix.address.v6 = payload->header.ifa_family == AF_INET6;
    bool local = false;
    for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
        // Of a point-to-point device IFA_ADDRESS is the peer's; IPv6 has IFA_LOCAL there only.
        if (attribute.type != IFA_LOCAL && (attribute.type != IFA_ADDRESS || local)) return true;
        local = local || attribute.type == IFA_LOCAL;
        const std::size_t size = std::min(attribute.payload.size(), found.prefix.address.storage.size());
        std::memcpy(found.prefix.address.storage.data(), attribute.payload.data(), size);
        return true;
    });
    return found;
}

bool is_link_local(const IpAddress& address) {
    return address.v6 && address.storage[0] == 0xfe && (address.storage[1] & 0xc0) == 0x80;
}

}  // namespace

std::vector<Device> look() {
    NetlinkSocket route(NETLINK_ROUTE);
    std::map<Ifindex, Device> devices;
    dump_links(route, [&devices](Event&& event) {
        if (auto* changed = std::get_if<LinkChanged>(&event))
            devices[changed->link.index].link = std::move(changed->link);
    });
    DumpRequest<ifaddrmsg> request(RTM_GETADDR);
    request.header->ifa_family = AF_UNSPEC;
    route.dump(request.message, "list addresses", [&devices](const nlmsghdr* message) {
        const auto found = decode_address(message);
        if (!found || is_link_local(found->prefix.address)) return;
        const auto device = devices.find(found->device);
        if (device != devices.end()) device->second.addresses.push_back(found->prefix);
    });
    std::vector<Device> all;
    all.reserve(devices.size());
    for (auto& [index, device] : devices) all.push_back(std::move(device));
    return all;
}

}  // namespace underpass::lab
