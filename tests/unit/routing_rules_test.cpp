// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Between which devices are packets routed fast, and why not? A plain host that forwards, with an uplink of its own:
//
//   eth0 (20)  a NIC, in no bridge        vlan10 (21)  a VLAN device on it
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "hosts.h"

namespace underpass {
namespace {

using ::testing::HasSubstr;

constexpr Ifindex kUplink{20}, kVlanUplink{21};

Host routing_host() {
    Host host = plain_host();
    host.forwards = true;
    host.links[kUplink] = plain_link(kUplink, "eth0", "", "mq");
    host.drivers[kUplink] = plain_nic();
    host.links[kVlanUplink] = plain_vlan_device(kVlanUplink, kUplink, Vid{10});
    return host;
}

Plan plan_for(const Host& host, const std::vector<std::string>& names, HookChoice choice = HookChoice::automatic,
              const AttachFailures& failures = {}) {
    Selection selection;
    for (const std::string& name : names) selection.bridges[name] = choice;
    return make_plan(host, selection, failures);
}

constexpr std::uint32_t kGoesBothWays =
    DEVICE_PRESENT | DEVICE_INGRESS | DEVICE_EGRESS | DEVICE_FORWARDING | DEVICE_ROUTED;

TEST(RoutingRules, BridgeAndUplink) {
    const Host host = routing_host();
    const Plan plan = plan_for(host, {"br0", "eth0"});
    ASSERT_EQ(plan.size(), 2U);

    const BridgePlan& bridge = plan.at(kBridge);
    EXPECT_TRUE(bridge.is_bridge && bridge.routes());
    EXPECT_EQ(bridge.router.ifindex, number(kBridge));
    EXPECT_EQ(bridge.router.bridge, number(kBridge));
    EXPECT_EQ(bridge.router.flags, DEVICE_EGRESS | DEVICE_FORWARDING | DEVICE_ROUTED | DEVICE_BRIDGE);
    const MacAddr& address = host.links.at(kBridge).mac;
    for (const PortPlan& port : bridge.ports) {
        EXPECT_EQ(port.record.flags & kGoesBothWays, kGoesBothWays) << port.name;
        EXPECT_TRUE(std::equal(address.bytes.begin(), address.bytes.end(), port.record.mac)) << port.name;
    }

    const BridgePlan& uplink = plan.at(kUplink);
    EXPECT_TRUE(!uplink.is_bridge && uplink.routes());
    EXPECT_EQ(uplink.router.flags, 0U);
    ASSERT_EQ(uplink.ports.size(), 1U);
    const device& record = uplink.ports[0].record;
    EXPECT_EQ(record.ifindex, number(kUplink));
    EXPECT_EQ(record.out, number(kUplink));
    EXPECT_EQ(record.bridge, 0U);
    EXPECT_EQ(record.max_len, 1518U);
    EXPECT_EQ(record.flags & ~std::uint32_t{DEVICE_VLAN_UPPERS}, kGoesBothWays);
    const MacAddr& own = host.links.at(kUplink).mac;
    EXPECT_TRUE(std::equal(own.bytes.begin(), own.bytes.end(), record.mac));
    // NICs of both: each can reach the other.
    EXPECT_TRUE(uplink.ports[0].xdp);
}

TEST(RoutingRules, VlanDeviceHasItsFramesOnTheDeviceBelow) {
    const Plan plan = plan_for(routing_host(), {"br0", "vlan10"});
    const PortPlan& port = plan.at(kVlanUplink).ports.at(0);
    EXPECT_EQ(port.below, kUplink);
    EXPECT_EQ(port.record.out, number(kUplink));
    EXPECT_EQ(port.record.flags & (kGoesBothWays | DEVICE_VLAN_DEVICE), kGoesBothWays | DEVICE_VLAN_DEVICE);
    EXPECT_EQ(port.record.vid, 10);
    EXPECT_EQ(ntohs(port.record.vlan_protocol), 0x8100);
}

TEST(RoutingRules, OneAloneRoutesNothing) {
    const Host host = routing_host();
    const Plan bridge = plan_for(host, {"br0"});
    EXPECT_THAT(bridge.at(kBridge).routing_refusal, HasSubstr("no other device"));
    EXPECT_TRUE(bridge.at(kBridge).refusal.empty()) << "it still bridges";
    EXPECT_EQ(bridge.at(kBridge).router.flags, 0U);
    for (const PortPlan& port : bridge.at(kBridge).ports) EXPECT_EQ(port.record.flags & DEVICE_ROUTED, 0U);

    const Plan uplink = plan_for(host, {"eth0"});
    EXPECT_THAT(uplink.at(kUplink).refusal, HasSubstr("no other device"));
    EXPECT_EQ(uplink.at(kUplink).ports[0].record.flags & (DEVICE_INGRESS | DEVICE_EGRESS | DEVICE_ROUTED), 0U);
}

// A device that nobody named is taken where it routes, and only there.
TEST(RoutingRules, AllThatRoutes) {
    const auto taken = [](const Host& host, std::set<std::string> except = {}) {
        Selection all{.all = HookChoice::automatic};
        all.except = std::move(except);
        std::set<std::string> names;
        for (const auto& [index, plan] : make_plan(host, all, {})) names.insert(plan.name);
        return names;
    };
    using Names = std::set<std::string>;
    Host host = routing_host();
    EXPECT_EQ(taken(host), (Names{"br0", "eth0", "vlan10"}));
    EXPECT_EQ(taken(host, {"eth0"}), (Names{"br0", "vlan10"}));
    EXPECT_EQ(taken(host, {"br0", "eth0"}), Names{}) << "one alone routes nothing";
    host.links[kUplink].flags &= ~static_cast<std::uint32_t>(IFF_UP);
    EXPECT_EQ(taken(host), (Names{"br0", "vlan10"}));
    host.links[kVlanUplink].kind = "wireguard";
    EXPECT_EQ(taken(host), Names{"br0"});
    host = routing_host();
    host.forwards = false;
    EXPECT_EQ(taken(host), Names{"br0"});
    const Plan refused = make_plan(routing_host(), {.all = HookChoice::automatic}, {{kUplink, {Hook::tc, "no room"}}});
    EXPECT_EQ(refused.at(kUplink).refusal, "no room");
}

struct Row {
    const char* what;
    std::function<void(Host&)> change;
    std::string bridge = {};  // why not from and to the bridge; empty: fast
    std::string uplink = {};
};

TEST(RoutingRules, WhatIsLeftToTheKernel) {
    constexpr const char* kNobody = "no other device";
    const std::vector<Row> rows = {
        {.what = "nothing", .change = [](Host&) {}},
        {.what = "forwards nothing",
         .change = [](Host& h) { h.forwards = false; },
         .bridge = "ip_forward",
         .uplink = "ip_forward"},
        {.what = "rules that see each packet",
         .change =
             [](Host& h) {
                 h.netfilter.tracks_ipv4 = h.finds_connections = true;
                 h.netfilter.per_packet = {"limit (table ip t, chain forward)"};
             },
         .bridge = "limit (table ip t, chain forward)",
         .uplink = "limit (table ip t, chain forward)"},
        {.what = "rules, and connections cannot be looked up",
         .change =
             [](Host& h) {
                 h.netfilter.tracks_ipv6 = true;
                 h.netfilter.ip_chains = {"table ip6 t, chain forward"};
             },
         .bridge = "modprobe nf_conntrack",
         .uplink = "table ip6 t, chain forward"},
        {.what = "rules that are the same for a connection's packets",
         .change =
             [](Host& h) {
                 h.netfilter.tracks_ipv4 = h.finds_connections = true;
                 h.netfilter.ip_chains = {"table ip t, chain forward"};
             }},
        {.what = "rules that cannot be read",
         .change = [](Host& h) { h.netfilter.unknown = "no permission"; },
         .bridge = "no permission",
         .uplink = "no permission"},
        {.what = "a bridge that filters VLANs",
         .change = [](Host& h) { h.links[kBridge].bridge->vlan_filtering = true; }},
        {.what = "a bridge that is left to the kernel",
         .change = [](Host& h) { h.links[kBridge].promiscuity = 1; },
         .bridge = "promiscuous",
         .uplink = kNobody},
        {.what = "rules on the bridge as a device",
         .change = [](Host& h) { h.netfilter.device_chains["br0"] = "table netdev t, chain c"; },
         .bridge = "table netdev t, chain c",
         .uplink = kNobody},
        {.what = "rules on the uplink",
         .change = [](Host& h) { h.netfilter.device_chains["eth0"] = "table netdev t, chain c"; },
         .bridge = kNobody,
         .uplink = "table netdev t, chain c"},
        {.what = "TC of others on the bridge",
         .change = [](Host& h) { h.traffic_control[kBridge].foreign_ingress = true; },
         .bridge = "tc filter show dev br0",
         .uplink = kNobody},
        {.what = "TC of others at its egress",
         .change = [](Host& h) { h.traffic_control[kBridge].foreign_egress = true; },
         .bridge = "tc filter show dev br0",
         .uplink = kNobody},
        {.what = "TC of others at the uplink's egress",
         .change = [](Host& h) { h.traffic_control[kUplink].foreign_egress = true; },
         .bridge = kNobody,
         .uplink = "tc filter show dev eth0"},
        {.what = "a qdisc on the bridge",
         .change = [](Host& h) { h.links[kBridge].qdisc = "htb"; },
         .bridge = "qdisc htb",
         .uplink = kNobody},
        {.what = "an XDP program on the bridge",
         .change = [](Host& h) { h.links[kBridge].xdp_program = 7; },
         .bridge = "XDP program",
         .uplink = kNobody},
        {.what = "an uplink of another kind",
         .change = [](Host& h) { h.links[kUplink].kind = "wireguard"; },
         .bridge = kNobody,
         .uplink = "kind wireguard"},
        {.what = "an uplink that is not Ethernet",
         .change = [](Host& h) { h.links[kUplink].arp_type = ARPHRD_NONE; },
         .bridge = kNobody,
         .uplink = "Ethernet"},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Host host = routing_host();
        row.change(host);
        const Plan plan = plan_for(host, {"br0", "eth0"});
        for (const auto& [index, why] : {std::pair(kBridge, row.bridge), std::pair(kUplink, row.uplink)}) {
            const BridgePlan& of_device = plan.at(index);
            EXPECT_EQ(of_device.routes(), why.empty()) << of_device.name;
            EXPECT_THAT(of_device.refusal + of_device.routing_refusal, HasSubstr(why)) << of_device.name;
            for (const PortPlan& port : of_device.ports)
                EXPECT_EQ((port.record.flags & DEVICE_ROUTED) != 0, why.empty()) << port.name;
            EXPECT_EQ(of_device.router.flags != 0, of_device.is_bridge && why.empty());
        }
    }
}

TEST(RoutingRules, WhatTheKernelRefusedToAttach) {
    const Host host = routing_host();
    const Plan witness = plan_for(host, {"br0", "eth0"}, HookChoice::automatic, {{kBridge, {Hook::tc, "no room"}}});
    EXPECT_EQ(witness.at(kBridge).routing_refusal, "no room");
    EXPECT_TRUE(witness.at(kBridge).refusal.empty());
    const Plan uplink = plan_for(host, {"br0", "eth0"}, HookChoice::automatic, {{kUplink, {Hook::tc, "no room"}}});
    EXPECT_EQ(uplink.at(kUplink).refusal, "no room");
}

TEST(RoutingRules, ADownDeviceForwardsNothing) {
    Host host = routing_host();
    host.links[kUplink].carrier = false;
    host.links[kBridge].flags &= ~static_cast<std::uint32_t>(IFF_UP);
    const Plan plan = plan_for(host, {"br0", "eth0"});
    EXPECT_EQ(plan.at(kUplink).ports[0].record.flags & DEVICE_FORWARDING, 0U);
    EXPECT_EQ(plan.at(kBridge).router.flags & DEVICE_FORWARDING, 0U);
}

// ... with a VLAN device on it.
Host vlan_routing_host() {
    Host host = routing_host();
    host.links[kBridge].bridge->vlan_filtering = true;
    host.links[kVlanUplink] = plain_vlan_device(kVlanUplink, kBridge, Vid{10});
    host.links[kVlanUplink].mac = host.links[kBridge].mac;
    host.vlans[kBridge] = {.pvid = Vid{1},
                           .ranges = {{.first = 1, .last = 1, .untagged = true}, {.first = 10, .last = 11}}};
    return host;
}

TEST(RoutingRules, VlanAwareBridge) {
    using Vids = std::set<std::uint16_t>;
    constexpr std::uint32_t kRouter =
        DEVICE_BRIDGE | DEVICE_ROUTED | DEVICE_EGRESS | DEVICE_FORWARDING | DEVICE_VLAN_AWARE;
    Host host = vlan_routing_host();
    const Plan plan = plan_for(host, {"br0", "eth0", "vlan10"});
    const device& own = plan.at(kBridge).router;
    EXPECT_EQ(own.flags, kRouter);
    EXPECT_EQ(own.vid, 1);
    EXPECT_EQ(ntohs(own.vlan_protocol), 0x8100);
    EXPECT_EQ(plan.at(kBridge).routed_vids, Vids{1});
    const device& upper = plan.at(kVlanUplink).router;
    EXPECT_EQ(upper.flags, kRouter);
    EXPECT_EQ(upper.ifindex, number(kVlanUplink));
    EXPECT_EQ(upper.bridge, number(kBridge));
    EXPECT_EQ(upper.vid, 10);
    EXPECT_EQ(plan.at(kVlanUplink).routed_vids, Vids{10});
    EXPECT_EQ(plan.at(kUplink).router.flags, 0U);

    host.vlans[kBridge].ranges[0].state = PortState::blocking;
    const Plan blocked = plan_for(host, {"br0", "eth0"});
    EXPECT_EQ(blocked.at(kBridge).router.flags, kRouter & ~std::uint32_t{DEVICE_EGRESS});
    EXPECT_EQ(blocked.at(kBridge).routed_vids, Vids{});
    host.vlans.erase(kBridge);
    EXPECT_EQ(plan_for(host, {"br0", "eth0"}).at(kBridge).router.flags, kRouter & ~std::uint32_t{DEVICE_EGRESS});
}

// Else it is a device of its own above the bridge.
TEST(RoutingRules, VlanDeviceOnABridge) {
    const std::vector<std::pair<const char*, std::function<void(Host&)>>> rows = {
        {"a bridge that knows no VLANs", [](Host& h) { h.links[kBridge].bridge->vlan_filtering = false; }},
        {"a bridge that goes by other tags", [](Host& h) { h.links[kBridge].bridge->vlan_protocol = 0x88a8; }},
        {"a bridge that is no member", [](Host& h) { h.vlans[kBridge].ranges.pop_back(); }},
        {"untagged at the bridge", [](Host& h) { h.vlans[kBridge].ranges[1].untagged = true; }},
        {"another address", [](Host& h) { h.links[kVlanUplink].mac.bytes[5] ^= 1; }},
        {"without REORDER_HDR", [](Host& h) { h.links[kVlanUplink].vlan->reorder_header = false; }},
        {"a priority map", [](Host& h) { h.links[kVlanUplink].vlan->maps_priority = true; }},
        {"an attribute nobody knows", [](Host& h) { h.links[kVlanUplink].vlan->unknown = {9}; }},
        {"a qdisc", [](Host& h) { h.links[kVlanUplink].qdisc = "htb"; }},
        {"a capture", [](Host& h) { h.links[kVlanUplink].promiscuity = 1; }},
        {"an XDP program", [](Host& h) { h.links[kVlanUplink].xdp_program = 7; }},
        {"a bridge that is left to the kernel", [](Host& h) { h.links[kBridge].promiscuity = 1; }},
        {"in another namespace", [](Host& h) { h.links[kVlanUplink].lower_netnsid = 1; }},
    };
    for (const auto& [what, change] : rows) {
        SCOPED_TRACE(what);
        Host host = vlan_routing_host();
        change(host);
        const Plan plan = plan_for(host, {"br0", "eth0", "vlan10"});
        EXPECT_EQ(plan.at(kVlanUplink).router.flags, 0U);
        EXPECT_TRUE(plan.at(kVlanUplink).routed_vids.empty());
        EXPECT_TRUE(plan.at(kVlanUplink).routes());
        EXPECT_EQ(plan.at(kVlanUplink).ports.at(0).below, kVlanUplink);
    }
    const Plan alone = plan_for(vlan_routing_host(), {"eth0", "vlan10"});
    EXPECT_TRUE(alone.at(kVlanUplink).routes() && alone.at(kVlanUplink).router.flags == 0);
}

// XDP pays where a frame can go from one such device to another, whichever bridge it is of.
TEST(RoutingRules, XdpIsChosenForAllThatRoute) {
    Host host = routing_host();
    for (const Ifindex nic : {kOtherNic, kThirdNic, kWire, kTap, kContainer}) host.links[nic].master.reset();
    EXPECT_TRUE(plan_for(host, {"br0", "eth0"}).at(kBridge).ports.at(0).xdp);
    EXPECT_FALSE(plan_for(host, {"br0"}).at(kBridge).ports.at(0).xdp);
    EXPECT_FALSE(plan_for(host, {"br0", "eth0"}, HookChoice::tc).at(kUplink).ports.at(0).xdp);
    host.drivers[kUplink].native_xdp = false;
    const Plan alone = plan_for(host, {"br0", "eth0"});
    EXPECT_FALSE(alone.at(kBridge).ports.at(0).xdp);
    EXPECT_TRUE(alone.at(kUplink).routes());
    const Plan forced = plan_for(host, {"br0", "eth0"}, HookChoice::xdp);
    EXPECT_THAT(forced.at(kUplink).refusal, HasSubstr("no XDP here"));
}

TEST(RoutingRules, WhatMayBeNamed) {
    const Host host = routing_host();
    EXPECT_EQ(require_bridge(host, "eth0").index, kUplink);
    EXPECT_THROW(require_bridge(host, "eth1"), std::runtime_error);
    EXPECT_TRUE(is_of_its_own(host, "eth0"));
    EXPECT_FALSE(is_of_its_own(host, "br0"));
    EXPECT_FALSE(is_of_its_own(host, "eth1"));
    EXPECT_FALSE(is_of_its_own(host, "nowhere"));
}

}  // namespace
}  // namespace underpass
