// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the maps say before a frame comes, as a value: two ports of one bridge, the VLAN devices on them, and the FDB. A
// case changes what it is about and leaves the rest.
//
// Unchanged, the world forwards: both ports are ready, and the hosts kFrom (behind the ingress port) and kTo (behind
// the egress port) are known and were shown to the kernel a while ago.
#pragma once

#include <cstdint>
#include <map>

#include "harness/frame.h"
#include "maps/device.h"
#include "maps/fdb.h"
#include "maps/vlan.h"

namespace underpass::test {

inline constexpr std::uint32_t kInSlot = 1, kOutSlot = 2, kEmptySlot = 3;
inline constexpr std::uint32_t kUpperSlot = 4, kOtherUpperSlot = 5, kSlots = 6;
inline constexpr std::uint32_t kBridge = 1000, kOtherBridge = 1001;  // ifindexes that only the maps know
inline constexpr std::uint32_t kUpperIfindex = 2000;                 // and the slot: of VLAN devices, likewise
inline constexpr MacAddr kFrom = {{2, 0, 0, 0, 0, 1}}, kTo = {{2, 0, 0, 0, 0, 2}}, kStranger = {{2, 0, 0, 0, 0, 3}};

inline constexpr std::uint32_t kReady =
    DEVICE_PRESENT | DEVICE_INGRESS | DEVICE_EGRESS | DEVICE_FORWARDING | DEVICE_LEARNS;

// Rights in a VLAN (enum vlan_rights), as the rules give them to a member in the forwarding state.
inline constexpr std::uint8_t kTagged = VLAN_FORWARD | VLAN_LEARNS, kUntagged = kTagged | VLAN_UNTAGGED;
inline constexpr std::uint16_t k8021Q = 0x8100, k8021AD = 0x88a8;

struct Port {
    std::uint32_t flags = kReady;
    std::uint32_t bridge = kBridge;
    std::uint32_t max_len = 1514;
    std::uint16_t vid = 0;                              // PVID; of a VLAN device: its VLAN
    std::uint16_t vlan_protocol = k8021Q;               // host order
    std::map<std::uint16_t, std::uint8_t> rights = {};  // by VID
};

// A VLAN device: it has a record and a place in vlan_uppers, but no device of the kernel stands behind it.
struct Upper {
    Port port;
    std::uint32_t below = kInSlot;
    bool elsewhere = false;        // its record already says that it is on another device
    std::uint16_t listed_vid = 0;  // what vlan_uppers has it under; 0: its own
};

// When the kernel was last shown a frame from an address; stands for shown_ns, which no two runs have alike.
enum class Shown { never, long_ago, a_while_ago, just_now };

// Where the FDB has a host; a MAC alone is one in VID 0.
struct Host {
    Host(const MacAddr& address, std::uint16_t vlan = 0)
        : mac(address), vid(vlan) {}  // NOLINT(google-explicit-constructor)

    MacAddr mac;
    std::uint16_t vid;

    auto operator<=>(const Host&) const = default;
};

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
    std::map<std::uint32_t, Upper> uppers;  // by slot: kUpperSlot, kOtherUpperSlot
    std::map<Host, Known> fdb = {{kFrom, {.slot = kInSlot}}, {kTo, {.slot = kOutSlot}}};  // of kBridge
    Beat beat = Beat::fresh;
    Place place = Place::own;
    bool out_takes_xdp = true;  // an XDP redirect reaches the egress device, and what VLAN devices are on
};

}  // namespace underpass::test
