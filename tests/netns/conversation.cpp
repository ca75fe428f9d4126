// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "conversation.h"

#include <algorithm>

namespace underpass::test {

namespace {

constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32, kEcn = 0xc0;
constexpr std::array<std::size_t, 6> kSizes = {0, 1, 18, 100, 1000, 1400};

Ethernet ethernet(const End& from) {
    return {.destination = bridge_mac(from.port % 2), .source = far_mac(from.port)};
}
TCP segment(const Conversation& one, std::size_t from, std::uint8_t flags) {
    const End &end = one.ends[from], &other = one.ends[1 - from];
    return {.sport = end.own_port,
            .dport = end.peer_port,
            .sequence = end.sequence,
            .acknowledged = (flags & kAck) != 0 ? other.sequence : 0,
            .flags = flags};
}
Layer datagram(const Conversation& one, std::size_t from) {
    const End& end = one.ends[from];
    if (one.protocol == kUdp) return UDP{.sport = end.own_port, .dport = end.peer_port};
    return ICMP{.type = static_cast<std::uint8_t>(from == kClient ? 8 : 0),
                .rest = std::uint32_t{one.ends[kClient].own_port} << 16 | one.count};
}

}  // namespace

IPv4 TalkingLife::header(const End& from) {
    return {.source = from.own, .destination = from.peer, .id = static_cast<std::uint16_t>(random_())};
}
Layer TalkingLife::upper(const Conversation& one, std::size_t from) {
    if (one.protocol != kTcp) return datagram(one, from);
    return segment(one, from, chance(50) ? kAck : kAck | kPsh);
}

void TalkingLife::flag(Conversation& one, std::size_t from, std::uint8_t flags) {
    End& end = one.ends[from];
    TCP tcp = segment(one, from, flags);
    if ((flags & kSyn) != 0 && scaled_) tcp.options = {2, 4, 0x05, 0xb4, 1, 3, 3, 7, 4, 2, 1, 1};
    send_from(end, ethernet(end) / header(end) / tcp);
    if ((flags & (kSyn | kFin)) != 0) end.sequence++;
}

void TalkingLife::open(Conversation& one) {
    if (one.protocol != kTcp) {
        say(one, kClient);
        if (chance(30)) say_odd(one, kClient);
        one.young = false;
        if (chance(90)) say(one, kServer);
        return;
    }
    scaled_ = chance(50);
    flag(one, kClient, kSyn);
    if (chance(10)) {  // once more
        one.ends[kClient].sequence--;
        flag(one, kClient, kSyn);
    }
    flag(one, kServer, kSyn | kAck);
    if (chance(95)) flag(one, kClient, kAck);
}

void TalkingLife::say(Conversation& one, std::size_t from) {
    End& end = one.ends[from];
    const std::size_t size = any_of(kSizes);
    Stack frame =
        ethernet(end) / header(end) / upper(one, from) / Payload{size, static_cast<std::uint8_t>(one.count++)};
    if (chance(50)) frame = frame / PadTo{60};
    send_from(end, frame);
    end.sequence += static_cast<std::uint32_t>(size);
}

void TalkingLife::say_odd(Conversation& one, std::size_t from) {
    const End& end = one.ends[from];
    IPv4 ip = header(end);
    Layer layer = upper(one, from);
    Layer payload = Payload{any_of(kSizes), static_cast<std::uint8_t>(one.count++)};
    switch (below(10)) {
        case 0:
        case 1: make_odd(ip); break;
        case 2: return send_fragments(end, ip, layer, any_of(std::array<std::size_t, 3>{64, 1000, 2000}));
        case 3: return send_error(one, from);
        case 4: {
            ip.fragment = chance(50) ? 0x4000 : 0;
            const std::size_t header = one.protocol == kTcp ? 20 : 8;
            payload = Payload{kUsualMtu - 20 - header - below(2) * below(900)};
            break;
        }
        case 5: return send_from(end, ethernet(end) / ip / layer / payload / PadTo{100 + below(1400)});
        case 6: payload = sum_to_zero(one, from, layer); break;
        case 7: {
            const std::array others = {kBroadcast, port_mac(end.port), bridge_mac(1 - bridge_of(end.port))};
            return send_from(
                end, Ethernet{.destination = any_of(others), .source = far_mac(end.port)} / ip / layer / payload);
        }
        default:
            if (auto* tcp = std::get_if<TCP>(&layer)) make_odd(*tcp, one.young);
            if (auto* udp = std::get_if<UDP>(&layer)) make_odd(*udp, one.young);
    }
    // What is wrong in the bytes behind the header is not looked for in what goes fast.
    if (!one.young) ip.total_length.reset();
    Frame frame = ethernet(end) / ip / layer / payload;
    if (chance(3)) frame.resize(std::max<std::size_t>(14, frame.size() - below(30)));
    send(end.port, std::move(frame));
}

void TalkingLife::make_odd(TCP& tcp, bool young) {
    constexpr std::array<std::uint8_t, 9> kFlags = {
        0, kPsh, kUrg, kPsh | kUrg, kFin | kPsh | kUrg, kSyn | kFin, kSyn | kRst, kFin | kRst, 63};
    switch (below(young ? 12 : 9)) {
        case 0: tcp.flags = any_of(kFlags); break;
        case 1: tcp.header_words = static_cast<std::uint8_t>(below(16)); break;
        case 2: tcp.sequence--; break;
        case 3: tcp.sequence -= static_cast<std::uint32_t>(below(2000)); break;
        case 4: tcp.options = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}; break;
        case 5: tcp.window = static_cast<std::uint16_t>(below(2)); break;
        case 6: tcp.flags |= kUrg | kEcn; break;
        case 7: tcp.acknowledged -= static_cast<std::uint32_t>(below(2000)); break;
        case 8:
            tcp.flags = kSyn;
            tcp.sequence = static_cast<std::uint32_t>(random_());
            break;
        // A connection that goes fast has no windows, and its sums are not looked at.
        case 9: tcp.checksum = static_cast<std::uint16_t>(random_()); break;
        case 10: tcp.sequence += 1U << 30; break;
        default: tcp.acknowledged += 1U << 30; break;
    }
}

