// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the kernel's packet generator is to send, as values, and the words that tell it so. Source:
// Documentation/networking/pktgen.rst and net/core/pktgen.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/ip.h"
#include "model/types.h"

namespace underpass::pktgen {

// Both ends are of it.
template <class Number>
struct Range {
    Number first{}, last{};

    bool is_one() const { return first == last; }
    bool operator==(const Range&) const = default;
};

// An address, and how many there are from it on.
struct MacRange {
    MacAddr first;
    std::uint32_t count = 1;
};

// UDP packets. Where there are several of something, packets take them in turns, or, with `random`, at random.
struct Traffic {
    Range<std::uint16_t> size = {60, 60};  // bytes with the Ethernet header, without the checksum behind the frame
    MacRange destination_mac;
    std::optional<MacRange> source_mac = std::nullopt;  // else the device's own
    std::optional<std::uint16_t> vid = std::nullopt;
    std::uint8_t priority = 0;  // of the VLAN tag
    // Of one family. By default within 198.18.0.0/15, which RFC 2544 sets apart for this.
    Range<IpAddress> source, destination;
    Range<std::uint16_t> source_port = {9, 9}, destination_port = {9, 9};
    bool random = false;
    std::uint64_t count = 0;                           // packets of all threads; 0: until it is stopped
    std::uint32_t burst = 1;                           // handed to the driver at once
    std::uint32_t clone = 0;                           // times that each buffer is sent again
    std::optional<std::uint64_t> rate = std::nullopt;  // packets a second, of all threads
    enum class Way { transmit, queue, receive } way = Way::transmit;
};

// What no kernel takes, or what means nothing, of so many threads, as a sentence; empty: nothing.
std::string fault_of(const Traffic& traffic, std::uint32_t threads);

// For the file of a device in one of `threads` threads, one each line.
std::vector<std::string> device_commands(const Traffic& traffic, std::uint32_t thread, std::uint32_t threads);

// What the file of a device says after a run. Absent: it says nothing of one.
struct Result {
    std::uint64_t packets = 0, errors = 0;
    double seconds = 0;
};
std::optional<Result> parse_result(const std::string& text);
// Packets sent by now, of one that runs.
std::uint64_t parse_progress(const std::string& text);
// The devices that the file of a thread lists.
std::vector<std::string> parse_devices(const std::string& text);

}  // namespace underpass::pktgen
