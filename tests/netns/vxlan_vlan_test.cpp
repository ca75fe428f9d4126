// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A VLAN-aware bridge on each of two machines, with a VXLAN device for each of its VLANs, as EVPN has it: containers at
// access ports and at a trunk, and the machine routes between the VLANs by devices on its bridge. The underlay is a
// device, or a VLAN device on it. By both hooks: conversations as without Underpass, and each kind of frame goes into
// its tunnel, and comes out of it, in one step.
//
//   c1 (10) ───────┬ [br0 · br0.10 · br0.20] host1 ─ vxlan10 · vxlan20 · uplink ── [switch] underlay
//   t1 (10, 20) ───┘                                                                  │
//   c2 (10) ───────┬ [br0 · br0.10 · br0.20] host2 ─ vxlan10 · vxlan20 · uplink ──────┘
//   d2 (20) ───────┘
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "harness/test_net.h"
#include "lab/link.h"
#include "lab/spec.h"
#include "netlink/socket.h"
#include "trial.h"
#include "vxlan_fixture.h"

namespace underpass::test {

namespace {

using ::testing::HasSubstr;

constexpr std::uint32_t kMtu = 1430;  // inside
constexpr std::array<std::uint16_t, 2> kVids = {10, 20};

IpPrefix prefix(const std::string& text) {
    return IpPrefix::parse(text).value();
}
IpAddress address(const std::string& text) {
    return IpAddress::parse(text).value();
}

// Who says something to whom, by which ports and tunnels there and back.
struct Way {
    const char *from, *to, *address;
    const char *port, *tunnel_there, *far_port, *tunnel_back;
};
constexpr std::array<Way, 4> kWays = {{
    {"c1", "c2", "10.10.0.2", "c1", "vxlan10", "c2", "vxlan10"},  // untagged at both ends
    {"t1", "c2", "10.10.0.2", "t1", "vxlan10", "c2", "vxlan10"},  // with a tag at one
    {"t1", "d2", "10.20.0.2", "t1", "vxlan20", "d2", "vxlan20"},
    {"c1", "d2", "10.20.0.2", "c1", "vxlan20", "d2", "vxlan10"},  // routed, each way by the nearer machine
}};

class VxlanVlanTest : public TestNet, public ::testing::WithParamInterface<std::tuple<const char*, const char*>> {
protected:
    static std::string hook() { return std::get<0>(GetParam()); }
    static std::string uplink() { return std::get<1>(GetParam()) == std::string("Vlan") ? "uplink.100" : "uplink"; }

    void SetUp() override {
        TestNet::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        try {
            make("probe").run([] { lab::create_bridge("br0", {.vlan_filtering = true}); });
        } catch (const NetlinkError& error) {
            if (error.code().value() != EOPNOTSUPP) throw;
            GTEST_SKIP() << "bridges of this kernel have no VLAN filtering";
        }
        network_ = &net().build(spec());
        for (const auto& [from, to] : {std::pair(1, 2), std::pair(2, 1)})
            shell_in(space(fmt::format("host{}", from)), fmt::format("ping -n -q -i 0.1 -c 1 -w 15 192.0.2.{}", to));
    }

    static bool is_wire() { return hook() == "xdp"; }

    static void add_machine(lab::Spec& spec, int machine) {
        lab::Node node = lab::quiet_node(fmt::format("host{}", machine));
        node.sysctls.emplace_back("net.ipv4.ip_forward", "1");
        lab::Interface device{.name = "uplink", .mac = VxlanNet::uplink_mac(static_cast<std::size_t>(machine))};
        lab::Bridge bridge;
        bridge.name = "br0";
        bridge.mac = VxlanNet::bridge_mac(static_cast<std::size_t>(machine));
        bridge.vlan_filtering = true;
        bridge.multicast_snooping = false;
        const IpPrefix vtep = prefix(fmt::format("192.0.2.{}/24", machine));
        if (uplink() == "uplink") {
            device.addresses.push_back(vtep);
        } else {
            lab::VlanDevice below;
            below.name = uplink();
            below.on = "uplink";
            below.id = Vid{100};
            below.addresses.push_back(vtep);
            node.vlans.push_back(std::move(below));
        }
        for (const std::uint16_t vid : kVids) {
            lab::VxlanDevice vxlan;
            vxlan.name = fmt::format("vxlan{}", vid);
            vxlan.mtu = kMtu;
            vxlan.vni = vid;
            vxlan.local = address(fmt::format("192.0.2.{}", machine));
            vxlan.remotes.push_back(address(fmt::format("192.0.2.{}", 3 - machine)));
            bridge.ports.push_back({.device = vxlan.name, .vlans = {.pvid = Vid{vid}}});
            bridge.self.tagged.push_back(Vid{vid});
            node.vxlans.push_back(std::move(vxlan));
            lab::VlanDevice router;
            router.name = fmt::format("br0.{}", vid);
            router.on = "br0";
            router.id = Vid{vid};
            router.addresses.push_back(prefix(fmt::format("10.{}.0.25{}/24", vid, machine)));
            node.vlans.push_back(std::move(router));
        }
        node.bridges.push_back(std::move(bridge));
        node.interfaces.push_back(std::move(device));
        spec.links.push_back({.ends = {{{"underlay", node.name}, {node.name, "uplink"}}}, .wire = is_wire()});
        spec.nodes.front().bridges.front().ports.push_back({.device = node.name});
        spec.nodes.push_back(std::move(node));
    }

