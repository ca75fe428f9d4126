// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Which tunnels go fast, by which underlays, and what is said of the others. The plain host with a VXLAN port, bound to
// an uplink:
//
//   vxlan7 (30)  a port of br0, VNI 7, by eth0        eth0 (20)  a NIC, in no bridge; vlan10 (21) a VLAN device on it
#include "model/vxlan_rules.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "hosts.h"

namespace underpass {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Ifindex kUplink{20}, kVlanUplink{21}, kVxlan{30}, kOther{31};
constexpr std::uint32_t kCarries =
    DEVICE_PRESENT | DEVICE_INGRESS | DEVICE_EGRESS | DEVICE_FORWARDING | DEVICE_UNDERLAY | DEVICE_VLAN_UPPERS;
constexpr std::uint64_t kSecond = 1000000000;

VxlanAttributes plain_tunnel() {
    VxlanAttributes vxlan;
    vxlan.vni = 7;
    vxlan.port = 4789;
    vxlan.has_local = true;
    vxlan.lower = kUplink;
    vxlan.learning = true;
    vxlan.ageing_ms = 300000;
    return vxlan;
}

Host tunnel_host() {
    Host host = plain_host();
    host.finds_connections = true;
    host.links[kUplink] = plain_link(kUplink, "eth0", "", "mq");
    host.drivers[kUplink] = plain_nic();
    host.links[kVlanUplink] = plain_vlan_device(kVlanUplink, kUplink, Vid{10});
    host.links[kVxlan] = plain_port(kVxlan, "vxlan7", "vxlan", "noqueue");
    host.links[kVxlan].vxlan = plain_tunnel();
    return host;
}

Plan plan_for(const Host& host, const std::vector<std::string>& names = {"br0"},
              HookChoice choice = HookChoice::automatic, const AttachFailures& failures = {}) {
    Selection selection;
    for (const std::string& name : names) selection.bridges[name] = choice;
    return make_plan(host, selection, failures);
}

const PortPlan& vxlan_port(const Plan& plan) {
    return *find_port(plan.at(kBridge), kVxlan);
}

VxlanAttributes& tunnel(Host& host) {
    return *host.links.at(kVxlan).vxlan;
}

TEST(VxlanRules, BoundToADevice) {
    const Plan plan = plan_for(tunnel_host());
    const PortPlan& port = vxlan_port(plan);
    EXPECT_THAT(port.refusal, IsEmpty());
    EXPECT_THAT(port.tunnel_refusal, IsEmpty());
    EXPECT_THAT(port.underlays, ElementsAre("eth0"));
    ASSERT_TRUE(port.tunnel);
    EXPECT_EQ(port.tunnel->vni, 7U);
    EXPECT_EQ(ntohs(port.tunnel->port), 4789);
    EXPECT_EQ(port.tunnel->family, AF_INET);
    constexpr std::uint32_t kTunnel = DEVICE_VXLAN | DEVICE_ENCAP | DEVICE_VTEP_LEARNS;
    EXPECT_EQ(port.record.flags,
              DEVICE_PRESENT | DEVICE_INGRESS | DEVICE_EGRESS | DEVICE_FORWARDING | DEVICE_LEARNS | kTunnel);
    EXPECT_EQ(port.hook(), Hook::tc);

    const BridgePlan& uplink = plan.at(kUplink);
    EXPECT_FALSE(uplink.is_bridge || uplink.routes());
    EXPECT_THAT(uplink.refusal, IsEmpty());
    EXPECT_THAT(uplink.routing_refusal, HasSubstr("only for the tunnels"));
    EXPECT_EQ(uplink.carries, (std::map<std::string, std::uint32_t>{{"vxlan7", 7}}));
    EXPECT_EQ(uplink.ports.at(0).record.flags, kCarries);
    EXPECT_TRUE(uplink.ports.at(0).xdp) << "from it frames go to NICs of the bridge";
    EXPECT_THAT(uplink.witnessed(), ElementsAre(kUplink));
}

TEST(VxlanRules, AnUnderlayIsNoSecondRouter) {
    Host host = tunnel_host();
    host.forwards = true;
    Plan plan = plan_for(host);
    EXPECT_THAT(plan.at(kBridge).routing_refusal, HasSubstr("no other device"));
    EXPECT_EQ(plan.at(kUplink).ports.at(0).record.flags, kCarries);
    plan = plan_for(host, {"br0", "eth0"});
    EXPECT_TRUE(plan.at(kBridge).routes() && plan.at(kUplink).routes());
    EXPECT_EQ(plan.at(kUplink).ports.at(0).record.flags, kCarries | DEVICE_ROUTED);
}

TEST(VxlanRules, BoundToNoDevice) {
    Host host = tunnel_host();
    tunnel(host).lower.reset();
    Plan plan = plan_for(host);
    EXPECT_THAT(vxlan_port(plan).tunnel_refusal, HasSubstr("`underpass up br0 DEVICE`"));
    EXPECT_FALSE(vxlan_port(plan).tunnel);
    EXPECT_THAT(vxlan_port(plan).refusal, IsEmpty()) << "it is a port as any other";
    EXPECT_EQ(vxlan_port(plan).record.flags & (DEVICE_VXLAN | DEVICE_ENCAP), std::uint32_t{DEVICE_VXLAN});
    EXPECT_FALSE(plan.contains(kUplink));

    plan = plan_for(host, {"br0", "eth0"});
    EXPECT_THAT(vxlan_port(plan).underlays, ElementsAre("eth0"));
    EXPECT_THAT(plan.at(kUplink).refusal, IsEmpty()) << "it routes nothing, and carries the tunnel";
    plan = make_plan(host, {.all = HookChoice::automatic}, {});
    EXPECT_THAT(vxlan_port(plan).underlays, ElementsAre("eth0", "vlan10"));
    EXPECT_EQ(plan.at(kVlanUplink).ports.at(0).below, kUplink);
    EXPECT_NE(plan.at(kVlanUplink).ports.at(0).record.flags & DEVICE_UNDERLAY, 0U);
}

// As EVPN has it: the bridge has routers for its VLANs, which carry its own tunnels only for want of another device.
TEST(VxlanRules, RoutersOnTheBridge) {
    constexpr Ifindex kRouter{90};
    Host host = tunnel_host();
    host.forwards = true;
    tunnel(host).lower.reset();
    host.links[kRouter] = plain_vlan_device(kRouter, kBridge, Vid{20});
    Plan plan = plan_for(host, {"br0", "eth0", "vlan20"});
    EXPECT_THAT(vxlan_port(plan).underlays, ElementsAre("eth0"));
    EXPECT_TRUE(plan.at(kRouter).carries.empty());
    plan = plan_for(host, {"br0", "vlan20"});
    EXPECT_THAT(vxlan_port(plan).underlays, ElementsAre("vlan20"));
    // Of another bridge's it is a device as any other.
    host.links[kRouter].lower = kUplink;
    plan = plan_for(host, {"br0", "eth0", "vlan20"});
    EXPECT_THAT(vxlan_port(plan).underlays, ElementsAre("eth0", "vlan20"));
}

// As flannel has it: packets are routed to a VXLAN device.
TEST(VxlanRules, RoutedDevice) {
    Host host = tunnel_host();
    host.forwards = true;
    host.links[kVxlan].master.reset();
    host.links[kVxlan].port.reset();
    host.links[kVxlan].promiscuity = 0;
    tunnel(host).learning = false;
    const Plan plan = plan_for(host, {"br0", "vxlan7"});
    const PortPlan& port = plan.at(kVxlan).ports.at(0);
    EXPECT_TRUE(plan.at(kVxlan).routes());
    EXPECT_TRUE(port.tunnel);
    EXPECT_EQ(port.record.flags & (DEVICE_ROUTED | DEVICE_VXLAN | DEVICE_ENCAP | DEVICE_VTEP_LEARNS),
              DEVICE_ROUTED | DEVICE_VXLAN | DEVICE_ENCAP);
    EXPECT_FALSE(plan.at(kUplink).routes());
    EXPECT_NE(plan.at(kUplink).ports.at(0).record.flags & DEVICE_UNDERLAY, 0U);
    EXPECT_FALSE(plan_for(host, {"br0"}).contains(kUplink)) << "no tunnel of the plan";
}

struct Row {
    const char* what;
    std::function<void(Host&)> change;
    std::string refusal = {};         // of the device
    std::string tunnel_refusal = {};  // of both directions
    std::string encap_refusal = {};
};

void expect_words(const std::string& sentence, const std::string& words) {
    EXPECT_THAT(sentence, HasSubstr(words));
    EXPECT_EQ(sentence.empty(), words.empty());
}

TEST(VxlanRules, WhatIsLeftToTheKernel) {
    const auto with = [](const char* option) { return [option](Host& h) { tunnel(h).options = {option}; }; };
    std::vector<Row> rows = {
        {.what = "plain", .change = [](Host&) {}},
        {.what = "unknown", .change = [](Host& h) { tunnel(h).unknown = {99}; }, .refusal = "IFLA_VXLAN_* 99"},
        {.what = "not known yet", .change = [](Host& h) { h.links[kVxlan].vxlan.reset(); }, .refusal = "not known yet"},
        {.what = "the same packets for another",
         .change =
             [](Host& h) {
                 h.links[kOther] = plain_link(kOther, "vxlan8", "vxlan", "noqueue");
                 h.links[kOther].vxlan = plain_tunnel();
             },
         .refusal = "vxlan8 has the same VNI 7 and UDP port 4789"},
        {.what = "another family",
         .change =
             [](Host& h) {
                 h.links[kOther] = plain_link(kOther, "vxlan8", "vxlan", "noqueue");
                 h.links[kOther].vxlan = plain_tunnel();
                 h.links[kOther].vxlan->ipv6 = true;
             }},
        {.what = "ttl inherit",
         .change = [](Host& h) { tunnel(h).ttl_inherit = true; },
         .encap_refusal = "ttl inherit"},
        {.what = "df inherit",
         .change = [](Host& h) { tunnel(h).df = VxlanDf::inherit; },
         .encap_refusal = "df inherit"},
        {.what = "df set", .change = [](Host& h) { tunnel(h).df = VxlanDf::set; }},
        {.what = "label inherit",
         .change = [](Host& h) { tunnel(h).label_inherit = true; },
         .encap_refusal = "flowlabel inherit"},
        {.what = "a tunnel of another namespace",
         .change = [](Host& h) { h.links[kVxlan].lower_netnsid = 1; },
         .tunnel_refusal = "another network namespace"},
        {.what = "rules that see each packet alike",
         .change = [](Host& h) { h.netfilter.ip_chains = {"chain input"}, h.netfilter.tracks_ipv4 = true; }},
        {.what = "rules that have to see each packet",
         .change = [](Host& h) { h.netfilter.per_packet = {"limit (chain input)"}; },
         .tunnel_refusal = "rules have to see each of its packets: limit (chain input)"},
        {.what = "rules that have to see each of the host's own",
         .change = [](Host& h) { h.netfilter.per_own_packet = {"limit (chain output)"}; },
         .tunnel_refusal = "rules have to see each of its packets: limit (chain output)"},
        {.what = "no connections",
         .change = [](Host& h) { h.finds_connections = false; },
         .tunnel_refusal = "`modprobe nf_conntrack`"},
        {.what = "a capture", .change = [](Host& h) { h.links[kVxlan].promiscuity = 2; }, .tunnel_refusal = "tcpdump"},
        {.what = "a qdisc", .change = [](Host& h) { h.links[kVxlan].qdisc = "htb"; }, .tunnel_refusal = "qdisc htb"},
        {.what = "an XDP program",
         .change = [](Host& h) { h.links[kVxlan].xdp_program = 9; },
         .tunnel_refusal = "XDP program"},
        {.what = "filters at its egress",
         .change = [](Host& h) { h.traffic_control[kVxlan].foreign_egress = true; },
         .tunnel_refusal = "TC filters"},
        {.what = "filters at its ingress",
         .change = [](Host& h) { h.traffic_control[kVxlan].foreign_ingress = true; },
         .refusal = "TC filters"},
        {.what = "no underlay", .change = [](Host& h) { h.links.erase(kUplink); }, .tunnel_refusal = "is not there"},
        {.what = "the underlay is a port",
         .change = [](Host& h) { h.links[kUplink].master = kBridge; },
         .tunnel_refusal = "eth0, which is left to the kernel: it is a port of br0"},
        {.what = "the underlay is a bridge",
         .change = [](Host& h) { h.links[kUplink] = plain_bridge(kUplink, "br9"); },
         .tunnel_refusal = "br9, which is left to the kernel: it is a bridge device"},
        {.what = "the underlay has filters",
         .change = [](Host& h) { h.traffic_control[kUplink].foreign_ingress = true; },
         .tunnel_refusal = "eth0, which is left to the kernel: TC filters"},
    };
    for (const char* option : {"external", "vnifilter", "gbp", "gpe", "proxy", "rsc", "l2miss", "l3miss", "remcsumtx",
                               "remcsumrx", "nolocalbypass"})
        rows.push_back({.what = option, .change = with(option), .refusal = option});
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Host host = tunnel_host();
        row.change(host);
        const PortPlan port = vxlan_port(plan_for(host));
        expect_words(port.refusal, row.refusal);
        expect_words(port.tunnel_refusal, row.tunnel_refusal);
        expect_words(port.encap_refusal, row.encap_refusal);
        const bool taken = row.refusal.empty() && row.tunnel_refusal.empty();
        EXPECT_EQ(port.tunnel.has_value(), taken);
        EXPECT_EQ((port.record.flags & DEVICE_ENCAP) != 0, taken && row.encap_refusal.empty());
        EXPECT_EQ((port.record.flags & DEVICE_VXLAN) != 0, row.refusal.empty());
    }
}

