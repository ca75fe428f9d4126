// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/tunnel_traffic.h"

#include "bench/frames.h"
#include "lab/interrupt.h"

namespace underpass::bench {

TunnelTraffic::TunnelTraffic(const Topology& topology, std::uint16_t pairs, bool summed)
    : topology_(topology), pairs_(pairs) {
    const Topology::End& left = topology.end(Ports::wires, Side::left);
    left.there.run([&] {
        left_sink_.emplace(left.device);
        from_left_.emplace(GeneratorOptions{.ifindex = left.device, .frame_bytes = kFrameBytes},
                           udp_frames(Side::left, pairs, kFrameBytes));
    });
    const Topology::End& right = topology.end(Ports::wires, Side::right);
    const TunnelFrames tunnelled = tunnel_frames(Side::right, pairs, Topology::tunnel_ends(Side::right, summed));
    right.there.run([&] {
        right_sink_.emplace(right.device);
        from_right_.emplace(
            GeneratorOptions{.ifindex = right.device, .frame_bytes = kFrameBytes, .outer = tunnelled.outer},
            tunnelled.frames);
    });
}

void TunnelTraffic::learn() {
    constexpr std::chrono::milliseconds kMirrored(60);  // longer than the daemon takes
    for (int round = 0; round < 3; round++) {
        for (const Side side : {Side::right, Side::left}) run_at(place(side), [&] { from(side)->send(pairs_); });
        lab::pause_for(kMirrored);
    }
}

Traffic::Passed TunnelTraffic::forward(Side side, const Load& load) {
    return Traffic::pass(place(side), side == Side::left ? *right_sink_ : *left_sink_,
                         [&] { return from(side)->send_for(load); });
}

}  // namespace underpass::bench
