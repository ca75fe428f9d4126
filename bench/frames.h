// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The heads of the frames that the generator sends. Pure: addresses in, bytes out.
//
// Hosts are numbered. Host n of a side has the MAC 02:55:42:<side>:<n, two bytes> and the address 10.<side>.<n>; these
// MACs are the bench's own, and the sink counts no others.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "bench/bpf/frame_template.h"
#include "model/types.h"

namespace underpass::bench {

// Of a side, wherever there is no reason for another number.
inline constexpr std::uint16_t kHosts = 1024;

enum class Side : std::uint8_t { left = 1, right = 2 };

inline Side other(Side side) {
    return side == Side::left ? Side::right : Side::left;
}

std::array<unsigned char, 6> mac_of(Side side, std::uint16_t host);

// IPv4 and UDP from host n of `from` to host n of the other side, for n in 0..pairs-1. `frame_bytes` without FCS and
// without a tag; with a VID, the frames have an 802.1Q tag and are TAG_BYTES longer.
std::vector<frame_template> udp_frames(Side from, std::uint16_t pairs, std::uint16_t frame_bytes,
                                       std::uint16_t vid = 0);

// The two ends of a tunnel, as its outer packets have them: IPv4 in network order.
struct TunnelEnds {
    std::array<unsigned char, 6> from_mac, to_mac;
    std::uint32_t from = 0, to = 0;
    std::uint32_t vni = 0;
    bool summed = true;  // UDP checksums
};

struct TunnelFrames {
    outer_template outer;
    std::vector<frame_template> frames;
};
// What udp_frames gives, in a tunnel. `frame_bytes`: TEMPLATE_WRITTEN, since the checksum is of all of the frame.
TunnelFrames tunnel_frames(Side from, std::uint16_t pairs, const TunnelEnds& ends);

// The address of host n of a side, in network order.
std::uint32_t address_of(Side side, std::uint16_t host);

// From one address to another, with the mark behind its UDP header. Addresses of IP in network order.
frame_template marked_frame(const MacAddr& from_mac, const MacAddr& to_mac, std::uint32_t from, std::uint32_t to,
                            std::uint16_t frame_bytes);

// One frame from that host of `from` by a router, to that address (in network order). The flow is its source port, or,
// from the right, its destination port.
frame_template routed_frame(Side from, std::uint16_t host, const std::array<unsigned char, 6>& router, std::uint32_t to,
                            std::uint16_t frame_bytes);

}  // namespace underpass::bench
