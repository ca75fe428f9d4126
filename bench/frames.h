// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The heads of the frames that the generator sends. Pure: addresses in, bytes out.
//
// Hosts are numbered. Host n of a side has the MAC 02:55:42:<side>:<n, two bytes> and the address 10.<side>.<n>; these
// MACs are the bench's own, and the sink counts no others.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/bpf/frame_template.h"

namespace underpass::bench {

enum class Side : std::uint8_t { left = 1, right = 2 };

inline Side other(Side side) {
    return side == Side::left ? Side::right : Side::left;
}

// IPv4 and UDP from host n of `from` to host n of the other side, for n in 0..pairs-1. `frame_bytes` without FCS.
std::vector<frame_template> udp_frames(Side from, std::uint16_t pairs, std::uint16_t frame_bytes);

}  // namespace underpass::bench
