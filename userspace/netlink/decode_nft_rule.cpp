// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The kernel's nf_tables_fill_rule_info() and nf_tables_fill_set() read backwards, and the dumps of its expressions.
#include "netlink/decode_nft_rule.h"

#include <fmt/format.h>
#include <linux/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_tcpudp.h>

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <string_view>
#include <utility>

#include "netlink/attribute.h"

namespace underpass {

namespace {

constexpr std::uint16_t kNewRule = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE;
constexpr std::uint16_t kNewSet = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSET;

constexpr std::uint32_t kTcpFlagsOffset = 13;
constexpr std::uint8_t kSyn = 0x02;
// FIN, SYN, RST, which no packet has that goes fast, and ACK, which each has.
constexpr std::uint8_t kSteadyFlags = 0x17;
constexpr std::uint32_t kMaxSegmentSize = 2;  // TCP option; on SYN packets alone

// What the kernel did is asked of packets that have a state, so only what changes from one to the next is of interest.
using Numbers = std::map<std::uint16_t, std::optional<std::uint32_t>>;

// An expression's attributes that are numbers.
Numbers numbers_of(Bytes data) {
    Numbers numbers;
    for_each_attribute(data, [&numbers](const Attribute& attribute) {
        numbers[attribute.type] = attribute.be32();
        return true;
    });
    return numbers;
}

bool is_one_of(std::optional<std::uint32_t> key, std::span<const std::uint32_t> list) {
    return key && std::ranges::find(list, *key) != list.end();
}

std::optional<std::uint32_t> find(const Numbers& numbers, std::uint16_t type) {
    const auto found = numbers.find(type);
    return found == numbers.end() ? std::nullopt : found->second;
}

bool meta_is_constant(const Numbers& numbers) {
    constexpr std::array<std::uint32_t, 11> kKeys = {
        NFT_META_PROTOCOL, NFT_META_IIF,     NFT_META_OIF,     NFT_META_IIFNAME, NFT_META_OIFNAME, NFT_META_IIFTYPE,
        NFT_META_OIFTYPE,  NFT_META_IIFKIND, NFT_META_OIFKIND, NFT_META_NFPROTO, NFT_META_L4PROTO};
    return !numbers.contains(NFTA_META_SREG) && is_one_of(find(numbers, NFTA_META_KEY), kKeys);
}

bool ct_is_constant(const Numbers& numbers) {
    constexpr std::array<std::uint32_t, 14> kKeys = {
        NFT_CT_STATE,  NFT_CT_DIRECTION, NFT_CT_STATUS,    NFT_CT_HELPER,    NFT_CT_L3PROTOCOL,
        NFT_CT_SRC,    NFT_CT_DST,       NFT_CT_PROTO_SRC, NFT_CT_PROTO_DST, NFT_CT_SRC_IP,
        NFT_CT_DST_IP, NFT_CT_SRC_IP6,   NFT_CT_DST_IP6,   NFT_CT_PROTOCOL};
    // (The key is one byte of four; the direction, where there is one, is one byte alone.)
    return !numbers.contains(NFTA_CT_SREG) && is_one_of(find(numbers, NFTA_CT_KEY), kKeys);
}

// A part of the packet: addresses, protocol and ports are the flow's. Of ICMP, type and code are; where ports would be,
// echoes have their checksum.
bool payload_is_constant(const Numbers& numbers, std::uint8_t family, bool has_ports) {
    const auto base = find(numbers, NFTA_PAYLOAD_BASE);
    const auto offset = find(numbers, NFTA_PAYLOAD_OFFSET);
    const auto len = find(numbers, NFTA_PAYLOAD_LEN);
    if (numbers.contains(NFTA_PAYLOAD_SREG) || !base || !offset || !len) return false;
    const auto lies_in = [&](std::uint32_t first, std::uint32_t end) {
        return *offset >= first && *offset < end && *len <= end - *offset;
    };
    if (*base == NFT_PAYLOAD_TRANSPORT_HEADER) return lies_in(0, has_ports ? 4 : 2);
    if (*base != NFT_PAYLOAD_NETWORK_HEADER) return false;
    const bool ipv4 = lies_in(9, 10) || lies_in(12, 20), ipv6 = lies_in(6, 7) || lies_in(8, 40);
    if (family == NFPROTO_IPV4) return ipv4;
    if (family == NFPROTO_IPV6) return ipv6;
    // Either: whole addresses of IPv6 are long, and of what is short only what both have for good.
    return ipv4 || (*len == 16 && ipv6);
}

bool loads_protocol(std::string_view name, const Numbers& numbers, std::uint8_t family) {
    if (name == "meta") return find(numbers, NFTA_META_KEY) == NFT_META_L4PROTO;
    return name == "payload" && find(numbers, NFTA_PAYLOAD_BASE) == NFT_PAYLOAD_NETWORK_HEADER &&
           find(numbers, NFTA_PAYLOAD_OFFSET) == (family == NFPROTO_IPV6 ? 6U : 9U) &&
           find(numbers, NFTA_PAYLOAD_LEN) == 1;
}

bool loads_tcp_flags(const Numbers& numbers) {
    return !numbers.contains(NFTA_PAYLOAD_SREG) && find(numbers, NFTA_PAYLOAD_BASE) == NFT_PAYLOAD_TRANSPORT_HEADER &&
           find(numbers, NFTA_PAYLOAD_OFFSET) == kTcpFlagsOffset && find(numbers, NFTA_PAYLOAD_LEN) == 1;
}

// What an expression's attribute has for one byte, such as the mask of a bitwise one.
std::optional<std::uint8_t> byte_of(Bytes data, std::uint16_t type) {
    std::optional<std::uint8_t> byte;
    for_each_attribute(data, [&](const Attribute& attribute) {
        if (attribute.type != type) return true;
        return for_each_attribute(attribute.payload, [&](const Attribute& value) {
            if (value.type == NFTA_DATA_VALUE && value.payload.size() == 1)
                byte = std::to_integer<std::uint8_t>(value.payload[0]);
            return true;
        });
    });
    return byte;
}

// A comparison of TCP flags, of which `mask` is left, that only packets with SYN pass.
bool wants_syn(std::uint8_t mask, const Numbers& numbers, Bytes data) {
    const auto operation = find(numbers, NFTA_CMP_OP);
    const auto flags = byte_of(data, NFTA_CMP_DATA);
    if (operation == NFT_CMP_EQ) return flags && (*flags & kSyn) != 0;
    return operation == NFT_CMP_NEQ && flags == 0 && mask == kSyn;
}

bool is_max_segment_size(const Numbers& numbers, Bytes data) {
    std::optional<std::uint8_t> type;
    for_each_attribute(data, [&type](const Attribute& attribute) {
        if (attribute.type == NFTA_EXTHDR_TYPE) type = attribute.u8();
        return true;
    });
    return find(numbers, NFTA_EXTHDR_OP) == NFT_EXTHDR_OP_TCPOPT && type == kMaxSegmentSize;
}

// The one protocol that passes a comparison.
std::optional<std::uint8_t> wanted_protocol(const Numbers& numbers, Bytes data) {
    return find(numbers, NFTA_CMP_OP) == NFT_CMP_EQ ? byte_of(data, NFTA_CMP_DATA) : std::nullopt;
}

// An extension of iptables: its name, and what it is set to.
struct Extension {
    std::string name;
    Bytes info;
};

Extension extension_of(Bytes data, std::uint16_t name, std::uint16_t info) {
    Extension extension;
    for_each_attribute(data, [&](const Attribute& attribute) {
        if (attribute.type == name) extension.name = attribute.text();
        if (attribute.type == info) extension.info = attribute.payload;
        return true;
    });
    return extension;
}

template <class Info>
std::optional<Info> info_of(const Extension& extension) {
    if (extension.info.size() < sizeof(Info)) return std::nullopt;
    Info info;
    std::memcpy(&info, extension.info.data(), sizeof(info));
    return info;
}

bool match_is_constant(const Extension& match) {
    if (match.name == "tcp") {
        const auto info = info_of<xt_tcp>(match);
        return info && info->option == 0 && (info->flg_mask & ~kSteadyFlags) == 0;
    }
    if (match.name == "conntrack") {
        const auto info = info_of<xt_conntrack_mtinfo3>(match);
        return info && (info->match_flags & XT_CONNTRACK_EXPIRES) == 0;
    }
    constexpr std::array<std::string_view, 8> kNames = {"udp",     "multiport", "addrtype", "comment",
                                                        "iprange", "state",     "icmp",     "icmp6"};
    return std::ranges::find(kNames, match.name) != kNames.end();
}

bool target_is_constant(const Extension& target) {
    constexpr std::array<std::string_view, 7> kNames = {"MASQUERADE", "SNAT",   "DNAT",  "REDIRECT",
                                                        "NETMAP",     "REJECT", "TCPMSS"};
    return std::ranges::find(kNames, target.name) != kNames.end();
}

class Expressions {
public:
    explicit Expressions(std::uint8_t family) : family_(family) {}

