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

namespace underpass::test {

// Ports and far ends are numbered from 0 on. Every world has as many.
inline constexpr std::size_t kMostPorts = 8;
inline constexpr std::uint32_t kUsualMtu = 1500;

MacAddr bridge_mac();
MacAddr port_mac(std::size_t port);
MacAddr far_mac(std::size_t port);  // of the device at the other end

// Frames that arrive one after another; each from its own port, or from the host by the bridge itself.
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
};
struct DeleteFdb {
    std::size_t port;
    MacAddr mac;
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
// Whoever follows the kernel's state has caught up. Without one, nobody may rely on that.
struct CatchUp {};

using Step = std::variant<Send, SetPort, SetUp, Join, Leave, SetMtu, SetMac, SetFdb, DeleteFdb, FlushFdb, AddLocal,
                          SetBridgeUp, SetBridgeNetfilter, CatchUp>;

struct Scenario {
    std::size_t ports = 2;
    std::vector<Step> steps;
};

Scenario make_scenario(std::uint64_t seed);

// For a person: "send from port 2: 02:... > 02:... 0x0800 60 bytes".
std::string describe(const Step& step);

}  // namespace underpass::test
