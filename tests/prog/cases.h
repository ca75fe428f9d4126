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
    void (*base)(World& world) = nullptr;              // another world that forwards
    void (*given)(World& world) = nullptr;             // what differs from a world that forwards
    void (*then)(World& world, On hook) = nullptr;     // what the FDB has become
    std::optional<enum reason> on_xdp = std::nullopt;  // where it differs from TC's
    std::optional<On> only = std::nullopt;             // the other hook cannot have such a frame
    Gso gso = {};
    Frame out = {};                      // what leaves; empty: what came in
    std::uint32_t counted_at = kInSlot;  // where the device is ours at all
    std::uint16_t counted_vid = 0;       // 0: in no VLAN
    bool returns = false;                // leaves by the device that it came in by
    bool not_in_bytes = false;           // on TC only as the kernel has it: the tag beside the bytes

    World world() const;
    const Frame& leaving() const { return out.empty() ? frame : out; }
    enum reason reason_on(On hook) const { return hook == On::xdp ? on_xdp.value_or(reason) : reason; }
    bool runs_on(On hook) const { return !only || *only == hook; }
    // A test run of TC refuses an IP frame without a whole IP header: then only a real frame can be shown there.
    bool has_test_run(On hook) const;
    // A test run of TC has a tag in the bytes where the kernel has it beside them, and does not show one that is
    // pushed: then a real frame has to show it as well.
    bool is_live() const;
};

// By the stage that decides; each in a file of its own.
std::vector<Case> admit_cases();
std::vector<Case> source_cases();
std::vector<Case> bridge_cases();
std::vector<Case> netfilter_cases();
std::vector<Case> vlan_cases();
std::vector<Case> vlan_device_cases();
std::vector<Case> vlan_length_cases();

const std::vector<Case>& all_cases();

// A frame from kFrom to kTo with this behind its Ethernet header; 60 bytes at least.
Frame between_hosts(const Layer& first, const std::vector<Layer>& more = {});
// The plainest of them: UDP in IPv4.
Frame plain(std::size_t size = 60);
// The same in this VLAN.
Frame tagged(const Vlan& tag);
// The frame with a tag in front of what it has behind its addresses, and without the first there.
Frame with_tag(const Frame& frame, std::uint16_t protocol, std::uint16_t tci);
Frame without_tag(const Frame& frame);
// 802.1Q or 802.1ad behind the addresses, and the whole of the tag with the EtherType behind it.
bool has_tag(const Frame& frame);

}  // namespace underpass::test