    // The next one's name in words if it is not the same for all packets; else empty.
    std::string take(std::string_view name, Bytes data) {
        if (std::exchange(flags_, false)) {
            mask_ = name == "bitwise" ? byte_of(data, NFTA_BITWISE_MASK) : std::nullopt;
            return mask_ && (*mask_ & ~kSteadyFlags) == 0 ? "" : "TCP flags";
        }
        const Numbers numbers = numbers_of(data);
        const auto mask = std::exchange(mask_, std::nullopt);
        // One that is looked up in a set, by itself or with others, is taken to be of a set of protocols with ports.
        if (std::exchange(protocol_, false) && name == "cmp") {
            const auto protocol = wanted_protocol(numbers, data);
            has_ports_ = protocol && *protocol != IPPROTO_ICMP && *protocol != IPPROTO_ICMPV6;
            udp_ = udp_ && (!protocol || *protocol == IPPROTO_UDP);
        }
        if (loads_protocol(name, numbers, family_)) protocol_ = has_ports_ = true;
        if (mask && name == "cmp") begins_ = begins_ || wants_syn(*mask, numbers, data);
        constexpr std::array<std::string_view, 12> kConstant = {"cmp",    "range",     "bitwise", "byteorder",
                                                                "lookup", "immediate", "counter", "fib",
                                                                "nat",    "masq",      "redir",   "reject"};
        if (std::ranges::find(kConstant, name) != kConstant.end()) return {};
        if (name == "payload") {
            flags_ = loads_tcp_flags(numbers);
            return flags_ || payload_is_constant(numbers, family_, has_ports_) ? ""
                                                                               : "a part of the packet that may differ";
        }
        if (name == "meta") return meta_is_constant(numbers) ? "" : key_text("meta", find(numbers, NFTA_META_KEY));
        if (name == "ct") return ct_is_constant(numbers) ? "" : key_text("ct", find(numbers, NFTA_CT_KEY));
        if (name == "rt") return find(numbers, NFTA_RT_KEY) == NFT_RT_TCPMSS ? "" : "rt";
        if (name == "objref") {
            // A helper is given to connections that begin.
            const auto type = find(numbers, NFTA_OBJREF_IMM_TYPE);
            return type == NFT_OBJECT_CT_HELPER || type == NFT_OBJECT_COUNTER ? "" : "a named object";
        }
        if (name == "exthdr") return begins_ && is_max_segment_size(numbers, data) ? "" : "an option of the packet";
        if (name == "match") {
            const Extension match = extension_of(data, NFTA_MATCH_NAME, NFTA_MATCH_INFO);
            return match_is_constant(match) ? "" : "match " + match.name;
        }
        if (name == "target") {
            const Extension target = extension_of(data, NFTA_TARGET_NAME, NFTA_TARGET_INFO);
            return target_is_constant(target) ? "" : "target " + target.name;
        }
        return std::string(name);
    }

