// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/vxlan_rules.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <tuple>

namespace underpass {

namespace {

// Another device that takes the same packets; which of them gets one, then depends on where it comes in.
const Link* twin(const Host& host, const Link& link) {
    const auto packets = [](const VxlanAttributes& vxlan) { return std::tuple(vxlan.vni, vxlan.port, vxlan.ipv6); };
    if (link.lower_netnsid) return nullptr;
    for (const auto& [index, other] : host.links)
        if (index != link.index && other.vxlan && !other.lower_netnsid && packets(*other.vxlan) == packets(*link.vxlan))
            return &other;
    return nullptr;
}

}  // namespace

std::string vxlan_refusal(const Host& host, const Link& link) {
    if (!link.vxlan) return "its VXLAN attributes are not known yet";
    const VxlanAttributes& vxlan = *link.vxlan;
    if (!vxlan.unknown.empty())
        return fmt::format("it has attributes that this version does not know (IFLA_VXLAN_* {})",
                           fmt::join(vxlan.unknown, ", "));
    if (!vxlan.options.empty())
        return fmt::format("its tunnel does more than carry frames: {} (ip -d link show {})",
                           fmt::join(vxlan.options, ", "), link.name);
    if (const Link* other = twin(host, link))
        return fmt::format("{} has the same VNI {} and UDP port {}", other->name, vxlan.vni, vxlan.port);
    return {};
}

std::string encap_refusal(const VxlanAttributes& vxlan) {
    if (vxlan.ttl_inherit) return "its packets have the TTL of the frame's (ttl inherit)";
    if (vxlan.df == VxlanDf::inherit) return "its packets have the DF flag of the frame's (df inherit)";
    if (vxlan.label_inherit) return "its packets have the flow label of the frame's (flowlabel inherit)";
    return {};
}

tunnel_key tunnel_of(const VxlanAttributes& vxlan) {
    return {vxlan.vni, htons(vxlan.port), static_cast<__u16>(vxlan.ipv6 ? AF_INET6 : AF_INET)};
}

std::uint32_t vxlan_flags(const VxlanAttributes& vxlan) {
    std::uint32_t flags = DEVICE_VXLAN;
    if (vxlan.learning) flags |= DEVICE_VTEP_LEARNS;
    if (vxlan.ipv6) flags |= DEVICE_OUTER_IPV6;
    if (vxlan.udp6_zero_csum_rx) flags |= DEVICE_OUTER_UNSUMMED;
    return flags;
}

}  // namespace underpass
