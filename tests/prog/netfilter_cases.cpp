// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// netfilter: where br_netfilter looks at bridged packets, only those beyond doubt go fast. Each doubtful packet is
// there twice: with br_netfilter, and without, where it is nobody's business.
#include <string>
#include <utility>

#include "prog/cases.h"

namespace underpass::test {

namespace {

void look_at_both(World& world) {
    world.in.flags |= DEVICE_BRNF_IPV4 | DEVICE_BRNF_IPV6;
}
void look_at_ipv4(World& world) {
    world.in.flags |= DEVICE_BRNF_IPV4;
}
void look_at_ipv6(World& world) {
    world.in.flags |= DEVICE_BRNF_IPV6;
}

Frame ipv4(const IPv4& header) {
    return Ethernet{.destination = kTo, .source = kFrom, .type = 0x0800} / header / UDP{} / Payload{40};
}

Frame ipv6(const IPv6& header) {
    return Ethernet{.destination = kTo, .source = kFrom, .type = 0x86dd} / header / UDP{} / Payload{40};
}

std::vector<std::pair<std::string, Frame>> doubtful() {
    constexpr std::uint16_t kIpv4Size = 68, kIpv6Size = 48;
    const Ethernet ethernet = {.destination = kTo, .source = kFrom};
    Frame wrong_type = ipv4({});
    wrong_type[12] = 0x86;
    wrong_type[13] = 0xdd;
    return {
        {"IPv4 with a wrong checksum", ipv4({.checksum = 0x1234})},
        {"IPv4 of another version", ipv4({.version = 5})},
        {"IPv4 with options", ipv4({.options = {1, 1, 1, 1}})},
        {"a first fragment", ipv4({.fragment = 0x2000})},
        {"a fragment in the middle", ipv4({.fragment = 0x2003})},
        {"a last fragment", ipv4({.fragment = 3})},
        {"IPv4 with a header too short", ipv4({.header_words = 4})},
        {"IPv4 with bytes behind it", Frame(ethernet / IPv4{} / UDP{} / PadTo{60})},
        {"IPv4 that is cut short", ipv4({.total_length = kIpv4Size + 1})},
        {"IPv4 that is shorter than its frame", ipv4({.total_length = kIpv4Size - 1})},
        {"IPv4 without a whole header",
         Frame(Ethernet{.destination = kTo, .source = kFrom, .type = 0x0800} / Payload{19})},
        {"IPv6 of another version", ipv6({.version = 4})},
        {"IPv6 with hop-by-hop options", ipv6({.next_header = 0})},
        {"IPv6 with a routing header", ipv6({.next_header = 43})},
        {"an IPv6 fragment", ipv6({.next_header = 44})},
        {"IPv6 with destination options", ipv6({.next_header = 60})},
        {"IPv6 with bytes behind it", Frame(ethernet / IPv6{} / UDP{} / PadTo{80})},
        {"IPv6 that is cut short", ipv6({.payload_length = kIpv6Size + 1})},
        {"IPv6 that is shorter than its frame", ipv6({.payload_length = kIpv6Size - 1})},
        {"IPv6 without a whole header",
         Frame(Ethernet{.destination = kTo, .source = kFrom, .type = 0x86dd} / Payload{39})},
        {"IPv4 that says it is IPv6", std::move(wrong_type)},
    };
}

}  // namespace

std::vector<Case> netfilter_cases() {
    std::vector<Case> all = {
        {.description = "br_netfilter and a good IPv4 packet", .frame = ipv4({}), .given = look_at_both},
        {.description = "br_netfilter and a good IPv6 packet", .frame = ipv6({}), .given = look_at_both},
        {.description = "br_netfilter and no IP packet", .frame = between_hosts(Payload{46}), .given = look_at_both},
        {.description = "br_netfilter and a tagged packet",
         .frame = between_hosts(Vlan{.vid = 5}, {IPv4{.checksum = 1}, UDP{}}),
         .given = look_at_both},
        {.description = "br_netfilter for IPv4 leaves IPv6 alone",
         .frame = ipv6({.version = 4}),
         .given = look_at_ipv4},
        {.description = "br_netfilter for IPv6 leaves IPv4 alone",
         .frame = ipv4({.version = 5}),
         .given = look_at_ipv6},
    };
    // There may be no br_netfilter, but nothing tells.
    const Frame pppoe = Ethernet{.destination = kTo, .source = kFrom, .type = 0x8864} / PadTo{60};
    const auto cut = [](Frame frame, std::size_t size) {
        frame.resize(size);
        return frame;
    };
    const Frame inner = between_hosts(Vlan{.vid = 5}, {Vlan{.vid = 6}, IPv4{}, UDP{}});
    all.push_back({.description = "a PPPoE header", .frame = cut(pppoe, 22)});
    all.push_back({.description = "a PPPoE header that is cut short", .frame = cut(pppoe, 21), .reason = REASON_RUNT});
    all.push_back({.description = "an inner tag", .frame = cut(inner, 22)});
    all.push_back({.description = "an inner tag that is cut short", .frame = cut(inner, 21), .reason = REASON_RUNT});
    for (const auto& [what, frame] : doubtful()) {
        all.push_back({.description = "br_netfilter and " + what,
                       .frame = frame,
                       .reason = REASON_IP_INVALID,
                       .given = look_at_both});
        all.push_back({.description = "no br_netfilter and " + what, .frame = frame});
    }
    return all;
}

}  // namespace underpass::test
