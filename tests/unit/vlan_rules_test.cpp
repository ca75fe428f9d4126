// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The rules of VLANs: what a port of a VLAN-aware bridge may do in each, and by which device a VLAN device's frames go.
#include "model/vlan_rules.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "hosts.h"

namespace underpass {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint8_t kMember = VLAN_FORWARD | VLAN_LEARNS;
constexpr Ifindex kVlan{30};

Host vlan_host() {
    Host host = plain_host();
    host.links.at(kBridge).bridge->vlan_filtering = true;
    host.vlans[kNic] = {.pvid = Vid{10},
                        .ranges = {{.first = 10, .last = 10, .untagged = true}, {.first = 20, .last = 29}}};
    return host;
}

struct Row {
    const char* what;
    std::function<void(Host&)> change;
    std::uint8_t pvid = kMember | VLAN_UNTAGGED;  // rights in VLAN 10
    std::uint8_t tagged = kMember;                // in 20 to 29
    std::uint32_t lost = 0;                       // device flags
    std::string refusal;                          // words in that of VLANs 20-29
};

PortVlans& vlans(Host& host) {
    return host.vlans.at(kNic);
}
BridgeAttributes& bridge(Host& host) {
    return *host.links.at(kBridge).bridge;
}
PortAttributes& port(Host& host) {
    return *host.links.at(kNic).port;
}

TEST(VlanRules, RightsOfAPort) {
    constexpr std::uint32_t kFlags =
        DEVICE_PRESENT | DEVICE_INGRESS | DEVICE_EGRESS | DEVICE_FORWARDING | DEVICE_LEARNS | DEVICE_VLAN_AWARE;
    const auto state = [](PortState of_port, PortState of_vlan) {
        return [=](Host& host) {
            port(host).state = of_port;
            vlans(host).ranges[1].state = of_vlan;
        };
    };
    using enum PortState;
    [[maybe_unused]] const auto [first, last, untagged, own_state, tunnel, unknown] = VlanRange{};
    const std::vector<Row> rows = {
        {.what = "plain", .change = [](Host&) {}},
        {.what = "a VLAN that blocks", .change = state(forwarding, blocking), .tagged = 0},
        {.what = "a VLAN that listens", .change = state(forwarding, listening), .tagged = 0},
        {.what = "a VLAN that learns", .change = state(forwarding, learning), .tagged = VLAN_LEARNS},
        {.what = "a port that learns: the VLAN's state does not count",
         .change = state(learning, blocking),
         .pvid = VLAN_LEARNS | VLAN_UNTAGGED,
         .tagged = VLAN_LEARNS,
         .lost = DEVICE_FORWARDING},
        {.what = "a port that blocks",
         .change = state(blocking, forwarding),
         .pvid = VLAN_UNTAGGED,
         .tagged = 0,
         .lost = DEVICE_FORWARDING | DEVICE_LEARNS},
        {.what = "a tunnel",
         .change = [](Host& h) { vlans(h).ranges[1].tunnel = true; },
         .tagged = VLAN_LEARNS,
         .refusal = "tunnel_info"},
        {.what = "an attribute nobody knows",
         .change = [](Host& h) { vlans(h).ranges[1].unknown = {77}; },
         .tagged = VLAN_LEARNS,
         .refusal = "BRIDGE_VLANDB_ENTRY_* 77"},
        {.what = "a flag nobody knows",
         .change = [](Host& h) { vlans(h).ranges[1].unknown = {0}; },
         .tagged = VLAN_LEARNS,
         .refusal = "flags"},
        {.what = "a locked port", .change = [](Host& h) { port(h).locked = true; }, .lost = DEVICE_LEARNS},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Host host = vlan_host();
        row.change(host);
        const BridgePlan plan = plan_of(host);
        EXPECT_THAT(plan.refusal, IsEmpty());
        const PortPlan& port = *find_port(plan, kNic);
        EXPECT_THAT(port.refusal, IsEmpty());
        EXPECT_EQ(port.record.flags, kFlags & ~row.lost);
        EXPECT_EQ(port.record.vid, 10);
        EXPECT_EQ(port.record.vlan_protocol, htons(0x8100));
        for (std::uint16_t vid = 0; vid < VLAN_VIDS; vid++)
            ASSERT_EQ(rights_of(port.vlans, vid), vid == 10                ? row.pvid
                                                  : vid >= 20 && vid <= 29 ? row.tagged
                                                                           : 0)
                << "VLAN " << vid;
        ASSERT_EQ(port.vlan_refusals.size(), row.refusal.empty() ? 0U : 1U);
        if (row.refusal.empty()) continue;
        EXPECT_EQ(port.vlan_refusals.begin()->first, "20-29");
        EXPECT_THAT(port.vlan_refusals.begin()->second, HasSubstr(row.refusal));
    }
}

TEST(VlanRules, NothingKnownYet) {
    Host host = vlan_host();
    host.vlans.clear();
    const BridgePlan plan = plan_of(host);
    const PortPlan& port = *find_port(plan, kNic);
    EXPECT_EQ(port.record.vid, 0);
    for (std::uint16_t vid = 0; vid < VLAN_VIDS; vid++) ASSERT_EQ(rights_of(port.vlans, vid), 0);
}

TEST(VlanRules, ServiceBridge) {
    Host host = vlan_host();
    bridge(host).vlan_protocol = 0x88a8;
    EXPECT_EQ(find_port(plan_of(host), kNic)->record.vlan_protocol, htons(0x88a8));
}

// wire0 is a trunk and no port; its VLAN device is one.
Host host_with_trunk() {
    Host host = plain_host();
    host.links[kWire].master.reset();
    host.links[kVlan] = plain_port(kVlan, "wire0.5", "vlan", "noqueue");
    host.links[kVlan].lower = kWire;
    host.links[kVlan].vlan = VlanAttributes{.id = Vid{5}};
    return host;
}

// What is redirected out of the VLAN device passes by it just as well.
TEST(VlanRules, GenericXdpBehindTheTrunk) {
    Host host = host_with_trunk();
    EXPECT_THAT(find_port(plan_of(host), kVlan)->refusal, IsEmpty());
    host.drivers[kWire].peer->has_generic_xdp = true;
    EXPECT_THAT(find_port(plan_of(host), kVlan)->refusal, HasSubstr("generic mode"));
}

// A veth's other end holds what comes by XDP against its own MTU.
TEST(VlanRules, MtuBehindTheTrunk) {
    Host host = host_with_trunk();
    host.drivers[kWire].peer->mtu = 1400;
    const auto length = [&host](HookChoice choice) { return find_port(plan_of(host, choice), kVlan)->record.max_len; };
    EXPECT_EQ(length(HookChoice::automatic), 1400U + 14 + 4);
    EXPECT_EQ(length(HookChoice::tc), 1500U + 14 + 4);
}

// What VLAN devices take from a port of a VLAN-aware bridge.
TEST(VlanRules, TakenByVlanDevices) {
    Host host = vlan_host();
    Link device = plain_link(kVlan, "eth1.25", "vlan", "noqueue");
    device.lower = kNic;
    device.vlan = VlanAttributes{.id = Vid{25}};
    host.links[kVlan] = device;
    host.vlan_uppers[kNic] = {Vid{10}, Vid{999}};
    const auto rights = [&host](std::uint16_t vid) { return rights_of(find_port(plan_of(host), kNic)->vlans, vid); };
    EXPECT_EQ(rights(25), kMember | VLAN_UPPER);
    EXPECT_EQ(rights(24), kMember);
    EXPECT_EQ(rights(10), kMember | VLAN_UNTAGGED | VLAN_UPPER) << "one in another namespace";
    EXPECT_EQ(rights(999), 0) << "no member anyway";
    host.links[kVlan].vlan->protocol = 0x88a8;
    EXPECT_EQ(rights(25), kMember) << "it takes other tags";
    host.vlan_uppers[kNic] = {Vid{0}};
    const PortPlan port = *find_port(plan_of(host), kNic);
    EXPECT_THAT(port.refusal, HasSubstr("priority-tagged"));
    EXPECT_EQ(port.record.flags & (DEVICE_INGRESS | DEVICE_EGRESS), 0U);
}

TEST(VlanRules, FdbByVlan) {
    Host host = vlan_host();
    FdbKey in_vlan = key(1);
    in_vlan.vid = Vid{10};
    host.fdb[in_vlan] = host.fdb[key(1)] = {.port = kNic};
    const Plan plan = make_plan(host, {.all = HookChoice::automatic}, {});
    EXPECT_EQ(wanted_fdb(host, plan, in_vlan), (FdbWanted{kNic, 0}));
    EXPECT_EQ(wanted_fdb(host, plan, key(1)), std::nullopt) << "nobody looks there with VLAN filtering";
}

// A VLAN device as a port: by the device below where that is right.
TEST(VlanRules, DeviceBelow) {
    struct BelowRow {
        const char* what;
        std::function<void(Host&)> change;
        bool below = false;
    };
    [[maybe_unused]] const auto [id, protocol, reorder_header, maps_priority, unknown] = VlanAttributes{};
    const std::vector<BelowRow> rows = {
        {"plain", [](Host&) {}, true},
        {"802.1ad", [](Host& h) { h.links[kVlan].vlan->protocol = 0x88a8; }, true},
        {"a trunk that is a port", [](Host& h) { h.links[kOtherNic] = plain_port(kOtherNic, "eth2", "", "mq"); }, true},
        {"without REORDER_HDR", [](Host& h) { h.links[kVlan].vlan->reorder_header = false; }},
        {"with a priority map", [](Host& h) { h.links[kVlan].vlan->maps_priority = true; }},
        {"with an attribute nobody knows", [](Host& h) { h.links[kVlan].vlan->unknown = {9}; }},
        {"a capture on it", [](Host& h) { h.links[kVlan].promiscuity = 2; }},
        {"an XDP program on it", [](Host& h) { h.links[kVlan].xdp_program = 7; }},
        {"a qdisc on it", [](Host& h) { h.links[kVlan].qdisc = "htb"; }},
        {"a filter at its egress", [](Host& h) { h.traffic_control[kVlan].foreign_egress = true; }},
        {"a filter at the trunk's ingress", [](Host& h) { h.traffic_control[kOtherNic].foreign_ingress = true; }},
        {"rules at the trunk", [](Host& h) { h.netfilter.device_chains["eth2"] = "table netdev t"; }},
        {"on a bond", [](Host& h) { h.links[kOtherNic].kind = "bond"; }},
        {"on a bridge", [](Host& h) { h.links[kOtherNic] = plain_bridge(kOtherNic, "br9"); }},
        {"on another VLAN device", [](Host& h) { h.links[kOtherNic].kind = "vlan"; }},
        {"on a member of a bond", [](Host& h) { h.links[kOtherNic].master = Ifindex{99}; }},
        {"on a device in another namespace", [](Host& h) { h.links[kVlan].lower_netnsid = 1; }},
        {"on a device that is gone", [](Host& h) { h.links.erase(kOtherNic); }},
        {"of a VLAN-aware bridge", [](Host& h) { bridge(h).vlan_filtering = true; }},
    };
    for (const BelowRow& row : rows) {
        SCOPED_TRACE(row.what);
        Host host = plain_host();
        host.links[kOtherNic] = plain_link(kOtherNic, "eth2", "", "mq");
        host.links[kVlan] = plain_port(kVlan, "eth2.5", "vlan", "noqueue");
        host.links[kVlan].lower = kOtherNic;
        host.links[kVlan].vlan = VlanAttributes{.id = Vid{5}};
        row.change(host);
        const BridgePlan plan = plan_of(host);
        const PortPlan& port = *find_port(plan, kVlan);
        EXPECT_THAT(port.refusal, IsEmpty());
        EXPECT_EQ(port.below, row.below ? kOtherNic : kVlan);
        EXPECT_EQ(port.record.out, number(port.below));
        EXPECT_EQ((port.record.flags & DEVICE_VLAN_DEVICE) != 0, row.below);
        EXPECT_EQ(port.hook(), row.below ? Hook::xdp : Hook::tc) << port.xdp_refusal;
        if (!row.below) continue;
        EXPECT_EQ(port.record.vid, 5);
        EXPECT_EQ(port.record.vlan_protocol, htons(host.links[kVlan].vlan->protocol));
        EXPECT_NE(port.record.flags & DEVICE_VLAN_UPPERS, 0U) << "a second tag may be another's";
    }
}

}  // namespace
}  // namespace underpass