    // In the VLAN, or, of a trunk, with a VLAN device for each.
    static void add_container(lab::Spec& spec, int machine, const std::string& name, int number,
                              const std::vector<std::uint16_t>& vids, bool trunk) {
        lab::Node node = lab::quiet_node(name);
        lab::Interface inside{.name = "eth0"};
        lab::VlanMembership membership;
        for (const std::uint16_t vid : vids) {
            const IpPrefix own = prefix(fmt::format("10.{}.0.{}/24", vid, number));
            if (trunk) {
                lab::VlanDevice device;
                device.name = fmt::format("eth0.{}", vid);
                device.on = "eth0";
                device.id = Vid{vid};
                device.addresses.push_back(own);
                node.vlans.push_back(std::move(device));
                membership.tagged.push_back(Vid{vid});
            } else {
                inside.addresses.push_back(own);
                membership.pvid = Vid{vid};
                node.routes.push_back(
                    {.to = prefix("0.0.0.0/0"), .via = address(fmt::format("10.{}.0.25{}", vid, machine))});
            }
        }
        node.interfaces.push_back(std::move(inside));
        spec.nodes.push_back(std::move(node));
        const std::string host = fmt::format("host{}", machine);
        spec.links.push_back({.ends = {{{host, name}, {name, "eth0"}}}, .mtu = kMtu, .wire = is_wire()});
        lab::Node& at = *std::ranges::find(spec.nodes, host, &lab::Node::name);
        at.bridges.front().ports.push_back({.device = name, .vlans = std::move(membership)});
    }

    static lab::Spec spec() {
        lab::Spec spec = underlay_spec();
        add_machine(spec, 1);
        add_machine(spec, 2);
        add_container(spec, 1, "c1", 1, {10}, false);
        add_container(spec, 1, "t1", 3, {10, 20}, true);
        add_container(spec, 2, "c2", 2, {10}, false);
        add_container(spec, 2, "d2", 2, {20}, false);
        return spec;
    }

    const lab::Namespace& space(const std::string& name) const { return network_->space(name); }

    std::string converse(const Way& way) const {
        const lab::Namespace &from = space(way.from), &to = space(way.to);
        std::string said = ping_words(from, fmt::format("-c 20 {}", way.address));
        said += ping_words(from, fmt::format("-c 3 -M do -s {} {}", kMtu - 28, way.address));
        said += ping_words(from, fmt::format("-c 3 -s 4000 {}", way.address));
        for (const std::size_t size : {std::size_t{1}, std::size_t{1000}})
            said += exchange_datagrams(from, to, way.address, size, 30);
        return said;
    }

    void underpass_on_both(const std::vector<std::string>& words) const {
        for (const char* host : {"host1", "host2"}) {
            const Finished finished = underpass(space(host), words, kLoading);
            if (!finished.ok()) throw std::runtime_error(finished.text());
        }
    }

    // Frames of the device that ended so.
    std::uint64_t frames(const char* host, const char* device, reason how) const {
        return frames_of(space(host), device, how);
    }

    const lab::Network* network_ = nullptr;
};

TEST_P(VxlanVlanTest, Conversations) {
    std::vector<std::string> expected;
    expected.reserve(kWays.size());
    for (const Way& way : kWays) expected.push_back(converse(way));
    EXPECT_THAT(expected, ::testing::Each(HasSubstr("20 packets transmitted, 20 received")));
    const std::string connected = hold_connections(space("t1"), space("c2"), "10.10.0.2");

    // VXLAN devices and VLAN devices run no XDP themselves.
    underpass_on_both({"up", "br0", uplink(), "br0.10", "br0.20", "--hook", is_wire() ? "auto" : "tc"});
    for (std::size_t i = 0; i < kWays.size(); i++) {
        const Way& way = kWays[i];
        const std::array<std::tuple<const char*, const char*, reason>, 4> steps = {{
            {"host1", way.port, REASON_ENCAPSULATED},
            {"host2", way.tunnel_there, REASON_DECAPSULATED},
            {"host2", way.far_port, REASON_ENCAPSULATED},
            {"host1", way.tunnel_back, REASON_DECAPSULATED},
        }};
        std::vector<std::uint64_t> before;
        before.reserve(steps.size());
        for (const auto& [host, device, how] : steps) before.push_back(frames(host, device, how));
        EXPECT_EQ(converse(way), expected[i]);
        for (std::size_t step = 0; step < steps.size(); step++) {
            const auto& [host, device, how] = steps[step];
            const std::uint64_t now = frames(host, device, how);
            fmt::print("{} to {}: {} frames at {} of {} went in one step\n", way.from, way.to, now - before[step],
                       device, host);
            EXPECT_GE(now - before[step], 10U) << fmt::format("{} to {}, {} of {}: ", way.from, way.to, device, host)
                                               << underpass(space(host), {"status", "--json"}).out;
        }
    }
    EXPECT_EQ(hold_connections(space("t1"), space("c2"), "10.10.0.2"), connected);
    underpass_on_both({"down"});
    EXPECT_EQ(converse(kWays[0]), expected[0]);
    for (const std::string& said : expected) fmt::print("{}", said);
    fmt::print("{}", connected);
}

INSTANTIATE_TEST_SUITE_P(Hooks, VxlanVlanTest,
                         ::testing::Combine(::testing::Values("tc", "xdp"), ::testing::Values("Plain", "Vlan")),
                         [](const auto& test) {
                             return std::string(std::get<0>(test.param)) + "_" + std::get<1>(test.param);
                         });

}  // namespace

}  // namespace underpass::test
