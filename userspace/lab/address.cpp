// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/address.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <stdexcept>

#include "lab/link.h"
#include "lab/request.h"
#include "lab/spec.h"

namespace underpass::lab {

namespace {

std::uint8_t family_of(const IpAddress& address) {
    return static_cast<std::uint8_t>(address.family());
}

std::string text_of(const Route& route) {
    std::string text = "the route to " + (route.to.length == 0 ? "default" : route.to.text());
    if (route.via) text += " via " + route.via->text();
    if (route.dev) text += " dev " + *route.dev;
    return text;
}

void put_gateway(Request& request, const Route& route) {
    if (route.via->v6 == route.to.address.v6) {
        request.put_bytes(RTA_GATEWAY, route.via->bytes());
        return;
    }
    // Of the other family: struct rtvia, whose address has no length of its own.
    std::array<std::uint8_t, sizeof(rtvia) + 16> via{};
    const std::uint16_t family = family_of(*route.via);
    std::memcpy(via.data(), &family, sizeof(family));
    const auto bytes = route.via->bytes();
    std::ranges::copy(bytes, via.begin() + sizeof(rtvia));
    request.put_bytes(RTA_VIA, std::span(via).first(sizeof(rtvia) + bytes.size()));
}

}  // namespace

void add_address(const std::string& device, const IpPrefix& prefix) {
    Request request(RTM_NEWADDR, kCreate, "add the address " + prefix.text() + " to " + device);
    const IpAddress& address = prefix.address;
    auto& header = request.header<ifaddrmsg>();
    header.ifa_family = family_of(address);
    header.ifa_prefixlen = prefix.length;
    header.ifa_flags = address.v6 ? IFA_F_NODAD : 0;
    header.ifa_index = number(ifindex(device));
    request.put_bytes(IFA_LOCAL, address.bytes()).put_bytes(IFA_ADDRESS, address.bytes());
    if (!address.v6 && prefix.length < 31) {
        std::uint32_t broadcast = 0;
        std::memcpy(&broadcast, address.storage.data(), sizeof(broadcast));
        request.put(IFA_BROADCAST, broadcast | htonl(0xffffffffU >> prefix.length));
    }
    request.send();
}

void add_address(const std::string& device, const std::string& address) {
    const auto prefix = IpPrefix::parse(address);
    if (!prefix || address.find('/') == std::string::npos)
        throw std::invalid_argument("not an address with its prefix length: " + address);
    add_address(device, *prefix);
}

void add_route(const Route& route) {
    if (!route.via && !route.dev)
        throw std::invalid_argument(text_of(route) + " needs a gateway (via) or a device (dev)");
    Request request(RTM_NEWROUTE, kCreate, "add " + text_of(route));
    auto& header = request.header<rtmsg>();
    header.rtm_family = family_of(route.to.address);
    header.rtm_dst_len = route.to.length;
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = RTPROT_STATIC;
    header.rtm_scope = route.via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    header.rtm_type = RTN_UNICAST;
    if (route.to.length > 0) request.put_bytes(RTA_DST, route.to.address.bytes());
    if (route.via) put_gateway(request, route);
    if (route.dev) request.put(RTA_OIF, number(ifindex(*route.dev)));
    request.send();
}

}  // namespace underpass::lab
