// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// VLAN-aware bridges: what a port's rights in a VLAN, and the VLAN's own hosts, decide. Which tag a frame leaves with,
// for every kind of port and frame: vlan_table_test.cpp.
#include "prog/cases.h"

namespace underpass::test {

namespace {

constexpr std::uint16_t kNative = 10, kOther = 20, kNowhere = 30;

void know_hosts(World& world, std::uint16_t vid) {
    world.fdb[{kFrom, vid}] = {.slot = kInSlot};
    world.fdb[{kTo, vid}] = {.slot = kOutSlot};
}

// Two trunks, whose native VLAN is untagged.
void trunks(World& world) {
    for (Port* port : {&world.in, &world.out}) {
        port->flags |= DEVICE_VLAN_AWARE;
        port->vid = kNative;
        port->rights = {{kNative, kUntagged}, {kOther, kTagged}};
    }
    world.fdb.clear();
    for (const std::uint16_t vid : {kNative, kOther}) know_hosts(world, vid);
}

// From an access port to a trunk where its VLAN is tagged.
void access_to_trunk(World& world) {
    trunks(world);
    world.in.rights = {{kNative, kUntagged}};
    world.out.rights[kNative] = kTagged;
}

template <std::uint16_t vid, std::uint8_t rights>
void in_has(World& world) {
    world.in.rights[vid] = rights;
}

template <std::uint16_t vid, std::uint8_t rights>
void out_has(World& world) {
    world.out.rights[vid] = rights;
}

// A trunk with this VLAN and none beside it: its place among the packed rights is its own.
template <std::uint16_t vid>
void only_vlan(World& world) {
    for (Port* port : {&world.in, &world.out}) {
        port->flags |= DEVICE_VLAN_AWARE;
        port->rights = {{vid, kTagged}};
    }
    world.fdb.clear();
    for (const int near : {vid - 1, int{vid}, vid + 1}) know_hosts(world, static_cast<std::uint16_t>(near));
}

void distrust_in_other(World& world, On) {
    world.fdb[{kFrom, kOther}].distrusted = true;
}

// Two tags, of which the inner ends within its own four bytes.
Frame cut_inner(std::uint16_t vid) {
    Frame frame = Ethernet{.destination = kTo, .source = kFrom} / Vlan{.vid = vid} / Vlan{.vid = 5} / Payload{0};
    frame.resize(14 + 4 + 3);
    return frame;
}

std::vector<Case> right_cases() {
    return {
        {.description = "a VLAN that does not forward at the ingress port yet",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_VLAN_NOT_READY,
         .base = trunks,
         .given = in_has<kOther, VLAN_LEARNS>,
         .counted_vid = kOther},
        {.description = "a VLAN that neither forwards nor learns at the ingress port",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_NOT_A_MEMBER,
         .base = trunks,
         .given = in_has<kOther, 0>},
        {.description = "a native VLAN that does not forward at the ingress port yet",
         .frame = plain(),
         .reason = REASON_VLAN_NOT_READY,
         .base = trunks,
         .given = in_has<kNative, VLAN_LEARNS | VLAN_UNTAGGED>,
         .counted_vid = kNative},
        {.description = "a PVID of which the port is no member",
         .frame = plain(),
         .reason = REASON_NOT_A_MEMBER,
         .base = trunks,
         .given = in_has<kNative, 0>},
        {.description = "a broadcast in a VLAN of which the port is no member",
         .frame = Ethernet{.destination = kBroadcast, .source = kFrom} / Vlan{.vid = kNowhere} / IPv4{} / PadTo{60},
         .reason = REASON_NOT_A_MEMBER,
         .base = trunks},
        {.description = "a VLAN that does not forward at the egress port yet",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_EGRESS_NOT_A_MEMBER,
         .base = trunks,
         .given = out_has<kOther, VLAN_LEARNS>,
         .counted_vid = kOther},
        {.description = "a native VLAN that does not forward at the egress port yet",
         .frame = plain(),
         .reason = REASON_EGRESS_NOT_A_MEMBER,
         .base = trunks,
         .given = out_has<kNative, VLAN_LEARNS | VLAN_UNTAGGED>,
         .counted_vid = kNative},
        {.description = "a VLAN that does not learn, but forwards",
         .frame = tagged({.vid = kOther}),
         .base = trunks,
         .given = in_has<kOther, VLAN_FORWARD>,
         .counted_vid = kOther},
        {.description = "an egress port without VLAN filtering yet",
         .frame = plain(),
         .reason = REASON_EGRESS_NOT_READY,
         .base = trunks,
         .given = [](World& world) { world.out.flags &= ~std::uint32_t{DEVICE_VLAN_AWARE}; },
         .counted_vid = kNative},
        {.description = "an egress port with VLAN filtering already",
         .frame = plain(),
         .reason = REASON_EGRESS_NOT_READY,
         .given = [](World& world) { world.out.flags |= DEVICE_VLAN_AWARE; }},
        {.description = "an ARP reply in a VLAN",
         .frame = between_hosts(Vlan{.vid = kOther}, {Arp{.operation = 2}}),
         .reason = REASON_ARP,
         .base = trunks,
         .counted_vid = kOther},
        {.description = "a group's address as a source in a VLAN",
         .frame = Ethernet{.destination = kTo, .source = {{3, 0, 0, 0, 0, 1}}} / Vlan{.vid = kOther} / PadTo{60},
         .reason = REASON_SOURCE_INVALID,
         .base = trunks,
         .counted_vid = kOther},
        {.description = "a frame in a VLAN from a port that is not forwarding",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_NOT_FORWARDING,
         .base = trunks,
         .given = [](World& world) { world.in.flags &= ~std::uint32_t{DEVICE_FORWARDING}; },
         .counted_vid = kOther},
    };
}

std::vector<Case> upper_cases() {
    return {
        {.description = "a moved source in a tag that a VLAN device takes moves nothing",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_SOURCE_MOVED,
         .base = trunks,
         .given =
             [](World& world) {
                 world.in.rights[kOther] = kTagged | VLAN_UPPER;
                 world.fdb[{kFrom, kOther}].slot = kOutSlot;
             },
         .counted_vid = kOther},
        {.description = "a tag that a VLAN device on the port takes",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_VLAN_UPPER,
         .base = trunks,
         .given = in_has<kOther, kTagged | VLAN_UPPER>,
         .counted_vid = kOther},
        {.description = "no tag, in the VLAN whose tag a VLAN device takes",
         .frame = plain(),
         .base = trunks,
         .given = in_has<kNative, kUntagged | VLAN_UPPER>,
         .counted_vid = kNative},
        {.description = "a priority tag in the VLAN whose tag a VLAN device takes",
         .frame = tagged({.vid = 0}),
         .base = access_to_trunk,
         .given = in_has<kNative, kUntagged | VLAN_UPPER>,
         .out = tagged({.vid = kNative}),
         .counted_vid = kNative},
        {.description = "a tag in another VLAN than a VLAN device takes",
         .frame = tagged({.vid = kOther}),
         .base = trunks,
         .given = in_has<kNative, kUntagged | VLAN_UPPER>,
         .counted_vid = kOther},
        {.description = "a tag that a VLAN device on the egress port takes",
         .frame = tagged({.vid = kOther}),
         .base = trunks,
         .given = out_has<kOther, kTagged | VLAN_UPPER>,
         .counted_vid = kOther},
        {.description = "a tag of the other protocol where a VLAN device may sit",
         .frame = tagged({.vid = kOther, .tpid = k8021AD}),
         .reason = REASON_VLAN_UPPER,
         .base = trunks,
         .given = [](World& world) { world.in.flags |= DEVICE_VLAN_UPPERS; },
         .counted_vid = kNative},
        {.description = "a tag of the bridge's protocol where a VLAN device may sit in another VLAN",
         .frame = tagged({.vid = kOther}),
         .base = trunks,
         .given = [](World& world) { world.in.flags |= DEVICE_VLAN_UPPERS; },
         .counted_vid = kOther},
    };
}

std::vector<Case> host_cases() {
    return {
        {.description = "a source that is known in another VLAN only",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_SOURCE_UNKNOWN,
         .base = trunks,
         .given =
             [](World& world) {
                 world.fdb.erase({kFrom, kOther});
                 world.fdb[kFrom] = {.slot = kInSlot};
             },
         .counted_vid = kOther},
        {.description = "a destination that is known in another VLAN only",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_DESTINATION_UNKNOWN,
         .base = trunks,
         .given =
             [](World& world) {
                 world.fdb.erase({kTo, kOther});
                 world.fdb[kTo] = {.slot = kOutSlot};
             },
         .counted_vid = kOther},
        {.description = "a source that was at another port in this VLAN",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_SOURCE_MOVED,
         .base = trunks,
         .given =
             [](World& world) {
                 world.fdb[{kFrom, kOther}].slot = kOutSlot;
             },
         .then = distrust_in_other,
         .counted_vid = kOther},
        {.description = "a source that is at another port in another VLAN",
         .frame = tagged({.vid = kOther}),
         .base = trunks,
         .given =
             [](World& world) {
                 world.fdb[{kFrom, kNative}].slot = kOutSlot;
             },
         .counted_vid = kOther},
        {.description = "a move in a VLAN that learns but does not forward",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_SOURCE_MOVED,
         .base = trunks,
         .given =
             [](World& world) {
                 world.in.rights[kOther] = VLAN_LEARNS;
                 world.fdb[{kFrom, kOther}].slot = kOutSlot;
             },
         .then = distrust_in_other,
         .counted_vid = kOther},
        {.description = "a move in a VLAN that does not learn",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_SOURCE_MOVED,
         .base = trunks,
         .given =
             [](World& world) {
                 world.in.rights[kOther] = VLAN_FORWARD;
                 world.fdb[{kFrom, kOther}].slot = kOutSlot;
             },
         .counted_vid = kOther},
        {.description = "a move in a VLAN that learns at a port that does not",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_SOURCE_MOVED,
         .base = trunks,
         .given =
             [](World& world) {
                 world.in.flags &= ~std::uint32_t{DEVICE_LEARNS};
                 world.fdb[{kFrom, kOther}].slot = kOutSlot;
             },
         .counted_vid = kOther},
        {.description = "a move in a VLAN of which the port is no member",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_NOT_A_MEMBER,
         .base = trunks,
         .given =
             [](World& world) {
                 world.in.rights.erase(kOther);
                 world.fdb[{kFrom, kOther}].slot = kOutSlot;
             }},
        {.description = "a move that is told by a frame of the native VLAN",
         .frame = plain(),
         .reason = REASON_SOURCE_MOVED,
         .base = trunks,
         .given =
             [](World& world) {
                 world.fdb[{kFrom, kNative}].slot = kOutSlot;
             },
         .then =
             [](World& world, On) {
                 world.fdb[{kFrom, kNative}].distrusted = true;
             },
         .counted_vid = kNative},
        {.description = "a pulse is the VLAN's own",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_PULSE,
         .base = trunks,
         .given =
             [](World& world) {
                 for (const std::uint16_t vid : {kNative, kOther}) world.fdb[{kFrom, vid}].shown = Shown::never;
             },
         .then =
             [](World& world, On hook) {
                 if (hook == On::tc) world.fdb[{kFrom, kOther}].shown = Shown::just_now;
             },
         .counted_vid = kOther},
        {.description = "the host itself in a VLAN",
         .frame = tagged({.vid = kOther}),
         .reason = REASON_TO_HOST,
         .base = trunks,
         .given =
             [](World& world) {
                 world.fdb[{kTo, kOther}] = {.slot = 0, .flags = FDB_LOCAL};
             },
         .counted_vid = kOther},
    };
}

// A rewrite that cannot be done must not have been begun.
std::vector<Case> rewrite_cases() {
    const Frame cut = cut_inner(kNative), whole = tagged({.vid = kNative, .pcp = 5, .dei = true});
    const Frame priority = tagged({.vid = 0, .pcp = 5, .dei = true});
    const auto unreachable = [](World& world) { world.out_takes_xdp = false; };
    return {
        {.description = "an inner tag that is cut short, where the outer would go",
         .frame = cut,
         .reason = REASON_RUNT,
         .base = trunks,
         .counted_vid = kNative},
        {.description = "an inner tag that is cut short, where the outer stays",
         .frame = cut_inner(kOther),
         .reason = REASON_RUNT,
         .base = trunks,
         .counted_vid = kOther},
        {.description = "an inner tag that is cut short within a priority tag",
         .frame = cut_inner(0),
         .reason = REASON_RUNT,
         .base = access_to_trunk,
         .counted_vid = kNative},
        {.description = "a tag to take off on the way to a port that no XDP redirect reaches",
         .frame = whole,
         .base = trunks,
         .given = unreachable,
         .on_xdp = REASON_EGRESS_NOT_READY,
         .out = without_tag(whole),
         .counted_vid = kNative},
        {.description = "a tag to push on the way to a port that no XDP redirect reaches",
         .frame = plain(),
         .base = access_to_trunk,
         .given = unreachable,
         .on_xdp = REASON_EGRESS_NOT_READY,
         .out = with_tag(plain(), k8021Q, kNative),
         .counted_vid = kNative},
        {.description = "a tag to replace on the way to a port that no XDP redirect reaches",
         .frame = priority,
         .base = access_to_trunk,
         .given = unreachable,
         .on_xdp = REASON_EGRESS_NOT_READY,
         .out = with_tag(without_tag(priority), k8021Q, 0xb000 | kNative),
         .counted_vid = kNative},
        {.description = "the shortest frame that the kernel takes a tag off",
         .frame = Ethernet{.destination = kTo, .source = kFrom} / Vlan{.vid = kNative} / Payload{2},
         .base = trunks,
         .out = Ethernet{.destination = kTo, .source = kFrom} / Payload{2},
         .counted_vid = kNative,
         .not_in_bytes = true},
        {.description = "a tag beside the bytes, and one in them with nothing behind it, which nobody takes then",
         .frame = Ethernet{.destination = kTo, .source = kFrom} / Vlan{.vid = kNative} / Vlan{.vid = 5} / Payload{0},
         .reason = REASON_RUNT,
         .base = trunks,
         .only = On::tc,
         .counted_vid = kNative,
         .not_in_bytes = true},
    };
}

// The rights of 16 VLANs lie in a word.
template <std::uint16_t vid>
std::vector<Case> packing_cases() {
    std::vector<Case> all = {{.description = "VLAN " + std::to_string(vid),
                              .frame = tagged({.vid = vid}),
                              .base = only_vlan<vid>,
                              .counted_vid = vid}};
    for (const int near : {vid - 1, vid + 1})
        if (near != 0)
            all.push_back({.description = "VLAN " + std::to_string(near) + " beside " + std::to_string(vid),
                           .frame = tagged({.vid = static_cast<std::uint16_t>(near)}),
                           .reason = REASON_NOT_A_MEMBER,
                           .base = only_vlan<vid>});
    return all;
}

}  // namespace

std::vector<Case> vlan_cases() {
    std::vector<Case> all = right_cases();
    for (const auto& part : {upper_cases(), host_cases(), rewrite_cases(), packing_cases<1>(), packing_cases<15>(),
                             packing_cases<16>(), packing_cases<2047>(), packing_cases<4080>(), packing_cases<4094>()})
        all.insert(all.end(), part.begin(), part.end());
    return all;
}

}  // namespace underpass::test