    // Whether what follows may be of UDP packets.
    bool udp() const { return udp_; }

private:
    static std::string key_text(std::string_view what, std::optional<std::uint32_t> key) {
        constexpr std::uint32_t kMetaMark = NFT_META_MARK, kCtMark = NFT_CT_MARK;  // the same number
        static_assert(kMetaMark == kCtMark);
        if (key == kMetaMark) return fmt::format("{} mark", what);
        return key ? fmt::format("{} key {}", what, *key) : std::string(what);
    }

    std::uint8_t family_;
    bool flags_ = false;                // the TCP flags were loaded, and are to be masked next
    std::optional<std::uint8_t> mask_;  // ... were masked, and may be compared next
    bool protocol_ = false;             // the protocol was loaded, and may be compared next
    bool has_ports_ = false;            // what follows is of packets that have ports
    bool udp_ = true;                   // ... may be of UDP packets
    bool begins_ = false;               // ... is of packets that begin a connection
};

void find_per_packet(NftRule& rule, Bytes list) {
    Expressions expressions(rule.family);
    const bool ok = for_each_attribute(list, [&](const Attribute& element) {
        std::string name;
        Bytes data;
        const bool whole = for_each_attribute(element.payload, [&](const Attribute& attribute) {
            if (attribute.type == NFTA_EXPR_NAME) name = attribute.text();
            if (attribute.type == NFTA_EXPR_DATA) data = attribute.payload;
            return true;
        });
        if (rule.per_packet.empty()) {
            rule.per_packet = expressions.take(name, data);
            rule.udp = expressions.udp();
        }
        return whole;
    });
    if (ok) return;
    rule.per_packet = "an expression that cannot be understood";
    rule.udp = true;
}

}  // namespace

std::optional<NftRule> decode_nft_rule(const nlmsghdr* message) {
    const auto payload = payload_of<nfgenmsg>(message);
    if (message->nlmsg_type != kNewRule || !payload) return std::nullopt;
    NftRule rule;
    rule.family = payload->header.nfgen_family;
    const bool ok = for_each_attribute(payload->attributes, [&rule](const Attribute& attribute) {
        switch (attribute.type) {
            case NFTA_RULE_TABLE: rule.table = attribute.text(); return true;
            case NFTA_RULE_CHAIN: rule.chain = attribute.text(); return true;
            case NFTA_RULE_EXPRESSIONS: find_per_packet(rule, attribute.payload); return true;
            default: return true;
        }
    });
    if (!ok) {
        rule.per_packet = "a rule that cannot be understood";
        rule.udp = true;
    }
    return rule;
}

std::optional<NftSet> decode_nft_set(const nlmsghdr* message) {
    const auto payload = payload_of<nfgenmsg>(message);
    if (message->nlmsg_type != kNewSet || !payload) return std::nullopt;
    NftSet set;
    set.family = payload->header.nfgen_family;
    bool has_expressions = false, counts_alone = true, seen = false;
    const auto take_expression = [&](Bytes expression) {
        seen = true;
        return for_each_attribute(expression, [&](const Attribute& attribute) {
            if (attribute.type == NFTA_EXPR_NAME) counts_alone = counts_alone && attribute.text() == "counter";
            return true;
        });
    };
    const bool ok = for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case NFTA_SET_TABLE: set.table = attribute.text(); return true;
            case NFTA_SET_NAME: set.name = attribute.text(); return true;
            case NFTA_SET_EXPR: return take_expression(attribute.payload);
            case NFTA_SET_EXPRESSIONS:
                return for_each_attribute(attribute.payload,
                                          [&](const Attribute& element) { return take_expression(element.payload); });
            case NFTA_SET_FLAGS: {
                const auto flags = attribute.be32();
                set.changes_itself = !flags || (*flags & (NFT_SET_TIMEOUT | NFT_SET_EVAL)) != 0;
                has_expressions = flags && (*flags & NFT_SET_EXPR) != 0;
                return true;
            }
            default: return true;
        }
    });
    // Its elements may have some where it has none itself.
    if (!ok || !counts_alone || (has_expressions && !seen)) set.changes_itself = true;
    return set;
}

}  // namespace underpass
