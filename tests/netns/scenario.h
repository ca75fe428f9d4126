// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A random life of a bridge, as values: what is set up, changed and sent, in which order. The same seed gives the same
// life. Pure: nothing here knows whether Underpass is there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "harness/frame.h"
#include "lab/link.h"
#include "lab/vlan.h"

namespace underpass::test {

// Ports and far ends are numbered from 0 on. Every world has as many. VLAN devices, which are ports like others or
// none, follow them: kMostPorts is the first.
inline constexpr std::size_t kMostPorts = 8, kMostVlanDevices = 3;
inline constexpr std::size_t kMostBridges = 2;
inline constexpr std::uint32_t kUsualMtu = 1500;

MacAddr bridge_mac(std::size_t bridge = 0);
MacAddr port_mac(std::size_t port);
MacAddr far_mac(std::size_t port);  // of the device at the other end

// Frames that arrive one after another; each from its own port, or from the host by the first bridge itself.
struct Send {
    std::optional<std::size_t> port;
    Frame frame;
};
struct SetPort {
    std::size_t port;
    lab::PortOptions options;
};
struct SetUp {
    std::size_t port;
    bool up;
};
struct Join {
    std::size_t port;
    std::size_t bridge = 0;
};
struct Leave {
    std::size_t port;
};
struct SetMtu {
    std::size_t port;
    std::uint32_t mtu;
};
struct SetMac {
    std::size_t port;
    MacAddr mac;
};
struct SetFdb {
    std::size_t port;
    MacAddr mac;
    lab::FdbKind kind;
    Vid vid = Vid::none;
};
struct DeleteFdb {
    std::size_t port;
    MacAddr mac;
    Vid vid = Vid::none;
};
struct FlushFdb {
    std::optional<std::size_t> port;  // of all, if absent
};
struct AddLocal {
    MacAddr mac;
};
struct SetBridgeUp {
    bool up;
};
// net.bridge.bridge-nf-call-*: br_netfilter checks IP headers, though there are no rules.
struct SetBridgeNetfilter {
    bool on;
};
struct SetBridge {
    std::size_t bridge;
    lab::BridgeOptions options;
};
// Of a port, or of the first bridge itself.
struct AddVlan {
    std::optional<std::size_t> port;
    Vid vid;
    lab::BridgeVlanFlags flags;
};
struct DeleteVlan {
    std::optional<std::size_t> port;
    Vid vid;
};
struct SetVlanState {
    std::size_t port;
    Vid vid;
    PortState state;
};
// Of the first bridge.
struct SetMsti {
    Vid vid;
    std::uint16_t instance;
};
struct SetMstState {
    std::size_t port;
    std::uint16_t instance;
    PortState state;
};
// On a port, or on the first bridge. It is up, and a port of nothing: what comes in there is the host's.
struct CreateVlanDevice {
    std::size_t port;  // its own number
    std::optional<std::size_t> lower;
    Vid vid;
    bool service;
};
// With all that is on it.
struct DeleteVlanDevice {
    std::size_t port;
};
// As somebody types it in the host: an address, a route, a neighbour, a sysctl.
struct Command {
    std::string line;
};
// The host's conntrack is empty.
struct ForgetConnections {};
// Whoever follows the kernel's state has caught up. Without one, nobody may rely on that.
struct CatchUp {};
// ... and what the kernel has been seen to do is as it does now (FLOW_SETTLE_NS and a tick).
struct Settle {};

using Step = std::variant<Send, SetPort, SetUp, Join, Leave, SetMtu, SetMac, SetFdb, DeleteFdb, FlushFdb, AddLocal,
                          SetBridgeUp, SetBridgeNetfilter, SetBridge, AddVlan, DeleteVlan, SetVlanState, SetMsti,
                          SetMstState, CreateVlanDevice, DeleteVlanDevice, Command, ForgetConnections, CatchUp, Settle>;

struct Scenario {
    std::size_t ports = 2;
    std::size_t bridges = 1;
    bool joined = true;    // every port is one of the first bridge from the beginning
    bool routed = false;   // the host itself sees what it routes, or does not: only what leaves is compared
    bool tunnels = false;  // the first port is the underlay of VXLAN devices
    std::vector<Step> steps;
};

// Of one bridge without VLANs.
Scenario make_scenario(std::uint64_t seed);
// Of bridges that filter by VLANs, and of VLAN devices as ports (vlan_scenario.cpp).
Scenario make_vlan_scenario(std::uint64_t seed);

// Of a host that routes between its two bridges (route_scenario.cpp).
Scenario make_route_scenario(std::uint64_t seed);
// ... and has rules that see that: NAT, filters (nat_scenario.cpp).
Scenario make_nat_scenario(std::uint64_t seed);
// Of a bridge with VXLAN devices as ports (vxlan_scenario.cpp).
Scenario make_vxlan_scenario(std::uint64_t seed);

// For a person: "send from port 2: 02:... > 02:... 0x0800 60 bytes".
std::string describe(const Step& step);

}  // namespace underpass::test
