// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames as a person writes them down, outermost layer first:
//
//   Frame frame = Ethernet{.destination = mac(2), .source = mac(1)} / Vlan{.vid = 5} /
//                 IPv4{.destination = "10.0.0.2"} / UDP{.dport = 443} / Payload{100};
//
// Lengths, checksums and the EtherType or protocol of what follows are computed. A field that is set by hand stays as
// it is set, so that a wrong one is one word away: IPv4{.checksum = 0}.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "model/types.h"

namespace underpass::test {

using Frame = std::vector<std::uint8_t>;

// 02:00:00:00:HH:LL, a unicast address of local administration.
MacAddr mac(std::uint16_t host);
inline constexpr MacAddr kBroadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

// Numbers in host order throughout.
struct Ethernet {
    MacAddr destination;
    MacAddr source;
    std::optional<std::uint16_t> type = std::nullopt;
};

struct Vlan {
    std::uint16_t vid = 1;
    std::uint8_t pcp = 0;
    bool dei = false;
    std::uint16_t tpid = 0x8100;  // 0x88a8: 802.1ad
    std::optional<std::uint16_t> type = std::nullopt;
};

struct Arp {
    std::uint16_t operation = 1;  // request; 2: reply
    MacAddr sender_mac;
    std::string sender = "10.0.0.1";
    MacAddr target_mac = {};
    std::string target = "10.0.0.2";
};

struct IPv4 {
    std::string source = "10.0.0.1";
    std::string destination = "10.0.0.2";
    std::uint8_t ttl = 64;
    std::uint8_t tos = 0;
    std::uint16_t id = 0;
    std::uint16_t fragment = 0x4000;         // flags and offset as in the header: "do not fragment"
    std::vector<std::uint8_t> options = {};  // a multiple of 4 bytes
    std::uint8_t version = 4;
    std::optional<std::uint8_t> header_words = std::nullopt;  // IHL
    std::optional<std::uint8_t> protocol = std::nullopt;
    std::optional<std::uint16_t> total_length = std::nullopt;
    std::optional<std::uint16_t> checksum = std::nullopt;
};

struct IPv6 {
    std::string source = "fd00::1";
    std::string destination = "fd00::2";
    std::uint8_t hop_limit = 64;
    std::uint8_t tos = 0;     // traffic class
    std::uint32_t label = 0;  // flow label, 20 bits
    std::uint8_t version = 6;
    std::optional<std::uint8_t> next_header = std::nullopt;
    std::optional<std::uint16_t> payload_length = std::nullopt;
};

struct UDP {
    std::uint16_t sport = 1024;
    std::uint16_t dport = 9;
    std::optional<std::uint16_t> length = std::nullopt;
    std::optional<std::uint16_t> checksum = std::nullopt;
};

struct TCP {
    std::uint16_t sport = 1024;
    std::uint16_t dport = 9;
    std::uint32_t sequence = 0;
    std::uint32_t acknowledged = 0;
    std::uint8_t flags = 0x10;  // ACK; FIN 1, SYN 2, RST 4, PSH 8
    std::uint16_t window = 65535;
    std::vector<std::uint8_t> options = {};                   // a multiple of 4 bytes
    std::optional<std::uint8_t> header_words = std::nullopt;  // the data offset
    std::optional<std::uint16_t> checksum = std::nullopt;
};

// Behind IPv4 it is ICMP, behind IPv6 ICMPv6.
struct ICMP {
    std::uint8_t type = 8;
    std::uint8_t code = 0;
    std::uint32_t rest = 0;
    std::optional<std::uint16_t> checksum = std::nullopt;
};

// Behind UDP; what it carries comes as Ethernet, or as the Bytes of a frame.
struct Vxlan {
    std::uint32_t vni = 42;
    std::uint32_t flags = 0x08000000;  // the first four bytes: the VNI is valid
    std::uint8_t reserved = 0;         // the last byte
};

// `size` bytes that count up from `first`.
struct Payload {
    std::size_t size = 0;
    std::uint8_t first = 0;
};

struct Bytes {
    std::vector<std::uint8_t> bytes;
};

// Zeros behind everything, outside of every length, until the frame has `size` bytes (60: Ethernet's least).
struct PadTo {
    std::size_t size = 60;
};

using Layer = std::variant<Ethernet, Vlan, Arp, IPv4, IPv6, UDP, TCP, ICMP, Vxlan, Payload, Bytes, PadTo>;

// Layers on their way to a frame. Throws std::invalid_argument for an address that is none.
class Stack {
public:
    Stack(Layer layer) : layers_{std::move(layer)} {}  // NOLINT(google-explicit-constructor): a layer is a stack of one

    Stack operator/(Layer layer) const&;
    Stack operator/(Layer layer) &&;
    operator Frame() const;  // NOLINT(google-explicit-constructor): to be passed where a frame is wanted

private:
    std::vector<Layer> layers_;
};

// The first layer decides: `Ethernet{} / IPv4{}` needs an operator of its own, since neither is a Stack yet.
inline Stack operator/(Ethernet outer, Layer inner) {
    return Stack(Layer(outer)) / std::move(inner);
}

// A frame's own facts, for messages and predicates.
MacAddr destination_of(const Frame& frame);
MacAddr source_of(const Frame& frame);
// "02:00:00:00:00:01 > 02:00:00:00:00:02 0x0800 60 bytes: 0200..."
std::string describe(const Frame& frame);
// Where two frames differ first, for a failed comparison; empty if they are equal.
std::string difference(const Frame& expected, const Frame& actual);

}  // namespace underpass::test
