// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the maps say before a frame comes, as a value: two ports of one bridge and the FDB. A case changes what it is
// about and leaves the rest.
//
// Unchanged, the world forwards: both ports are ready, and the hosts kFrom (behind the ingress port) and kTo (behind
// the egress port) are known and were shown to the kernel a while ago.
#pragma once

#include <cstdint>
#include <map>

#include "harness/frame.h"
#include "maps/device.h"
#include "maps/fdb.h"

namespace underpass::test {

inline constexpr std::uint32_t kInSlot = 1, kOutSlot = 2, kEmptySlot = 3;
inline constexpr std::uint32_t kBridge = 1000, kOtherBridge = 1001;  // ifindexes that only the maps know
inline constexpr MacAddr kFrom = {{2, 0, 0, 0, 0, 1}}, kTo = {{2, 0, 0, 0, 0, 2}}, kStranger = {{2, 0, 0, 0, 0, 3}};

inline constexpr std::uint32_t kReady =
    DEVICE_PRESENT | DEVICE_INGRESS | DEVICE_EGRESS | DEVICE_FORWARDING | DEVICE_LEARNS;

struct Port {
    std::uint32_t flags = kReady;
    std::uint32_t bridge = kBridge;
    std::uint32_t max_len = 1514;
    std::uint16_t vid = 0;
};

// When the kernel was last shown a frame from an address; stands for shown_ns, which no two runs have alike.
enum class Shown { never, long_ago, a_while_ago, just_now };

struct Known {
    std::uint32_t slot = kOutSlot;
    std::uint8_t flags = 0;
    bool distrusted = false;
    Shown shown = Shown::a_while_ago;

    bool operator==(const Known&) const = default;
};

enum class Beat {
    fresh,
    ahead,  // of the program's clock, by a tick
    old,
    never,
};

// How the ingress device is found.
enum class Place {
    own,
    empty,       // no slot at the device's place
    of_another,  // the slot at its place is that of another ifindex
};

struct World {
    Port in, out;
    std::map<MacAddr, Known> fdb = {{kFrom, {.slot = kInSlot}}, {kTo, {.slot = kOutSlot}}};  // of kBridge, VID 0
    Beat beat = Beat::fresh;
    Place place = Place::own;
    bool out_takes_xdp = true;  // the egress device is among those that an XDP redirect reaches
};

}  // namespace underpass::test
