// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// source: the kernel's learning, watched; and the pulse.
#include "prog/cases.h"

namespace underpass::test {

namespace {

void distrust_source(World& world, On) {
    world.fdb[kFrom].distrusted = true;
}

// The hook before the last one leaves the stamp to the last.
void stamp_source(World& world, On hook) {
    if (hook == On::tc) world.fdb[kFrom].shown = Shown::just_now;
}

}  // namespace

std::vector<Case> source_cases() {
    return {
        {.description = "a source that nobody knows",
         .frame = plain(),
         .reason = REASON_SOURCE_UNKNOWN,
         .given = [](World& world) { world.fdb.erase(kFrom); }},
        {.description = "a source that is known on another bridge only",
         .frame = plain(),
         .reason = REASON_SOURCE_UNKNOWN,
         .given = [](World& world) { world.in.bridge = kOtherBridge; }},
        {.description = "a source that is known in a VLAN, on a bridge without",
         .frame = plain(),
         .reason = REASON_SOURCE_UNKNOWN,
         .given =
             [](World& world) {
                 world.fdb.erase(kFrom);
                 world.fdb[{kFrom, 1}] = {.slot = kInSlot};
             }},
        {.description = "a PVID says nothing on a bridge without VLANs",
         .frame = plain(),
         .given = [](World& world) { world.in.vid = 5; }},
        {.description = "a source whose own entry is distrusted",
         .frame = plain(),
         .reason = REASON_SOURCE_MOVED,
         .given = [](World& world) { world.fdb[kFrom].distrusted = true; }},
        {.description = "a source at a port that does not learn",
         .frame = plain(),
         .given = [](World& world) { world.in.flags &= ~std::uint32_t{DEVICE_LEARNS}; }},

        {.description = "a source that was at another port",
         .frame = plain(),
         .reason = REASON_SOURCE_MOVED,
         .given = [](World& world) { world.fdb[kFrom].slot = kOutSlot; },
         .then = distrust_source},
        {.description = "a move that is told by a broadcast",
         .frame = Ethernet{.destination = kBroadcast, .source = kFrom} / Arp{.sender_mac = kFrom} / PadTo{60},
         .reason = REASON_SOURCE_MOVED,
         .given = [](World& world) { world.fdb[kFrom].slot = kOutSlot; },
         .then = distrust_source},
        {.description = "a move to a port that is left to the kernel",
         .frame = plain(),
         .reason = REASON_SOURCE_MOVED,
         .given =
             [](World& world) {
                 world.in.flags = DEVICE_PRESENT | DEVICE_LEARNS;
                 world.fdb[kFrom].slot = kOutSlot;
             },
         .then = distrust_source},
        {.description = "a move to a port that does not learn",
         .frame = plain(),
         .reason = REASON_SOURCE_MOVED,
         .given =
             [](World& world) {
                 world.in.flags &= ~std::uint32_t{DEVICE_LEARNS};
                 world.fdb[kFrom].slot = kOutSlot;
             }},
        {.description = "a sticky source that was at another port",
         .frame = plain(),
         .reason = REASON_SOURCE_MOVED,
         .given = [](World& world) { world.fdb[kFrom] = {.slot = kOutSlot, .flags = FDB_STICKY}; }},
        {.description = "the host's own address as a source",
         .frame = plain(),
         .reason = REASON_SOURCE_MOVED,
         .given = [](World& world) { world.fdb[kFrom] = {.slot = 0, .flags = FDB_LOCAL}; }},
        {.description = "the ingress port's own address as a source",
         .frame = plain(),
         .reason = REASON_SOURCE_MOVED,
         .given = [](World& world) { world.fdb[kFrom] = {.slot = kInSlot, .flags = FDB_LOCAL}; }},

        {.description = "the first frame of a source",
         .frame = plain(),
         .reason = REASON_PULSE,
         .given = [](World& world) { world.fdb[kFrom].shown = Shown::never; },
         .then = stamp_source},
        {.description = "a source whose pulse is due",
         .frame = plain(),
         .reason = REASON_PULSE,
         .given = [](World& world) { world.fdb[kFrom].shown = Shown::long_ago; },
         .then = stamp_source},
        {.description = "a frame right behind its source's pulse does not overtake it",
         .frame = plain(),
         .given = [](World& world) { world.fdb[kFrom].shown = Shown::just_now; },
         .on_xdp = REASON_PULSE},
        {.description = "a group's address as a source, though the FDB has it",
         .frame = Ethernet{.destination = kTo, .source = {{3, 0, 0, 0, 0, 1}}} / IPv4{} / UDP{} / Payload{18},
         .reason = REASON_SOURCE_INVALID,
         .given =
             [](World& world) {
                 world.fdb[MacAddr{{3, 0, 0, 0, 0, 1}}] = {.slot = kInSlot};
             }},
        {.description = "nobody's address as a source, though the FDB has it",
         .frame = Ethernet{.destination = kTo, .source = {}} / IPv4{} / UDP{} / Payload{18},
         .reason = REASON_SOURCE_INVALID,
         .given = [](World& world) { world.fdb[MacAddr{}] = {.slot = kInSlot}; }},
        {.description = "a frame that br_netfilter may drop is no pulse",
         .frame = Ethernet{.destination = kTo, .source = kFrom} / IPv4{.checksum = 1} / UDP{} / Payload{18},
         .reason = REASON_IP_INVALID,
         .given =
             [](World& world) {
                 world.in.flags |= DEVICE_BRNF_IPV4;
                 world.fdb[kFrom].shown = Shown::long_ago;
             }},
        {.description = "a broadcast can be the pulse",
         .frame = Ethernet{.destination = kBroadcast, .source = kFrom} / Arp{.sender_mac = kFrom} / PadTo{60},
         .reason = REASON_PULSE,
         .given = [](World& world) { world.fdb[kFrom].shown = Shown::never; },
         .then = stamp_source},
        {.description = "a frame that the bridge may keep for itself is no pulse",
         .frame = Ethernet{.destination = {{0x01, 0x80, 0xc2, 0, 0, 0x0e}}, .source = kFrom} / PadTo{60},
         .reason = REASON_MULTICAST,
         .given = [](World& world) { world.fdb[kFrom].shown = Shown::never; }},
        {.description = "a pulse that is due at the destination only",
         .frame = plain(),
         .given = [](World& world) { world.fdb[kTo].shown = Shown::long_ago; }},
    };
}

}  // namespace underpass::test
