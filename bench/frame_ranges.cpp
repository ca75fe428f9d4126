// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/frame_ranges.h"

#include <linux/if_ether.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace underpass::bench {

namespace {

// Where things are in a frame without a tag. What is behind the MACs lies TAG_BYTES further with one.
enum : std::size_t { kDestination = 0, kSource = 6, kTci = 14, kSourceIp = 26, kDestinationIp = 30, kPorts = 34 };

using Bytes = std::array<unsigned char, sizeof(frame_template)>;

Bytes bytes_of(const frame_template& frame) {
    Bytes bytes;
    std::memcpy(bytes.data(), &frame, sizeof(frame));
    return bytes;
}

std::uint64_t number_at(const Bytes& bytes, std::size_t offset, std::size_t size) {
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < size; i++) number = number << 8 | bytes[offset + i];
    return number;
}

// How many there are of this field: one, or one for each frame, each the next of the one before; else absent.
std::optional<std::uint32_t> count_of(const std::vector<frame_template>& frames, std::size_t offset, std::size_t size) {
    const std::uint64_t first = number_at(bytes_of(frames.front()), offset, size);
    bool one = true, each = true;
    for (std::size_t i = 0; i < frames.size(); i++) {
        const std::uint64_t number = number_at(bytes_of(frames[i]), offset, size);
        one = one && number == first;
        each = each && number == first + i;
    }
    if (one) return 1;
    return each ? std::optional(static_cast<std::uint32_t>(frames.size())) : std::nullopt;
}

std::optional<pktgen::MacRange> macs(const std::vector<frame_template>& frames, std::size_t offset) {
    const auto count = count_of(frames, offset, ETH_ALEN);
    if (!count) return std::nullopt;
    const Bytes bytes = bytes_of(frames.front());
    pktgen::MacRange range = {.first = {}, .count = *count};
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), ETH_ALEN, range.first.bytes.begin());
    return range;
}

std::optional<pktgen::Range<IpAddress>> addresses(const std::vector<frame_template>& frames, std::size_t offset) {
    if (!count_of(frames, offset, 4)) return std::nullopt;
    const auto address = [offset](const frame_template& frame) {
        const Bytes bytes = bytes_of(frame);
        IpAddress ip;
        std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), 4, ip.storage.begin());
        return ip;
    };
    return pktgen::Range<IpAddress>{address(frames.front()), address(frames.back())};
}

}  // namespace

std::optional<pktgen::Traffic> ranges_of(const GeneratorOptions& options, const std::vector<frame_template>& frames) {
    if (frames.empty() || options.outer.present != 0) return std::nullopt;
    const std::size_t behind = options.tagged ? TAG_BYTES : 0;
    const auto destination = macs(frames, kDestination), source = macs(frames, kSource);
    const auto to = addresses(frames, kDestinationIp + behind), from = addresses(frames, kSourceIp + behind);
    if (!destination || !source || !to || !from) return std::nullopt;
    const Bytes first = bytes_of(frames.front());
    const pktgen::Range<std::uint16_t> flows = {options.first_port,
                                                static_cast<std::uint16_t>(options.first_port + options.flows - 1)};
    const auto port = [&](std::size_t at) {
        const auto number = static_cast<std::uint16_t>(number_at(first, kPorts + behind + at, 2));
        return pktgen::Range<std::uint16_t>{number, number};
    };
    pktgen::Traffic traffic;
    traffic.size = {options.frame_bytes, options.frame_bytes};
    traffic.destination_mac = *destination;
    traffic.source_mac = source;
    if (options.tagged) traffic.vid = static_cast<std::uint16_t>(number_at(first, kTci, 2) & 0xfff);
    traffic.source = *from;
    traffic.destination = *to;
    traffic.source_port = options.answers ? port(0) : flows;
    traffic.destination_port = options.answers ? flows : port(2);
    return pktgen::fault_of(traffic, 1).empty() ? std::optional(traffic) : std::nullopt;
}

}  // namespace underpass::bench
