// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Both programs, loaded on one set of maps in a namespace of their own, and the maps as a World.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "harness/test_net.h"
#include "harness/test_run.h"
#include "loader/fd.h"
#include "loader/object.h"
#include "prog/cases.h"
#include "prog/world.h"

namespace underpass::test {

// {slot, reason} -> what was counted, zeros left out.
using Counted = std::map<std::pair<std::uint32_t, std::uint32_t>, std::pair<std::uint64_t, std::uint64_t>>;
// {slot, VID} -> frames and bytes, fast and slow.
struct FastAndSlow {
    std::pair<std::uint64_t, std::uint64_t> fast, slow;
};
using CountedVlans = std::map<std::pair<std::uint32_t, std::uint32_t>, FastAndSlow>;
// A line for each.
std::string text(const Counted& counted);
std::string text(const CountedVlans& counted);

// As `status` names it.
const char* reason_name(std::uint32_t reason);

class LoadedPrograms {
public:
    // Makes the namespace of the running test, with the devices "in" and "out" and their far ends "in-far", "out-far".
    // Throws std::system_error, VerifierError.
    LoadedPrograms();
    ~LoadedPrograms();
    LoadedPrograms(const LoadedPrograms&) = delete;
    LoadedPrograms& operator=(const LoadedPrograms&) = delete;

    const lab::Namespace& where() const { return where_; }
    Programs& programs() { return programs_; }
    Ifindex in() const { return in_; }

    // Leaves the ingress device to TC, and attaches the program there: from then on frames go the stack's way. No run
    // on XDP any more. It may take longer than a heartbeat counts: set() comes last.
    void attach_to_tc();

    // Writes the maps; counters start from zero.
    void set(const World& world);
    void change_control(const std::function<void(control&)>& change);
    // On top of what set() wrote: the device in that slot is found by its number, and has the router's address.
    void set_router(std::uint32_t slot, const MacAddr& address) const;
    Ran run(On hook, const Frame& frame, const Gso& gso = {}) const;
    // By the witness, at the egress of `egress`.
    Ran run_witness(const Frame& frame, Ifindex egress, Ifindex came_in_by) const;
    // The FDB of kBridge, read back.
    std::map<Host, Known> fdb() const;
    Counted counted() const;
    CountedVlans counted_vlans() const;

private:
    Ifindex device_in(std::uint32_t slot) const { return slot == kInSlot ? in_ : out_; }
    void set_ports(const World& world);
    void set_upper(std::uint32_t slot, const Upper& upper, bool takes_xdp);
    void set_fdb(const World& world);
    void clear_counters();
    void beat(Beat beat);

    Net net_;
    const lab::Namespace& where_;
    Ifindex in_, out_;
    Programs programs_;
    BpfObject xdp_;
    Fd xdp_link_;  // a test run of XDP comes in by a device that has a program
};

}  // namespace underpass::test
