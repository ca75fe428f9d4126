// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a case must leave behind on a hook: the action, the bytes that a test run shows, and the counters.
#pragma once

#include "prog/cases.h"
#include "prog/fixture.h"

namespace underpass::test {

// How a frame gets to a program. `live` is TC's real way: a tag is beside the bytes, and not in their count.
enum class Way { xdp, tc_in_bytes, live };

constexpr On hook_of(Way way) {
    return way == Way::xdp ? On::xdp : On::tc;
}

int expected_action(On hook, bool forwarded);
// What is in the bytes after a test run: on TC the outer tag of a frame that was rewritten is beside them.
Frame expected_bytes(On hook, bool forwarded, const Frame& frame, const Frame& leaving);
// By reason, and by VID; the last hook counts everything, the one before it what it forwards.
Counted expected_count(Way way, const Case& each, const World& world);
CountedVlans expected_vlans(Way way, const Case& each);

}  // namespace underpass::test
