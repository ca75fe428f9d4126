// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The kernel's vxlan_fill_info() read backwards, up to Linux 6.18. An allow-list, as for bridges and ports: each
// attribute is stored, or is an option that counts only where it is on, or changes nothing for a packet that the fast
// path takes, or is reported as unknown. Most options come in every message, as 0 or 1.
#include "netlink/decode_vxlan.h"

#include <linux/if_link.h>

#include <algorithm>

namespace underpass {
namespace {

// Newer than the headers this is built with, by number; the comment says since which kernel.
constexpr std::uint16_t kLocalBypass = 31;   // 6.5
constexpr std::uint16_t kLabelPolicy = 32;   // 6.7
constexpr std::uint16_t kReservedBits = 33;  // 6.14
constexpr std::uint16_t kMcRoute = 34;       // 6.17
static_assert(__IFLA_VXLAN_MAX >= kLocalBypass);

constexpr std::size_t kHeaderLength = 8;
constexpr std::uint32_t kLabelInherit = 1;
constexpr std::uint64_t kMsPerSecond = 1000;

bool store_flag(bool& target, const Attribute& attribute) {
    const auto value = attribute.u8();
    if (value) target = *value != 0;
    return value.has_value();
}

// One that is a number, or is there only where it is on.
bool store_option(VxlanAttributes& vxlan, const char* name, const Attribute& attribute) {
    bool on = attribute.payload.empty();
    if (!on && !store_flag(on, attribute)) return false;
    if (on) vxlan.options.insert(name);
    return true;
}

// One that is on unless somebody has turned it off.
bool store_opposite(VxlanAttributes& vxlan, const char* name, const Attribute& attribute) {
    bool on = true;
    if (!store_flag(on, attribute)) return false;
    if (!on) vxlan.options.insert(name);
    return true;
}

// An address, of which only the family counts, and whether it is a group's.
bool store_remote(VxlanAttributes& vxlan, bool ipv6, const Attribute& attribute) {
    if (attribute.payload.size() != (ipv6 ? 16U : 4U)) return false;
    const auto first = std::to_integer<unsigned>(attribute.payload[0]);
    vxlan.ipv6 = ipv6;
    vxlan.has_remote = true;
    vxlan.remote_is_group = ipv6 ? first == 0xff : first >> 4 == 0xe;
    return true;
}

bool store_local(VxlanAttributes& vxlan, bool ipv6, const Attribute& attribute) {
    if (attribute.payload.size() != (ipv6 ? 16U : 4U)) return false;
    vxlan.ipv6 = ipv6;
    vxlan.has_local = true;
    return true;
}

bool store_big_endian(std::uint16_t& target, const Attribute& attribute) {
    if (attribute.payload.size() != 2) return false;
    const auto high = std::to_integer<unsigned>(attribute.payload[0]);
    target = static_cast<std::uint16_t>(high << 8 | std::to_integer<unsigned>(attribute.payload[1]));
    return true;
}

bool store_ageing(VxlanAttributes& vxlan, const Attribute& attribute) {
    const auto seconds = attribute.u32();
    if (seconds) vxlan.ageing_ms = *seconds * kMsPerSecond;
    return seconds.has_value();
}

bool store_df(VxlanAttributes& vxlan, const Attribute& attribute) {
    const auto value = attribute.u8();
    if (!value) return false;
    if (*value <= VXLAN_DF_INHERIT)
        vxlan.df = static_cast<VxlanDf>(*value);
    else
        vxlan.unknown.insert(attribute.type);
    return true;
}

bool store_label_policy(VxlanAttributes& vxlan, const Attribute& attribute) {
    const auto policy = attribute.u32();
    if (!policy) return false;
    vxlan.label_inherit = *policy == kLabelInherit;
    if (*policy > kLabelInherit) vxlan.unknown.insert(attribute.type);
    return true;
}

}  // namespace

std::optional<VxlanAttributes> decode_vxlan_attributes(Bytes attributes) {
    VxlanAttributes vxlan;
    bool has_vni = false;
    const bool ok = for_each_attribute(attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case IFLA_VXLAN_ID: return has_vni = store(vxlan.vni, attribute.u32());
            case IFLA_VXLAN_PORT: return store_big_endian(vxlan.port, attribute);
            case IFLA_VXLAN_GROUP: return store_remote(vxlan, false, attribute);
            case IFLA_VXLAN_GROUP6: return store_remote(vxlan, true, attribute);
            case IFLA_VXLAN_LOCAL: return store_local(vxlan, false, attribute);
            case IFLA_VXLAN_LOCAL6: return store_local(vxlan, true, attribute);
            case IFLA_VXLAN_LINK: vxlan.lower = attribute.ifindex(); return attribute.u32().has_value();
            case IFLA_VXLAN_LEARNING: return store_flag(vxlan.learning, attribute);
            case IFLA_VXLAN_AGEING: return store_ageing(vxlan, attribute);
            case IFLA_VXLAN_TTL: return store(vxlan.ttl, attribute.u8());
            case IFLA_VXLAN_TTL_INHERIT: return store_flag(vxlan.ttl_inherit, attribute);
            case IFLA_VXLAN_TOS: return store(vxlan.tos, attribute.u8());
            case IFLA_VXLAN_DF: return store_df(vxlan, attribute);
            case IFLA_VXLAN_LABEL: return store(vxlan.label, attribute.be32());
            case kLabelPolicy: return store_label_policy(vxlan, attribute);
            case IFLA_VXLAN_UDP_CSUM: return store_flag(vxlan.udp_csum, attribute);
            case IFLA_VXLAN_UDP_ZERO_CSUM6_TX: return store_flag(vxlan.udp6_zero_csum_tx, attribute);
            case IFLA_VXLAN_UDP_ZERO_CSUM6_RX: return store_flag(vxlan.udp6_zero_csum_rx, attribute);

            case IFLA_VXLAN_COLLECT_METADATA: return store_option(vxlan, "external", attribute);
            case IFLA_VXLAN_VNIFILTER: return store_option(vxlan, "vnifilter", attribute);
            case IFLA_VXLAN_GBP: return store_option(vxlan, "gbp", attribute);
            case IFLA_VXLAN_GPE: return store_option(vxlan, "gpe", attribute);
            case IFLA_VXLAN_PROXY: return store_option(vxlan, "proxy", attribute);
            case IFLA_VXLAN_RSC: return store_option(vxlan, "rsc", attribute);
            case IFLA_VXLAN_L2MISS: return store_option(vxlan, "l2miss", attribute);
            case IFLA_VXLAN_L3MISS: return store_option(vxlan, "l3miss", attribute);
            case IFLA_VXLAN_REMCSUM_TX: return store_option(vxlan, "remcsumtx", attribute);
            case IFLA_VXLAN_REMCSUM_RX: return store_option(vxlan, "remcsumrx", attribute);
            case IFLA_VXLAN_REMCSUM_NOPARTIAL: return store_option(vxlan, "remcsum-nopartial", attribute);
            case kLocalBypass: return store_opposite(vxlan, "nolocalbypass", attribute);

            // Which bits of the header have to be zero: a packet that has other bits set than the plain one is the
            // kernel's. (Ubuntu's kernels have a map of addresses, of another length, by this number.)
            case kReservedBits:
                if (attribute.payload.size() != kHeaderLength) vxlan.unknown.insert(attribute.type);
                return true;
            // How many addresses may be learned: a frame whose source was not learned takes the kernel's way.
            case IFLA_VXLAN_LIMIT:
            // Seen in what the kernel sends.
            case IFLA_VXLAN_PORT_RANGE:
            // Only packets to groups.
            case kMcRoute: return true;
            default: vxlan.unknown.insert(attribute.type); return true;
        }
    });
    return ok && has_vni ? std::optional(vxlan) : std::nullopt;
}

}  // namespace underpass
