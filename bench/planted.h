// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Underpass's programs on both wires of a topology with VLANs, and maps written as the daemon writes them for a
// VLAN-aware bridge. For a kernel without VLAN filtering, whose bridge no daemon could mirror: the data path is all
// that is measured, and it is the same.
//
// Every host of the bench is known and believed from the start, and no pulse falls into a run, so no frame needs the
// kernel's bridge, which knows nothing of the VLAN. Gone with the object, attachments and pins too.
#pragma once

#include <cstdint>
#include <thread>

#include "bench/bare.h"
#include "bench/daemon.h"
#include "bench/topology.h"
#include "loader/object.h"
#include "loader/pin.h"

namespace underpass::bench {

class Planted {
public:
    // On the XDP hook the TC program is attached too, as the daemon does. Throws VerifierError, std::system_error.
    Planted(const Topology& topology, Hook hook);
    Planted(Planted&&) = delete;
    ~Planted();

    FastAndSlow counted() const;

private:
    // Loads the programs, attaches nothing.
    explicit Planted(const Topology& topology);
    void write_port(Side side) const;
    void write_hosts(Side side) const;
    void attach(std::uint32_t port, Hook hook);

    const Topology& topology_;
    std::uint32_t bridge_;
    PinDirectory pins_;
    Programs programs_;
    std::jthread heart_;  // last: it beats in programs_
};

}  // namespace underpass::bench
