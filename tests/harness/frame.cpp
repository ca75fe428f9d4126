// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "harness/frame.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <stdexcept>
#include <utility>

namespace underpass::test {

namespace {

constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpV6 = 58, kNoNext = 59;

// What the layer in front has to say of the one behind it.
struct Name {
    std::uint16_t ether_type = 0x88b5;  // "local experimental": nobody takes it for more than bytes
    std::uint8_t protocol = 253;        // likewise
};

void put8(Frame& to, std::uint8_t value) {
    to.push_back(value);
}

void put16(Frame& to, std::uint16_t value) {
    put8(to, static_cast<std::uint8_t>(value >> 8));
    put8(to, static_cast<std::uint8_t>(value));
}

void put32(Frame& to, std::uint32_t value) {
    put16(to, static_cast<std::uint16_t>(value >> 16));
    put16(to, static_cast<std::uint16_t>(value));
}

template <class Range>
void append(Frame& to, const Range& bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}

void set16(Frame& in, std::size_t offset, std::uint16_t value) {
    in.at(offset) = static_cast<std::uint8_t>(value >> 8);
    in.at(offset + 1) = static_cast<std::uint8_t>(value);
}

std::uint16_t size16(std::size_t size) {
    return static_cast<std::uint16_t>(size);
}

// RFC 1071 over both parts; the first has an even length.
std::uint16_t checksum(const Frame& pseudo, const Frame& bytes) {
    std::uint32_t sum = 0;
    for (const Frame* part : {&pseudo, &bytes})
        for (std::size_t i = 0; i < part->size(); i++) sum += std::uint32_t{(*part)[i]} << (i % 2 == 0 ? 8 : 0);
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

template <std::size_t size>
std::array<std::uint8_t, size> address(int family, const std::string& text) {
    std::array<std::uint8_t, size> bytes{};
    if (inet_pton(family, text.c_str(), bytes.data()) != 1) throw std::invalid_argument("not an address: " + text);
    return bytes;
}

std::array<std::uint8_t, 4> v4(const std::string& text) {
    return address<4>(AF_INET, text);
}
std::array<std::uint8_t, 16> v6(const std::string& text) {
    return address<16>(AF_INET6, text);
}

// Builds from the innermost layer outwards: `rest_` is what is behind the layer at hand, `next_` its name.
class Builder {
public:
    explicit Builder(const std::vector<Layer>& layers) : layers_(layers) {}

    Frame build() {
        std::size_t least = 0;
        for (at_ = layers_.size(); at_-- > 0;) {
            if (const auto* pad = std::get_if<PadTo>(&layers_[at_]))
                least = std::max(least, pad->size);
            else
                std::visit(*this, layers_[at_]);
        }
        rest_.resize(std::max(rest_.size(), least));
        return std::move(rest_);
    }

    void operator()(const Ethernet& layer) {
        Frame bytes;
        append(bytes, layer.destination.bytes);
        append(bytes, layer.source.bytes);
        put16(bytes, layer.type.value_or(next_.ether_type));
        put_in_front(std::move(bytes), {});
    }

    void operator()(const Vlan& layer) {
        Frame bytes;
        put16(bytes, static_cast<std::uint16_t>(layer.pcp << 13 | (layer.dei ? 1 << 12 : 0) | (layer.vid & 0xfff)));
        put16(bytes, layer.type.value_or(next_.ether_type));
        put_in_front(std::move(bytes), {.ether_type = layer.tpid});
    }

    void operator()(const Arp& layer) {
        Frame bytes;
        put16(bytes, 1);
        put16(bytes, 0x0800);
        put8(bytes, 6);
        put8(bytes, 4);
        put16(bytes, layer.operation);
        append(bytes, layer.sender_mac.bytes);
        append(bytes, v4(layer.sender));
        append(bytes, layer.target_mac.bytes);
        append(bytes, v4(layer.target));
        put_in_front(std::move(bytes), {.ether_type = 0x0806});
    }

    void operator()(const IPv4& layer) {
        const std::size_t size = 20 + layer.options.size();
        Frame bytes;
        put8(bytes, static_cast<std::uint8_t>(layer.version << 4 |
                                              layer.header_words.value_or(static_cast<std::uint8_t>(size / 4))));
        put8(bytes, layer.tos);
        put16(bytes, layer.total_length.value_or(size16(size + rest_.size())));
        put16(bytes, layer.id);
        put16(bytes, layer.fragment);
        put8(bytes, layer.ttl);
        put8(bytes, layer.protocol.value_or(next_.protocol));
        put16(bytes, 0);
        append(bytes, v4(layer.source));
        append(bytes, v4(layer.destination));
        append(bytes, layer.options);
        set16(bytes, 10, layer.checksum.value_or(checksum({}, bytes)));
        put_in_front(std::move(bytes), {.ether_type = 0x0800, .protocol = 4});
    }

    void operator()(const IPv6& layer) {
        Frame bytes;
        put32(bytes, std::uint32_t{layer.version} << 28 | std::uint32_t{layer.tos} << 20 | layer.label);
        put16(bytes, layer.payload_length.value_or(size16(rest_.size())));
        put8(bytes, layer.next_header.value_or(rest_.empty() ? kNoNext : next_.protocol));
        put8(bytes, layer.hop_limit);
        append(bytes, v6(layer.source));
        append(bytes, v6(layer.destination));
        put_in_front(std::move(bytes), {.ether_type = 0x86dd, .protocol = 41});
    }

    void operator()(const UDP& layer) {
        Frame bytes;
        put16(bytes, layer.sport);
        put16(bytes, layer.dport);
        put16(bytes, layer.length.value_or(size16(8 + rest_.size())));
        put16(bytes, 0);
        put_in_front(std::move(bytes), {.protocol = kUdp});
        const std::uint16_t sum = checksum(pseudo(kUdp), rest_);
        set16(rest_, 6, layer.checksum.value_or(sum == 0 ? 0xffff : sum));  // 0 would say "none"
    }

    void operator()(const TCP& layer) {
        Frame bytes;
        put16(bytes, layer.sport);
        put16(bytes, layer.dport);
        put32(bytes, layer.sequence);
        put32(bytes, layer.acknowledged);
        const std::size_t words = 5 + layer.options.size() / 4;
        put8(bytes, static_cast<std::uint8_t>(layer.header_words.value_or(static_cast<std::uint8_t>(words)) << 4));
        put8(bytes, layer.flags);
        put16(bytes, layer.window);
        put32(bytes, 0);
        append(bytes, layer.options);
        put_in_front(std::move(bytes), {.protocol = kTcp});
        set16(rest_, 16, layer.checksum.value_or(checksum(pseudo(kTcp), rest_)));
    }

    void operator()(const ICMP& layer) {
        Frame bytes;
        put8(bytes, layer.type);
        put8(bytes, layer.code);
        put16(bytes, 0);
        put32(bytes, layer.rest);
        const bool six = network<IPv6>() != nullptr;
        put_in_front(std::move(bytes), {.protocol = six ? kIcmpV6 : kIcmp});
        set16(rest_, 2, layer.checksum.value_or(checksum(six ? pseudo(kIcmpV6) : Frame{}, rest_)));
    }

    void operator()(const Vxlan& layer) {
        Frame bytes;
        put32(bytes, layer.flags);
        put32(bytes, layer.vni << 8 | layer.reserved);
        put_in_front(std::move(bytes), {});
    }

    void operator()(const Payload& layer) {
        Frame bytes(layer.size);
        for (std::size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<std::uint8_t>(layer.first + i);
        put_in_front(std::move(bytes), {});
    }

    void operator()(const Bytes& layer) { put_in_front(layer.bytes, {}); }

    void operator()(const PadTo&) {}

private:
    void put_in_front(Frame bytes, Name name) {
        append(bytes, rest_);
        rest_ = std::move(bytes);
        next_ = name;
    }

    // The nearest network layer in front of the one at hand, if it is of this kind.
    template <class Network>
    const Network* network() const {
        for (std::size_t i = at_; i-- > 0;)
            if (std::holds_alternative<IPv4>(layers_[i]) || std::holds_alternative<IPv6>(layers_[i]))
                return std::get_if<Network>(&layers_[i]);
        return nullptr;
    }

    // The pseudo header over which UDP, TCP and ICMPv6 sum; empty where there is no network layer.
    Frame pseudo(std::uint8_t protocol) const {
        Frame bytes;
        if (const auto* four = network<IPv4>()) {
            append(bytes, v4(four->source));
            append(bytes, v4(four->destination));
        } else if (const auto* six = network<IPv6>()) {
            append(bytes, v6(six->source));
            append(bytes, v6(six->destination));
        } else {
            return bytes;
        }
        put16(bytes, protocol);
        put16(bytes, size16(rest_.size()));
        return bytes;
    }

    const std::vector<Layer>& layers_;
    std::size_t at_ = 0;
    Frame rest_;
    Name next_;
};

MacAddr mac_at(const Frame& frame, std::size_t offset) {
    MacAddr result;
    if (frame.size() >= offset + result.bytes.size()) std::copy_n(frame.data() + offset, 6, result.bytes.data());
    return result;
}

}  // namespace

MacAddr mac(std::uint16_t host) {
    return {{2, 0, 0, 0, static_cast<std::uint8_t>(host >> 8), static_cast<std::uint8_t>(host)}};
}

Stack Stack::operator/(Layer layer) const& {
    return Stack(*this) / std::move(layer);
}

Stack Stack::operator/(Layer layer) && {
    layers_.push_back(std::move(layer));
    return std::move(*this);
}

Stack::operator Frame() const {
    return Builder(layers_).build();
}

MacAddr destination_of(const Frame& frame) {
    return mac_at(frame, 0);
}

MacAddr source_of(const Frame& frame) {
    return mac_at(frame, 6);
}

std::string describe(const Frame& frame) {
    constexpr std::size_t kShown = 64;
    const auto hex = [](std::uint8_t byte) {
        std::array<char, 3> text{};
        std::snprintf(text.data(), text.size(), "%02x", unsigned{byte});
        return std::string(text.data());
    };
    std::string text = source_of(frame).text() + " > " + destination_of(frame).text();
    if (frame.size() >= 14) text += " 0x" + hex(frame[12]) + hex(frame[13]);
    text += ' ' + std::to_string(frame.size()) + " bytes: ";
    for (std::size_t i = 0; i < std::min(frame.size(), kShown); i++) text += hex(frame[i]);
    return frame.size() > kShown ? text + "..." : text;
}

std::string difference(const Frame& expected, const Frame& actual) {
    if (expected == actual) return {};
    const auto end = expected.begin() + static_cast<std::ptrdiff_t>(std::min(expected.size(), actual.size()));
    const auto first = std::mismatch(expected.begin(), end, actual.begin()).first - expected.begin();
    return "differ from byte " + std::to_string(first) + " on\n  expected " + describe(expected) + "\n  actual   " +
           describe(actual);
}

}  // namespace underpass::test
