// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The table: what comes in, what the maps say, and how the frame must leave. One table for both hooks; where they
// differ, the case says so.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/frame.h"
#include "harness/test_run.h"
#include "maps/reason.h"
#include "prog/world.h"

namespace underpass::test {

enum class On { tc, xdp };

struct Case {
    std::string description;
    Frame frame;
    enum reason reason = REASON_FORWARDED;             // the frame is forwarded for this one, passed for any other
    void (*given)(World& world) = nullptr;             // what differs from a world that forwards
    void (*then)(World& world, On hook) = nullptr;     // what the FDB has become
    std::optional<enum reason> on_xdp = std::nullopt;  // where it differs from TC's
    std::optional<On> only = std::nullopt;             // the other hook cannot have such a frame
    Gso gso = {};

    enum reason reason_on(On hook) const { return hook == On::xdp ? on_xdp.value_or(reason) : reason; }
    bool runs_on(On hook) const { return !only || *only == hook; }
    // A test run of TC refuses an IP frame without a whole IP header: then only a real frame can be shown there.
    bool is_live(On hook) const;
};

// By the stage that decides; each in a file of its own.
std::vector<Case> admit_cases();
std::vector<Case> source_cases();
std::vector<Case> bridge_cases();
std::vector<Case> netfilter_cases();

const std::vector<Case>& all_cases();

// A frame from kFrom to kTo with this behind its Ethernet header; 60 bytes at least.
Frame between_hosts(const Layer& first, const std::vector<Layer>& more = {});
// The plainest of them: UDP in IPv4.
Frame plain(std::size_t size = 60);

}  // namespace underpass::test
