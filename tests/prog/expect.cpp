// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "prog/expect.h"

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

namespace underpass::test {

namespace {

std::pair<std::uint64_t, std::uint64_t> frames_and_bytes(Way way, const Case& each) {
    const std::size_t beside = way == Way::live && has_tag(each.frame) ? 4 : 0;
    return {each.gso.segments != 0 ? each.gso.segments : 1, each.frame.size() - beside};
}

bool is_counted(Way way, const Case& each) {
    return way != Way::xdp || each.reason_on(On::xdp) == REASON_FORWARDED;
}

}  // namespace

int expected_action(On hook, bool forwarded) {
    if (hook == On::xdp) return forwarded ? XDP_REDIRECT : XDP_PASS;
    return forwarded ? TC_ACT_REDIRECT : TC_ACT_UNSPEC;
}

Frame expected_bytes(On hook, bool forwarded, const Frame& frame, const Frame& leaving) {
    if (!forwarded) return frame;
    return hook == On::tc && leaving != frame && has_tag(leaving) ? without_tag(leaving) : leaving;
}

Counted expected_count(Way way, const Case& each, const World& world) {
    if (!is_counted(way, each)) return {};
    const bool ours = world.place == Place::own && world.in.flags != 0;
    return {{{ours ? each.counted_at : 0, each.reason_on(hook_of(way))}, frames_and_bytes(way, each)}};
}

CountedVlans expected_vlans(Way way, const Case& each) {
    if (!is_counted(way, each) || each.counted_vid == 0) return {};
    const bool fast = each.reason_on(hook_of(way)) == REASON_FORWARDED;
    const auto count = frames_and_bytes(way, each);
    return {{{each.counted_at, each.counted_vid},
             {.fast = fast ? count : decltype(count){}, .slow = fast ? decltype(count){} : count}}};
}

}  // namespace underpass::test