TEST(VxlanRules, UnderlayThatCannotBeAttachedTo) {
    const Plan plan = plan_for(tunnel_host(), {"br0"}, HookChoice::automatic, {{kUplink, {Hook::tc, "no room"}}});
    EXPECT_THAT(vxlan_port(plan).tunnel_refusal, HasSubstr("no room"));
    EXPECT_FALSE(vxlan_port(plan).tunnel);
    EXPECT_EQ(plan.at(kUplink).refusal, "no room");
    EXPECT_THAT(plan.at(kUplink).witnessed(), IsEmpty());
}

TEST(VxlanRules, FlagsAndPulse) {
    Host host = tunnel_host();
    const auto flags = [&host] { return vxlan_port(plan_for(host)).record.flags; };
    EXPECT_EQ(flags() & (DEVICE_OUTER_IPV6 | DEVICE_OUTER_UNSUMMED), 0U);
    tunnel(host).ipv6 = tunnel(host).udp6_zero_csum_rx = true;
    EXPECT_EQ(flags() & (DEVICE_OUTER_IPV6 | DEVICE_OUTER_UNSUMMED), DEVICE_OUTER_IPV6 | DEVICE_OUTER_UNSUMMED);
    EXPECT_EQ(vxlan_port(plan_for(host)).tunnel->family, AF_INET6);

    const auto pulse = [&host] { return vxlan_port(plan_for(host)).record.pulse_ns; };
    tunnel(host).ageing_ms = 40000;
    EXPECT_EQ(pulse(), 10 * kSecond);
    tunnel(host).ageing_ms = 0;
    EXPECT_EQ(pulse(), 75 * kSecond) << "for ever";
    tunnel(host).ageing_ms = 4000000;
    EXPECT_EQ(pulse(), 75 * kSecond) << "the bridge forgets before";
    tunnel(host).ageing_ms = 40000;
    tunnel(host).learning = false;
    EXPECT_EQ(pulse(), 75 * kSecond);
}

