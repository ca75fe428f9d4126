// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Machines whose containers are in one network, which VXLAN carries over an underlay of one switch, and what they say
// to each other. Nothing here knows whether Underpass is there: a test runs the same twice.
//
//   c1 ─┬ [br0] host1 ─ vxlan7 · uplink ─┐
//   d1 ─┘                                │
//   c2 ── [br0] host2 ─ vxlan7 · uplink ─┼─ [switch] underlay
//   c3 ── [br0] host3 ─ vxlan7 · uplink ─┘
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/process.h"
#include "harness/test_net.h"
#include "lab/spec.h"
#include "maps/reason.h"

namespace underpass::test {

// For `up`: to check the programs takes the kernel most of a minute where everything is emulated and several machines
// are at it.
inline constexpr milliseconds kLoading{180000};

struct VxlanPlan {
    std::string hook = "tc";  // "xdp": every link is a wire
    std::size_t machines = 3;
    bool v6 = false;  // the underlay
    std::uint32_t underlay_mtu = 1500;
    std::uint32_t inner_mtu = 1430;  // of the containers and VXLAN devices
    std::string bridge = "br0";
    bool vxlan = true;  // there are such devices in the bridges; else somebody else makes them
    bool learning = true;
    bool summed = true;  // outer UDP checksums over IPv4
    bool floods = true;  // unknown and group frames are sent to every other machine
    bool quiet = false;  // no frame comes of itself: no IPv6 in the containers
};

class VxlanNet {
public:
    static constexpr std::uint32_t kVni = 7;
    static constexpr std::uint16_t kPort = 4789;
    static constexpr const char* kDevice = "vxlan7";

    VxlanNet(Net& net, VxlanPlan plan, const std::string& part = "");

    // Machines and their first containers are counted from 1.
    const lab::Namespace& host(std::size_t machine) const;
    const lab::Namespace& container(std::size_t machine) const;
    const lab::Namespace& neighbour() const { return network_.space("d1"); }  // of the first container
    const VxlanPlan& plan() const { return plan_; }

    // "192.0.2.1" or "fd02::1", "10.14.0.1", "fd14::1"
    std::string vtep(std::size_t machine) const;
    static std::string address(std::size_t container);
    static std::string address6(std::size_t container);
    static constexpr std::size_t kNeighbour = 101;  // the number in its addresses
    static MacAddr container_mac(std::size_t container);
    static MacAddr uplink_mac(std::size_t machine);
    static MacAddr bridge_mac(std::size_t machine);
    static MacAddr vxlan_mac(std::size_t machine);

    // `underpass up BRIDGE MORE...` by the plan's hook on every machine; throws its words if it fails. `more`: VXLAN
    // devices that are no ports.
    void up(const std::vector<std::string>& more = {}) const;
    void down() const;

    // Takes the container's link away, and makes one to another machine, with the same addresses. It says nothing there
    // by itself.
    void unplug(std::size_t container, std::size_t from) const;
    void plug(std::size_t container, std::size_t at) const;
    // The container tells everybody where it is.
    void announce(std::size_t container) const;

    // What the machine's VXLAN device knows of who is where: "MAC dst VTEP", sorted.
    std::string vteps(std::size_t machine) const;
    // As frames_of.
    std::uint64_t frames(std::size_t machine, const std::string& device, reason how) const;
    // Frames of that device did end so. How many depends on how long a flow lives, and by TC what stands for several
    // frames, as most of TCP does, is the VXLAN device's.
    void expect_some(std::size_t machine, const std::string& device, reason how, std::uint64_t least = 1) const;

private:
    VxlanPlan plan_;
    const lab::Network& network_;
};

// What the machines hang on: the node "underlay" with the bridge "switch", which has no ports yet.
lab::Spec underlay_spec();

// Frames that came in by a device of that machine and ended so; 0 if Underpass does not have the device.
std::uint64_t frames_of(const lab::Namespace& host, const std::string& device, reason how);

// Throws its words if one of the commands fails.
void shell_in(const lab::Namespace& where, const std::string& commands);

// "-c 5 10.14.0.2: 5 packets transmitted, 5 received, 0% packet loss" and the errors that were told, without times.
std::string ping_words(const lab::Namespace& from, const std::string& words);
// Datagrams of that size to somebody who sends each back; how many came back, whole: "20 of 1000 bytes to fd14::2".
std::string exchange_datagrams(const lab::Namespace& from, const lab::Namespace& to, const std::string& address,
                               std::size_t size, int count = 20);
// TCP connections that speak in turns (IPv4), and one that is a stream each way; what was wrong, or "good".
std::string hold_connections(const lab::Namespace& from, const lab::Namespace& to, const std::string& address,
                             const std::string& address6 = "");

// Milliseconds from now on until a ping is answered; absent: never in that time.
std::optional<std::chrono::milliseconds> time_until_reached(const lab::Namespace& from, const std::string& address,
                                                            std::chrono::milliseconds limit);

}  // namespace underpass::test
