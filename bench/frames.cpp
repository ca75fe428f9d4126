// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/frames.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace underpass::bench {

namespace {

constexpr std::uint16_t kDiscardPort = 9;
constexpr std::uint16_t kVxlanPort = 4789;

struct Head {
    ethhdr eth;
    iphdr ip;
    udphdr udp;
} __attribute__((packed));
static_assert(sizeof(Head) + TAG_BYTES <= TEMPLATE_WRITTEN);
static_assert(offsetof(Head, udp) == FLOW_PORT_OFFSET);

struct VxlanHead {
    std::uint32_t flags;
    std::uint32_t vni;
};

struct Outer {
    Head head;
    VxlanHead vxlan;
} __attribute__((packed));
static_assert(sizeof(Outer) == OUTER_BYTES);
static_assert(offsetof(Outer, head.udp.check) == OUTER_SUM_OFFSET);

struct PseudoHead {
    std::uint32_t from, to;
    std::uint16_t protocol, len;
};

// Of an even number of bytes, folded.
template <class Bytes>
std::uint32_t sum_of(const Bytes& bytes, std::size_t size = sizeof(Bytes)) {
    std::uint16_t words[sizeof(bytes) / 2];
    std::memcpy(words, &bytes, sizeof(words));
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < size / 2; i++) sum += words[i];
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

std::uint16_t ip_checksum(const iphdr& ip) {
    return static_cast<std::uint16_t>(~sum_of(ip));
}

// No UDP checksum: IPv4 allows that, and it stays right whatever the port that the program writes.
Head head_of(std::uint32_t from, std::uint32_t to, std::uint16_t frame_bytes) {
    Head head = {};
    head.eth.h_proto = htons(ETH_P_IP);
    head.ip.version = 4;
    head.ip.ihl = sizeof(iphdr) / 4;
    head.ip.tot_len = htons(static_cast<std::uint16_t>(frame_bytes - sizeof(ethhdr)));
    head.ip.frag_off = htons(0x4000);  // DF
    head.ip.ttl = 64;
    head.ip.protocol = IPPROTO_UDP;
    head.ip.saddr = from;
    head.ip.daddr = to;
    head.ip.check = ip_checksum(head.ip);
    head.udp.len = htons(static_cast<std::uint16_t>(frame_bytes - sizeof(ethhdr) - sizeof(iphdr)));
    return head;
}

// Behind the addresses a tag, if there is a VID.
frame_template template_of(const Head& head, std::uint16_t vid) {
    constexpr std::size_t kAddresses = std::size_t{2} * ETH_ALEN;
    const std::uint16_t tag[] = {htons(ETH_P_8021Q), htons(vid)};
    static_assert(sizeof(tag) == TAG_BYTES);
    unsigned char from[sizeof(head)];
    std::memcpy(from, &head, sizeof(head));
    unsigned char bytes[sizeof(frame_template)] = {};
    unsigned char* to = std::copy_n(from, kAddresses, bytes);
    if (vid != 0) {
        std::memcpy(to, tag, sizeof(tag));
        to += sizeof(tag);
    }
    std::copy(from + kAddresses, from + sizeof(from), to);
    frame_template frame;
    std::memcpy(&frame, bytes, sizeof(frame));
    return frame;
}

}  // namespace

std::array<unsigned char, 6> mac_of(Side side, std::uint16_t host) {
    const auto high = static_cast<unsigned char>(host >> 8);
    const auto low = static_cast<unsigned char>(host);
    return {0x02, 0x55, 0x42, static_cast<unsigned char>(side), high, low};
}

std::vector<frame_template> udp_frames(Side from, std::uint16_t pairs, std::uint16_t frame_bytes, std::uint16_t vid) {
    std::vector<frame_template> frames(pairs);
    for (std::uint16_t host = 0; host < pairs; host++) {
        Head head = head_of(address_of(from, host), address_of(other(from), host), frame_bytes);
        std::ranges::copy(mac_of(from, host), head.eth.h_source);
        std::ranges::copy(mac_of(other(from), host), head.eth.h_dest);
        head.udp.dest = htons(kDiscardPort);
        frames[host] = template_of(head, vid);
    }
    return frames;
}

TunnelFrames tunnel_frames(Side from, std::uint16_t pairs, const TunnelEnds& ends) {
    Outer outer = {.head = head_of(ends.from, ends.to, OUTER_BYTES + TEMPLATE_WRITTEN),
                   .vxlan = {.flags = htonl(0x08000000), .vni = htonl(ends.vni << 8)}};
    std::ranges::copy(ends.from_mac, outer.head.eth.h_source);
    std::ranges::copy(ends.to_mac, outer.head.eth.h_dest);
    outer.head.udp.dest = htons(kVxlanPort);
    TunnelFrames tunnelled = {.outer = {}, .frames = udp_frames(from, pairs, TEMPLATE_WRITTEN)};
    std::memcpy(tunnelled.outer.words, &outer, sizeof(outer));
    tunnelled.outer.present = 1;
    tunnelled.outer.summed = ends.summed ? 1 : 0;
    const PseudoHead pseudo = {
        .from = ends.from, .to = ends.to, .protocol = htons(IPPROTO_UDP), .len = outer.head.udp.len};
    const std::uint32_t before = sum_of(pseudo) + sum_of(outer.head.udp) + sum_of(outer.vxlan);
    for (frame_template& frame : tunnelled.frames)
        frame.words[TEMPLATE_SUM_WORD] |= std::uint64_t{before + sum_of(frame, TEMPLATE_WRITTEN)} << 32;
    return tunnelled;
}

std::uint32_t address_of(Side side, std::uint16_t host) {
    return htonl((10U << 24) | (static_cast<std::uint32_t>(side) << 16) | host);
}

frame_template marked_frame(const MacAddr& from_mac, const MacAddr& to_mac, std::uint32_t from, std::uint32_t to,
                            std::uint16_t frame_bytes) {
    static_assert(MARK_OFFSET == sizeof(Head) && MARK_OFFSET + sizeof(std::uint32_t) <= TEMPLATE_WRITTEN);
    Head head = head_of(from, to, frame_bytes);
    std::ranges::copy(from_mac.bytes, head.eth.h_source);
    std::ranges::copy(to_mac.bytes, head.eth.h_dest);
    head.udp.source = htons(FLOW_PORT_BASE);
    head.udp.dest = htons(kDiscardPort);
    frame_template frame = template_of(head, 0);
    const std::uint32_t mark = htonl(MARK);
    std::memcpy(reinterpret_cast<unsigned char*>(&frame) + MARK_OFFSET, &mark, sizeof(mark));
    return frame;
}

frame_template routed_frame(Side from, std::uint16_t host, const std::array<unsigned char, 6>& router, std::uint32_t to,
                            std::uint16_t frame_bytes) {
    Head head = head_of(address_of(from, host), to, frame_bytes);
    std::ranges::copy(mac_of(from, host), head.eth.h_source);
    std::ranges::copy(router, head.eth.h_dest);
    (from == Side::left ? head.udp.dest : head.udp.source) = htons(kDiscardPort);
    return template_of(head, 0);
}

}  // namespace underpass::bench
