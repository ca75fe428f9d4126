// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One of the sides of a comparison, set up on a topology's bridges while the object lives: the kernel's bridge
// alone, Underpass, or a limit (a bare redirect that looks nothing up; limit_tag changes the VLAN tag as the bridge has
// to). Where the kernel has no VLAN filtering, Underpass on a topology with VLANs is its programs alone (planted.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/bare.h"
#include "bench/daemon.h"
#include "bench/planted.h"
#include "bench/topology.h"

namespace underpass::bench {

inline constexpr double kFastShare = 0.95;

class Contender {
public:
    // `side` is one of kSides, or kTagLimit on a topology with VLANs; a limit joins the two ports of this kind.
    // `flows`: that Underpass has room for; 0: as many as without being told. Throws std::runtime_error with
    // Underpass's own words if it refuses.
    Contender(const Topology& topology, Ports ports, const std::string& side, Hook hook, std::uint32_t flows = 0);
    Contender(Contender&&) = delete;
    ~Contender();

    // For Underpass: throws if less than this share of the frames since construction went fast, because then something
    // else has been measured.
    void require_fast(double share = kFastShare) const;

private:
    const Topology& topology_;
    std::optional<Process> own_daemon_;
    std::vector<Topology::Host> up_;  // where the daemon was asked to begin
    std::unique_ptr<Planted> planted_;
    std::vector<std::unique_ptr<BareRedirect>> bare_;
};

}  // namespace underpass::bench
