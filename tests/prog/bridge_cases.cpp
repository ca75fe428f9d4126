// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// bridge: what the kernel has to do itself, and where the rest goes.
#include "prog/cases.h"

namespace underpass::test {

namespace {

template <std::uint32_t flags>
void in_lacks(World& world) {
    world.in.flags &= ~flags;
}

template <std::uint32_t flags>
void out_lacks(World& world) {
    world.out.flags &= ~flags;
}

Frame to_group(const MacAddr& group) {
    return Ethernet{.destination = group, .source = kFrom} / IPv4{} / PadTo{60};
}

Frame icmp6(std::uint8_t type) {
    return between_hosts(IPv6{}, {ICMP{.type = type}, Payload{16}});
}

std::vector<Case> ingress_cases() {
    return {
        {.description = "a port that is not forwarding",
         .frame = plain(),
         .reason = REASON_NOT_FORWARDING,
         .given = in_lacks<DEVICE_FORWARDING>},
        {.description = "a port that is left to the kernel",
         .frame = plain(),
         .reason = REASON_LEFT_TO_KERNEL,
         .given = in_lacks<DEVICE_INGRESS>},
        {.description = "a broadcast", .frame = to_group(kBroadcast), .reason = REASON_MULTICAST},
        {.description = "an IPv4 group", .frame = to_group({{0x01, 0x00, 0x5e, 0, 0, 1}}), .reason = REASON_MULTICAST},
        {.description = "an IPv6 group", .frame = to_group({{0x33, 0x33, 0, 0, 0, 1}}), .reason = REASON_MULTICAST},
        {.description = "a BPDU", .frame = to_group({{0x01, 0x80, 0xc2, 0, 0, 0}}), .reason = REASON_MULTICAST},
        {.description = "a tagged frame where a VLAN device may sit",
         .frame = between_hosts(Vlan{.vid = 5}, {IPv4{}, UDP{}}),
         .reason = REASON_VLAN_UPPER,
         .given = [](World& world) { world.in.flags |= DEVICE_VLAN_UPPERS; }},
        {.description = "a frame without a tag where a VLAN device may sit",
         .frame = plain(),
         .given = [](World& world) { world.in.flags |= DEVICE_VLAN_UPPERS; }},
        {.description = "an ARP reply",
         .frame = between_hosts(Arp{.operation = 2, .sender_mac = kFrom}),
         .reason = REASON_ARP},
        {.description = "a reverse ARP request",
         .frame = Ethernet{.destination = kTo, .source = kFrom, .type = 0x8035} / PadTo{60},
         .reason = REASON_ARP},
        {.description = "a tagged ARP reply",
         .frame = between_hosts(Vlan{.vid = 5}, {Arp{.operation = 2}}),
         .reason = REASON_ARP},
        {.description = "a router solicitation", .frame = icmp6(133), .reason = REASON_ND},
        {.description = "a neighbour solicitation", .frame = icmp6(135), .reason = REASON_ND},
        {.description = "a redirect", .frame = icmp6(137), .reason = REASON_ND},
        {.description = "a tagged neighbour advertisement",
         .frame = between_hosts(Vlan{.vid = 5}, {IPv6{}, ICMP{.type = 136}, Payload{16}}),
         .reason = REASON_ND},
        {.description = "the ICMPv6 type before neighbour discovery", .frame = icmp6(132)},
        {.description = "the ICMPv6 type after neighbour discovery", .frame = icmp6(138)},
        {.description = "an IPv6 ping", .frame = icmp6(128)},
        {.description = "UDP in IPv6 that starts like neighbour discovery",
         .frame = between_hosts(IPv6{}, {UDP{.sport = 135 << 8}, Payload{8}})},
    };
}

std::vector<Case> destination_cases() {
    return {
        {.description = "a destination that nobody knows",
         .frame = Ethernet{.destination = kStranger, .source = kFrom} / IPv4{} / PadTo{60},
         .reason = REASON_DESTINATION_UNKNOWN},
        {.description = "the host itself",
         .frame = plain(),
         .reason = REASON_TO_HOST,
         .given = [](World& world) { world.fdb[kTo] = {.slot = 0, .flags = FDB_LOCAL}; }},
        {.description = "the address of the egress port",
         .frame = plain(),
         .reason = REASON_TO_HOST,
         .given = [](World& world) { world.fdb[kTo].flags = FDB_LOCAL; }},
        {.description = "a destination that has not been seen",
         .frame = plain(),
         .reason = REASON_DESTINATION_UNCONFIRMED,
         .given = [](World& world) { world.fdb[kTo].shown = Shown::never; }},
        {.description = "a sticky destination that has not been seen",
         .frame = plain(),
         .given = [](World& world) { world.fdb[kTo] = {.flags = FDB_STICKY, .shown = Shown::never}; }},
        {.description = "a destination that was seen elsewhere",
         .frame = plain(),
         .reason = REASON_DESTINATION_MOVED,
         .given = [](World& world) { world.fdb[kTo].distrusted = true; }},
        {.description = "a destination at the port of the source",
         .frame = plain(),
         .reason = REASON_SAME_PORT,
         .given = [](World& world) { world.fdb[kTo].slot = kInSlot; }},
        {.description = "from an isolated port to another",
         .frame = plain(),
         .reason = REASON_ISOLATED,
         .given =
             [](World& world) {
                 world.in.flags |= DEVICE_ISOLATED;
                 world.out.flags |= DEVICE_ISOLATED;
             }},
        {.description = "from an isolated port to one that is not",
         .frame = plain(),
         .given = [](World& world) { world.in.flags |= DEVICE_ISOLATED; }},
        {.description = "to an isolated port from one that is not",
         .frame = plain(),
         .given = [](World& world) { world.out.flags |= DEVICE_ISOLATED; }},
        {.description = "an egress port that is left to the kernel",
         .frame = plain(),
         .reason = REASON_EGRESS_NOT_READY,
         .given = out_lacks<DEVICE_EGRESS>},
        {.description = "an egress port that is not forwarding",
         .frame = plain(),
         .reason = REASON_EGRESS_NOT_READY,
         .given = out_lacks<DEVICE_FORWARDING>},
        {.description = "an egress port of another bridge",
         .frame = plain(),
         .reason = REASON_EGRESS_NOT_READY,
         .given = [](World& world) { world.out.bridge = kOtherBridge; }},
        {.description = "a destination in a slot that is empty",
         .frame = plain(),
         .reason = REASON_EGRESS_NOT_READY,
         .given = [](World& world) { world.fdb[kTo].slot = kEmptySlot; }},
        {.description = "a destination in a slot that there is not",
         .frame = plain(),
         .reason = REASON_EGRESS_NOT_READY,
         .given = [](World& world) { world.fdb[kTo].slot = DEVICE_SLOTS; }},
        {.description = "an egress port that no XDP redirect reaches",
         .frame = plain(),
         .given = [](World& world) { world.out_takes_xdp = false; },
         .on_xdp = REASON_EGRESS_NOT_READY},
        {.description = "an egress port that neither learns nor lets in",
         .frame = plain(),
         .given = out_lacks<DEVICE_LEARNS | DEVICE_INGRESS>},
    };
}

std::vector<Case> frame_cases() {
    const auto jumbo = [](World& world) { world.out.max_len = 9014; };
    const auto jumbo_by_xdp = [](World& world) {
        world.out.max_len = 9014;
        world.out.flags |= DEVICE_XDP_FRAGS;
    };
    return {
        {.description = "the plainest frame", .frame = plain()},
        {.description = "a frame of just an Ethernet header and a byte",
         .frame = Ethernet{.destination = kTo, .source = kFrom} / Payload{1}},
        {.description = "TCP", .frame = between_hosts(IPv4{}, {TCP{.flags = 2}, Payload{0}})},
        {.description = "neither IPv4 nor IPv6", .frame = between_hosts(Payload{46})},
        {.description = "an IPv6 header that is cut short",
         .frame = Ethernet{.destination = kTo, .source = kFrom, .type = 0x86dd} / Payload{5}},
        {.description = "a tag", .frame = between_hosts(Vlan{.vid = 5, .pcp = 6}, {IPv4{}, UDP{}})},
        {.description = "a priority tag", .frame = between_hosts(Vlan{.vid = 0, .pcp = 6}, {IPv4{}, UDP{}})},
        {.description = "a service tag with a tag inside",
         .frame = between_hosts(Vlan{.vid = 5, .tpid = 0x88a8}, {Vlan{.vid = 6}, IPv4{}, UDP{}})},
        {.description = "as long as the egress port allows", .frame = plain(1514)},
        {.description = "a byte longer than the egress port allows", .frame = plain(1515), .reason = REASON_TOO_BIG},
        {.description = "a byte longer than a smaller egress port allows",
         .frame = plain(1295),
         .reason = REASON_TOO_BIG,
         .given = [](World& world) { world.out.max_len = 1294; }},
        {.description = "a jumbo frame within a page", .frame = plain(3000), .given = jumbo},
        {.description = "a jumbo frame of several pages", .frame = plain(9014), .given = jumbo_by_xdp, .only = On::xdp},
        {.description = "a jumbo frame of several pages to a device that takes none by XDP",
         .frame = plain(9014),
         .given = jumbo,
         .on_xdp = REASON_EGRESS_NOT_READY,
         .only = On::xdp},
        {.description = "a frame of several pages that is too big",
         .frame = plain(9015),
         .reason = REASON_TOO_BIG,
         .given = jumbo,
         .only = On::xdp},
        {.description = "what will be segmented has no length of its own",
         .frame = between_hosts(IPv4{}, {TCP{}, Payload{3000}}),
         .only = On::tc,
         .gso = {.segments = 3, .size = 1200}},
        {.description = "a destination behind a veth peer",
         .frame = plain(),
         .given = [](World& world) { world.fdb[kTo].flags = FDB_PEER; }},
    };
}

}  // namespace

std::vector<Case> bridge_cases() {
    std::vector<Case> all = ingress_cases();
    for (const auto& part : {destination_cases(), frame_cases()}) all.insert(all.end(), part.begin(), part.end());
    return all;
}

}  // namespace underpass::test