// Whoever asks for XDP gets it where the packets of the tunnel come in.
TEST(VxlanRules, XdpAsked) {
    const Plan plan = plan_for(tunnel_host(), {"br0"}, HookChoice::xdp);
    EXPECT_THAT(vxlan_port(plan).refusal, IsEmpty());
    EXPECT_TRUE(plan.at(kUplink).ports.at(0).xdp);
    EXPECT_FALSE(plan_for(tunnel_host(), {"br0"}, HookChoice::tc).at(kUplink).ports.at(0).xdp);
}

TEST(VxlanRules, WantedVtep) {
    Host host = tunnel_host();
    const FdbKey one = key(1, kVxlan);
    host.vteps[one] = {*IpAddress::parse("192.0.2.2"), false};
    host.vteps[key(1, kOther)] = host.vteps[one];
    const Plan plan = plan_for(host);
    EXPECT_EQ(wanted_vtep(host, plan, one), host.vteps[one]);
    EXPECT_EQ(wanted_vtep(host, plan, key(2, kVxlan)), std::nullopt);
    EXPECT_EQ(wanted_vtep(host, plan, key(1, kOther)), std::nullopt) << "no such device";
    EXPECT_EQ(wanted_vtep(host, plan_for(host, {"eth0"}), one), std::nullopt) << "not in the plan";
    tunnel(host).learning = false;
    EXPECT_TRUE(wanted_vtep(host, plan_for(host), one)->fixed) << "nothing moves it";
    tunnel(host).options = {"gbp"};
    EXPECT_EQ(wanted_vtep(host, plan_for(host), one), std::nullopt) << "left to the kernel";
}

}  // namespace
}  // namespace underpass
