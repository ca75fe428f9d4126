// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// admit, parse, fresh: is it ours, is it a frame, may the maps be believed?
#include "prog/cases.h"

namespace underpass::test {

namespace {

// An Ethernet header that promises a tag, and `size` bytes in all.
Frame cut_tag(std::size_t size, std::uint16_t tpid) {
    Frame frame = Ethernet{.destination = kTo, .source = kFrom} / Vlan{.vid = 5, .tpid = tpid};
    frame.resize(size);
    return frame;
}

}  // namespace

std::vector<Case> admit_cases() {
    return {
        {.description = "a device without a slot",
         .frame = plain(),
         .reason = REASON_NOT_OURS,
         .given = [](World& world) { world.place = Place::empty; }},
        {.description = "a device whose record is closed",
         .frame = plain(),
         .reason = REASON_NOT_OURS,
         .given = [](World& world) { world.in.flags = 0; }},
        {.description = "a device that shares its place with another",
         .frame = plain(),
         .reason = REASON_NOT_OURS,
         .given = [](World& world) { world.place = Place::of_another; }},
        {.description = "a frame that ends before its tag's last two bytes",
         .frame = cut_tag(17, 0x8100),
         .reason = REASON_RUNT},
        {.description = "a frame with a tag and a byte less behind it than the kernel needs",
         .frame = cut_tag(19, 0x8100),
         .reason = REASON_RUNT,
         .only = On::xdp},  // it drops the frame before TC
        {.description = "a frame with a tag and just as much behind it as the kernel needs",
         .frame = cut_tag(20, 0x8100)},
        {.description = "a frame that ends within its service tag",
         .frame = cut_tag(15, 0x88a8),
         .reason = REASON_RUNT},
        {.description = "a daemon that has never beaten",
         .frame = plain(),
         .reason = REASON_STALE,
         .given = [](World& world) { world.beat = Beat::never; }},
        {.description = "a daemon that has stopped beating",
         .frame = plain(),
         .reason = REASON_STALE,
         .given = [](World& world) { world.beat = Beat::old; }},
        {.description = "a daemon whose beat is a tick ahead",
         .frame = plain(),
         .given = [](World& world) { world.beat = Beat::ahead; }},
        {.description = "a stale daemon decides before the destination does",
         .frame = Ethernet{.destination = kBroadcast, .source = kFrom} / PadTo{60},
         .reason = REASON_STALE,
         .given = [](World& world) { world.beat = Beat::old; }},
        {.description = "a move is seen though the daemon is stale",
         .frame = plain(),
         .reason = REASON_SOURCE_MOVED,
         .given =
             [](World& world) {
                 world.beat = Beat::old;
                 world.fdb[kFrom].slot = kOutSlot;
             },
         .then = [](World& world, On) { world.fdb[kFrom].distrusted = true; }},
        {.description = "nothing is stamped while the daemon is stale",
         .frame = plain(),
         .reason = REASON_STALE,
         .given =
             [](World& world) {
                 world.beat = Beat::old;
                 world.fdb[kFrom].shown = Shown::never;
             }},
    };
}

}  // namespace underpass::test
