// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames of 60 bytes between hosts of a tunnelled topology: as they are at the left wire, in VXLAN packets at the right
// one, where the underlay is. Each pair of hosts is one flow, and one of the tunnel's outer flows.
#pragma once

#include <optional>
#include <vector>

#include "bench/generator.h"
#include "bench/topology.h"

namespace underpass::bench {

class TunnelTraffic {
public:
    static constexpr std::uint16_t kFrameBytes = TEMPLATE_WRITTEN;

    // `summed`: the packets from the right have UDP checksums.
    TunnelTraffic(const Topology& topology, std::uint16_t pairs, bool summed);

    // A frame from every host of both sides, three times: the bridge and the VXLAN device learn, and flows are seen.
    void learn();
    Traffic::Passed forward(Side from, const Load& load);
    // The bytes of one from that side.
    std::vector<unsigned char> frame(Side side) { return from(side)->frame(); }

private:
    Place place(Side side) const { return {topology_.end(Ports::wires, side).there.fd(), usable_cpus() - 1}; }
    std::optional<Generator>& from(Side side) { return side == Side::left ? from_left_ : from_right_; }

    const Topology& topology_;
    std::uint16_t pairs_;
    std::optional<Sink> left_sink_, right_sink_;
    std::optional<Generator> from_left_, from_right_;
};

}  // namespace underpass::bench