void TalkingLife::make_odd(UDP& udp, bool young) {
    switch (below(young ? 5 : 4)) {
        case 0: udp.checksum = 0; break;
        case 1: udp.length = static_cast<std::uint16_t>(below(9)); break;
        case 2: udp.length = static_cast<std::uint16_t>(below(2000)); break;
        case 3: udp.length = 65535; break;
        default: udp.checksum = static_cast<std::uint16_t>(random_()); break;
    }
}

Bytes TalkingLife::sum_to_zero(const Conversation& one, std::size_t from, Layer layer) {
    const End &end = one.ends[from], &other = one.ends[1 - from];
    const bool arrived = chance(70);
    const auto set_ports = [&](auto& of) {
        of.sport = arrived ? other.peer_port : end.own_port;
        of.dport = arrived ? other.own_port : end.peer_port;
    };
    std::size_t sum = 14 + 20 + 6;
    if (auto* udp = std::get_if<UDP>(&layer)) set_ports(*udp);
    if (auto* tcp = std::get_if<TCP>(&layer)) {
        set_ports(*tcp);
        sum = 14 + 20 + 16;
    }
    const Frame with_zeros =
        Ethernet{} / IPv4{.source = arrived ? other.peer : end.own, .destination = arrived ? other.own : end.peer} /
        layer / Bytes{{0, 0}};
    return {{with_zeros[sum], with_zeros[sum + 1]}};
}

void TalkingLife::send_fragments(const End& end, IPv4 ip, const Layer& layer, std::size_t size) {
    constexpr std::size_t kFirst = 1480, kHeaders = 14 + 20;
    ip.fragment = 0;
    Frame whole = ethernet(end) / ip / layer / Payload{size};
    ip.protocol = whole[14 + 9];
    const std::size_t cut = kHeaders + (size < kFirst ? 32 : kFirst);
    const Bytes first{{whole.begin() + kHeaders, whole.begin() + static_cast<std::ptrdiff_t>(cut)}};
    const Bytes second{{whole.begin() + static_cast<std::ptrdiff_t>(cut), whole.end()}};
    ip.fragment = 0x2000;
    if (chance(90)) send_from(end, ethernet(end) / ip / first);
    ip.fragment = static_cast<std::uint16_t>((cut - kHeaders) / 8);
    if (chance(90)) send_from(end, ethernet(end) / ip / second);
}

void TalkingLife::send_error(const Conversation& one, std::size_t from) {
    const End& end = one.ends[from];
    const IPv4 about = {.source = end.peer, .destination = end.own};
    Layer layer = datagram(one, 1 - from);
    if (one.protocol == kUdp) layer = UDP{.sport = end.peer_port, .dport = end.own_port};
    if (one.protocol == kTcp)
        layer = TCP{.sport = end.peer_port, .dport = end.own_port, .sequence = one.ends[1 - from].sequence};
    const Frame quoted = Ethernet{} / about / layer / Payload{below(100)};
    ICMP error = {.type = 11};
    if (chance(60)) error = {.type = 3, .code = 4, .rest = static_cast<std::uint32_t>(600 + below(900))};
    send_from(end, ethernet(end) / header(end) / error / Bytes{{quoted.begin() + 14, quoted.end()}});
}

void TalkingLife::mix(Conversation& one, std::size_t count) {
    for (std::size_t i = 0; i < count; i++) {
        const std::size_t from = below(2);
        if (chance(15))
            say_odd(one, from);
        else
            say(one, from);
    }
}

void TalkingLife::close(Conversation& one) {
    if (one.protocol != kTcp) return;
    const std::size_t first = below(2);
    switch (below(4)) {
        case 0: return;
        // Whether a RST closes it depends on what conntrack has seen acknowledged, which of a connection that went fast
        // is not all: what would come behind one is left out.
        case 1: return flag(one, first, chance(50) ? kRst : kRst | kAck);
        default:
            flag(one, first, kFin | kAck);
            if (chance(50)) say(one, 1 - first);
            flag(one, 1 - first, kAck);
            flag(one, 1 - first, kFin | kAck);
            flag(one, first, kAck);
    }
    mix(one, below(4));
    if (!chance(30)) return;
    for (End& end : one.ends) end.sequence += 100000;  // the same ports again
    open(one);
    for (std::size_t i = 0; i < 6; i++) say(one, i % 2);
}

}  // namespace underpass::test
