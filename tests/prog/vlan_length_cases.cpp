// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Lengths at the edge of the egress port's MTU, for everything that may happen to a tag. A redirect by XDP counts the
// frame as it leaves, with its tag; the kernel's bridge, and so TC, what lies in the bytes there: not the tag that it
// has beside them, but one of another protocol than the bridge's, which is payload to it.
#include <algorithm>

#include "prog/cases.h"

namespace underpass::test {

namespace {

constexpr std::uint16_t kVid = 10;
constexpr std::uint32_t kMaxLen = 1000;

template <std::uint8_t in, std::uint8_t out>
void aware(World& world) {
    for (Port* port : {&world.in, &world.out}) {
        port->flags |= DEVICE_VLAN_AWARE;
        port->max_len = kMaxLen;
        port->vid = kVid;
    }
    world.in.rights = {{kVid, in}};
    world.out.rights = {{kVid, out}};
    world.fdb = {{{kFrom, kVid}, {.slot = kInSlot}}, {{kTo, kVid}, {.slot = kOutSlot}}};
}

template <bool from_upper, bool to_upper>
void devices(World& world) {
    const auto upper = [](std::uint32_t below) {
        return Upper{.port = {.flags = kReady | DEVICE_VLAN_DEVICE, .max_len = kMaxLen, .vid = kVid}, .below = below};
    };
    world.out.max_len = kMaxLen;
    if (from_upper) {
        world.in = {.flags = DEVICE_PRESENT | DEVICE_TRUNK, .bridge = 0};
        world.uppers[kUpperSlot] = upper(kInSlot);
        world.fdb[kFrom].slot = kUpperSlot;
    }
    if (to_upper) {
        world.out = {.flags = DEVICE_PRESENT | DEVICE_TRUNK, .bridge = 0};
        world.uppers[kOtherUpperSlot] = upper(kOutSlot);
        world.fdb[kTo].slot = kOtherUpperSlot;
    }
}

// What a frame comes with, and leaves with.
struct Operation {
    const char* what;
    std::vector<Vlan> in;
    void (*base)(World& world);
    std::optional<Vlan> pushed = std::nullopt;
    bool stripped = false;
    std::size_t counted_on_tc = 0;  // tags in the bytes where the kernel measures, as it has them
    std::uint32_t counted_at = kInSlot;
    std::uint16_t counted_vid = kVid;
};

std::vector<Operation> operations() {
    const Vlan own = {.vid = kVid}, priority = {.vid = 0, .pcp = 5}, foreign = {.vid = 5, .tpid = k8021AD};
    const auto device = [](std::uint32_t slot, Operation operation) {
        operation.counted_at = slot;
        operation.counted_vid = 0;
        return operation;
    };
    return {
        {.what = "no tag", .in = {}, .base = aware<kUntagged, kUntagged>},
        {.what = "a tag that stays", .in = {own}, .base = aware<kTagged, kTagged>},
        {.what = "a tag that goes", .in = {own}, .base = aware<kTagged, kUntagged>, .stripped = true},
        {.what = "a tag that comes", .in = {}, .base = aware<kUntagged, kTagged>, .pushed = own},
        {.what = "a priority tag that is replaced",
         .in = {priority},
         .base = aware<kUntagged, kTagged>,
         .pushed = Vlan{.vid = kVid, .pcp = 5},
         .stripped = true},
        {.what = "a tag that goes and one inside",
         .in = {own, foreign},
         .base = aware<kTagged, kUntagged>,
         .stripped = true,
         .counted_on_tc = 1},
        {.what = "a tag that is payload", .in = {foreign}, .base = aware<kUntagged, kUntagged>, .counted_on_tc = 1},
        {.what = "a tag that comes before one that is payload",
         .in = {foreign},
         .base = aware<kUntagged, kTagged>,
         .pushed = own,
         .counted_on_tc = 1},
        device(kUpperSlot,
               {.what = "a VLAN device's tag that goes", .in = {own}, .base = devices<true, false>, .stripped = true}),
        device(kInSlot,
               {.what = "a VLAN device's tag that comes", .in = {}, .base = devices<false, true>, .pushed = own}),
        device(kUpperSlot, {.what = "a VLAN device's tag for another's",
                            .in = {own},
                            .base = devices<true, true>,
                            .pushed = own,
                            .stripped = true}),
        device(kInSlot, {.what = "a tag on a bridge without VLANs", .in = {own}, .base = devices<false, false>}),
    };
}

// A frame with these tags, and `size` bytes beside them.
Frame with_tags(const std::vector<Vlan>& tags, std::size_t size) {
    Frame frame = plain(size);
    std::for_each(tags.rbegin(), tags.rend(), [&frame](const Vlan& tag) {
        frame = with_tag(frame, tag.tpid, static_cast<std::uint16_t>(tag.pcp << 13 | tag.vid));
    });
    return frame;
}

Case at_edge(const Operation& operation, On hook, bool over) {
    std::vector<Vlan> leaving = operation.in;
    if (operation.stripped) leaving.erase(leaving.begin());
    if (operation.pushed) leaving.insert(leaving.begin(), *operation.pushed);
    const std::size_t tags = hook == On::xdp ? leaving.size() : operation.counted_on_tc;
    const std::size_t size = kMaxLen - 4 * tags + (over ? 1 : 0);
    Case each = {.description = std::string(operation.what) + (over ? ", a byte too long for " : ", just fits ") +
                                (hook == On::xdp ? "XDP" : "TC"),
                 .frame = with_tags(operation.in, size),
                 .reason = over ? REASON_TOO_BIG : REASON_FORWARDED,
                 .base = operation.base};
    each.only = hook;
    if (operation.stripped || operation.pushed) each.out = with_tags(leaving, size);
    each.counted_at = operation.counted_at;
    each.counted_vid = operation.counted_vid;
    each.not_in_bytes = !operation.in.empty();
    return each;
}

}  // namespace

std::vector<Case> vlan_length_cases() {
    std::vector<Case> all;
    for (const Operation& operation : operations())
        for (const On hook : {On::xdp, On::tc})
            for (const bool over : {false, true}) all.push_back(at_edge(operation, hook, over));
    return all;
}

}  // namespace underpass::test
