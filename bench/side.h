// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One of the sides of a comparison, set up on a topology's bridge while the object lives: the kernel's bridge
// alone, Underpass, or a limit (a bare redirect that looks nothing up; limit_tag changes the VLAN tag as the bridge has
// to). Where the kernel has no VLAN filtering, Underpass on a topology with VLANs is its programs alone (planted.h).
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "bench/bare.h"
#include "bench/planted.h"
#include "bench/topology.h"

namespace underpass::bench {

class Contender {
public:
    // `side` is one of kSides, or kTagLimit on a topology with VLANs; a limit joins the two ports of this kind.
    // Throws std::runtime_error with Underpass's own words if it refuses.
    Contender(const Topology& topology, Ports ports, const std::string& side, Hook hook);
    Contender(Contender&&) = delete;
    ~Contender();

    // For Underpass: throws if less than 95 % of the frames since construction went fast, because then something else
    // has been measured.
    void require_fast() const;

private:
    const Topology& topology_;
    bool daemon_ = false;
    std::unique_ptr<Planted> planted_;
    std::unique_ptr<BareRedirect> bare_;
};

// `underpass` of this build, with these words, in the bridge's namespace. Its output. Throws what it says if it fails.
std::string run_underpass(const Topology& topology, const std::vector<std::string>& words,
                          bool stop_on_interrupt = true);

}  // namespace underpass::bench
