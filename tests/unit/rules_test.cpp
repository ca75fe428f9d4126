// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The rules as tables: one row takes the plain good host, changes one value, and says all that the plan becomes for
// the port eth1 (a NIC with native XDP). What a row does not name must be as on the plain host.
//
// The structured bindings fail to compile when a struct of the model grows: then a row is due.
#include "model/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "hosts.h"

namespace underpass {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint32_t kFast = DEVICE_INGRESS | DEVICE_EGRESS;
constexpr std::uint32_t kGoodFlags = DEVICE_PRESENT | kFast | DEVICE_FORWARDING | DEVICE_LEARNS;
constexpr std::uint32_t kGoodLength = 1500 + 14 + 4;
constexpr std::uint64_t kSecond = 1000000000;

struct Row {
    const char* what;
    std::function<void(Host&)> change;
    // What differs from the plain host:
    std::string bridge_refusal;  // words in it
    std::string refusal;
    std::uint32_t lost = 0;  // device flags
    std::uint32_t gained = 0;
    Hook hook = Hook::xdp;
    std::string xdp_refusal;
    bool xdp_target = true;
    std::uint32_t max_len = kGoodLength;
    std::uint64_t pulse_ns = 75 * kSecond;
};

void expect_words(const std::string& sentence, const std::string& words) {
    if (words.empty())
        EXPECT_THAT(sentence, IsEmpty());
    else
        EXPECT_THAT(sentence, HasSubstr(words));
}

void check(const std::vector<Row>& rows) {
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Host host = plain_host();
        row.change(host);
        const BridgePlan plan = plan_of(host);
        expect_words(plan.refusal, row.bridge_refusal);
        const PortPlan* port = find_port(plan, kNic);
        ASSERT_NE(port, nullptr);
        expect_words(port->refusal, row.refusal);
        const bool slow = !row.bridge_refusal.empty() || !row.refusal.empty();
        EXPECT_EQ(port->record.flags, (kGoodFlags & ~(row.lost | (slow ? kFast : 0))) | row.gained);
        EXPECT_EQ(port->hook(), row.refusal.empty() ? row.hook : Hook::kernel);
        expect_words(port->xdp_refusal, row.xdp_refusal);
        EXPECT_EQ(port->xdp_target, row.xdp_target && row.hook == Hook::xdp && row.refusal.empty());
        EXPECT_EQ(port->record.max_len, row.max_len);
        EXPECT_EQ(port->record.pulse_ns, row.pulse_ns);
        EXPECT_EQ(port->record.ifindex, number(kNic));
        EXPECT_EQ(port->record.bridge, number(kBridge));
        EXPECT_EQ(port->record.vid, 0);
        EXPECT_EQ(port->peer, std::nullopt);
    }
}

PortAttributes& port(Host& host) {
    return *host.links.at(kNic).port;
}
BridgeAttributes& bridge(Host& host) {
    return *host.links.at(kBridge).bridge;
}
Link& nic(Host& host) {
    return host.links.at(kNic);
}
DriverFacts& driver(Host& host) {
    return host.drivers.at(kNic);
}

TEST(Rules, PlainHost) {
    check({{.what = "nothing changed", .change = [](Host&) {}}});
}

TEST(Rules, EachPortAttribute) {
    [[maybe_unused]] const auto [state, hairpin, isolated, locked, mab, learning, neigh_suppress, vlan_tunnel,
                                 mrp_ring_open, mrp_in_open, backup_port, backup_nexthop, unknown] = PortAttributes{};
    constexpr std::uint32_t kBoth = DEVICE_FORWARDING | DEVICE_LEARNS;
    check({
        {.what = "disabled", .change = [](Host& h) { port(h).state = PortState::disabled; }, .lost = kBoth},
        {.what = "listening", .change = [](Host& h) { port(h).state = PortState::listening; }, .lost = kBoth},
        {.what = "learning", .change = [](Host& h) { port(h).state = PortState::learning; }, .lost = DEVICE_FORWARDING},
        {.what = "blocking", .change = [](Host& h) { port(h).state = PortState::blocking; }, .lost = kBoth},
        {.what = "hairpin: its frames are same-port, the kernel's", .change = [](Host& h) { port(h).hairpin = true; }},
        {.what = "isolated", .change = [](Host& h) { port(h).isolated = true; }, .gained = DEVICE_ISOLATED},
        {.what = "locked", .change = [](Host& h) { port(h).locked = true; }, .lost = DEVICE_LEARNS},
        {.what = "mab", .change = [](Host& h) { port(h).mab = true; }},
        {.what = "learning off", .change = [](Host& h) { port(h).learning = false; }, .lost = DEVICE_LEARNS},
        {.what = "neigh_suppress: ARP and ND are the kernel's",
         .change = [](Host& h) { port(h).neigh_suppress = true; }},
        {.what = "vlan_tunnel", .change = [](Host& h) { port(h).vlan_tunnel = true; }, .refusal = "vlan_tunnel"},
        {.what = "mrp_ring_open", .change = [](Host& h) { port(h).mrp_ring_open = true; }, .refusal = "MRP"},
        {.what = "mrp_in_open", .change = [](Host& h) { port(h).mrp_in_open = true; }, .refusal = "MRP"},
        {.what = "backup_port", .change = [](Host& h) { port(h).backup_port = kOtherNic; }, .refusal = "backup_port"},
        {.what = "backup_nhid", .change = [](Host& h) { port(h).backup_nexthop = 7; }, .refusal = "backup_nhid"},
        {.what = "unknown",
         .change =
             [](Host& h) {
                 port(h).unknown = {77, 99};
             },
         .refusal = "does not know (IFLA_BRPORT_* 77, 99)"},
    });
}

TEST(Rules, EachBridgeAttribute) {
    [[maybe_unused]] const auto [vlan_filtering, vlan_protocol, mst, local_in_vlan_0, stp, ageing_ms, forward_delay_ms,
                                 nf_call_iptables, nf_call_ip6tables, unknown] = BridgeAttributes{};
    check({
        {.what = "vlan_filtering (see vlan_rules_test)",
         .change = [](Host& h) { bridge(h).vlan_filtering = true; },
         .gained = DEVICE_VLAN_AWARE},
        {.what = "vlan_protocol without filtering", .change = [](Host& h) { bridge(h).vlan_protocol = 0x88a8; }},
        {.what = "fdb_local_vlan_0 without filtering", .change = [](Host& h) { bridge(h).local_in_vlan_0 = true; }},
        {.what = "fdb_local_vlan_0",
         .change = [](Host& h) { bridge(h).vlan_filtering = bridge(h).local_in_vlan_0 = true; },
         .bridge_refusal = "fdb_local_vlan_0",
         .gained = DEVICE_VLAN_AWARE},
        {.what = "MST", .change = [](Host& h) { bridge(h).mst = true; }, .bridge_refusal = "mst_enabled"},
        {.what = "stp: forgets after forward_delay",
         .change = [](Host& h) { bridge(h).stp = true; },
         .pulse_ns = 15 * kSecond / 4},
        {.what = "stp with ageing below forward_delay",
         .change =
             [](Host& h) {
                 bridge(h).stp = true;
                 bridge(h).ageing_ms = 10000;
             },
         .pulse_ns = 10 * kSecond / 4},
        {.what = "ageing", .change = [](Host& h) { bridge(h).ageing_ms = 100000; }, .pulse_ns = 25 * kSecond},
        {.what = "ageing 0",
         .change = [](Host& h) { bridge(h).ageing_ms = 0; },
         .bridge_refusal = "ageing_time",
         .pulse_ns = 0},
        {.what = "forward_delay means nothing without stp",
         .change = [](Host& h) { bridge(h).forward_delay_ms = 2000; }},
        {.what = "nf_call_iptables",
         .change = [](Host& h) { bridge(h).nf_call_iptables = true; },
         .gained = DEVICE_BRNF_IPV4,
         .max_len = 1514},
        {.what = "nf_call_ip6tables",
         .change = [](Host& h) { bridge(h).nf_call_ip6tables = true; },
         .gained = DEVICE_BRNF_IPV6,
         .max_len = 1514},
        {.what = "unknown",
         .change = [](Host& h) { bridge(h).unknown = {60}; },
         .bridge_refusal = "does not know (IFLA_BR_* 60)"},
    });
}

TEST(Rules, EachValueOfTheLink) {
    [[maybe_unused]] const auto [index, name, kind, arp_type, flags, carrier, address, mtu, promiscuity, allmulti,
                                 qdisc, master, lower, lower_netnsid, switchdev, xdp_program, xdp_generic,
                                 bridge_attributes, port_attributes, vlan, vxlan] = Link{};
    const auto kind_row = [](const char* of, std::string refusal, Hook hook, std::string no_xdp) {
        return Row{.what = of,
                   .change = [of](Host& h) { nic(h).kind = of; },
                   .refusal = std::move(refusal),
                   .hook = hook,
                   .xdp_refusal = std::move(no_xdp)};
    };
    const auto qdisc_row = [](const char* of, Hook hook, std::string no_xdp) {
        return Row{
            .what = of, .change = [of](Host& h) { nic(h).qdisc = of; }, .hook = hook, .xdp_refusal = std::move(no_xdp)};
    };
    check({
        {.what = "name", .change = [](Host& h) { nic(h).name = "lan"; }},
        kind_row("bond", "", Hook::tc, "a bond device runs no native XDP"),
        kind_row("vlan", "", Hook::tc, "a vlan device runs no native XDP"),
        kind_row("dummy", "", Hook::tc, "a dummy device runs no native XDP"),
        kind_row("tun", "", Hook::tc, "behind the tap"),
        kind_row("vxlan", "its VXLAN attributes are not known yet", Hook::kernel, ""),
        kind_row("macvlan", "kind macvlan", Hook::kernel, ""),
        kind_row("gretap", "kind gretap", Hook::kernel, ""),
        kind_row("team", "kind team", Hook::kernel, ""),
        {.what = "not Ethernet",
         .change = [](Host& h) { nic(h).arp_type = ARPHRD_INFINIBAND; },
         .refusal = "not an Ethernet device"},
        {.what = "down", .change = [](Host& h) { nic(h).flags &= ~unsigned{IFF_UP}; }, .lost = DEVICE_FORWARDING},
        {.what = "no carrier", .change = [](Host& h) { nic(h).carrier = false; }, .lost = DEVICE_FORWARDING},
        {.what = "address", .change = [](Host& h) { nic(h).mac = mac(1); }},
        {.what = "mtu", .change = [](Host& h) { nic(h).mtu = 9000; }, .xdp_target = false, .max_len = 9018},
        {.what = "mtu of another port", .change = [](Host& h) { h.links.at(kOtherNic).mtu = 9000; }},
        {.what = "mtu under br_netfilter: no room for a tag",
         .change =
             [](Host& h) {
                 nic(h).mtu = 9000;
                 h.netfilter.call_iptables = true;
             },
         .gained = DEVICE_BRNF_IPV4,
         .xdp_target = false,
         .max_len = 9014},
        {.what = "promiscuous port", .change = [](Host& h) { nic(h).promiscuity = 2; }},
        {.what = "promiscuous bridge",
         .change = [](Host& h) { h.links.at(kBridge).promiscuity = 1; },
         .bridge_refusal = "promiscuous"},
        {.what = "macvlan on the bridge",
         .change =
             [](Host& h) {
                 h.links[Ifindex{30}] = plain_link(Ifindex{30}, "vrrp0", "macvlan", "noqueue");
                 h.links[Ifindex{30}].lower = kBridge;
             },
         .bridge_refusal = "vrrp0 on top of it, a macvlan, has addresses of its own"},
        {.what = "macvlan on something else",
         .change =
             [](Host& h) {
                 h.links[Ifindex{30}] = plain_link(Ifindex{30}, "vrrp0", "macvlan", "noqueue");
                 h.links[Ifindex{30}].lower = Ifindex{31};
             }},
        {.what = "xdp_generic", .change = [](Host& h) { nic(h).xdp_generic = true; }},
        {.what = "allmulti", .change = [](Host& h) { nic(h).allmulti = h.links.at(kBridge).allmulti = 1; }},
        qdisc_row("noqueue", Hook::xdp, ""),
        qdisc_row("pfifo_fast", Hook::xdp, ""),
        qdisc_row("fq_codel", Hook::xdp, ""),
        qdisc_row("fq", Hook::xdp, ""),
        qdisc_row("htb", Hook::tc, "qdisc htb"),
        {.what = "lower", .change = [](Host& h) { nic(h).lower = Ifindex{3}; }},
        {.what = "lower_netnsid", .change = [](Host& h) { nic(h).lower_netnsid = 0; }},
        {.what = "switchdev", .change = [](Host& h) { nic(h).switchdev = true; }, .refusal = "hardware switch"},
        {.what = "xdp_program: whether it shares the device is found by attaching",
         .change = [](Host& h) { nic(h).xdp_program = 5; }},
        {.what = "bridge attributes absent",
         .change = [](Host& h) { h.links.at(kBridge).bridge.reset(); },
         .bridge_refusal = "not known yet"},
        {.what = "port attributes absent",
         .change = [](Host& h) { nic(h).port.reset(); },
         .refusal = "not known yet",
         .lost = DEVICE_FORWARDING | DEVICE_LEARNS,
         .max_len = 0},
    });
}

TEST(Rules, EachDriverFact) {
    [[maybe_unused]] const auto [name, native_xdp, xdp_target, xdp_frags, strips_vlan, offloads_whole, foreign_xdp,
                                 peer] = DriverFacts{};
    check({
        {.what = "another XDP program",
         .change = [](Host& h) { driver(h).foreign_xdp = true; },
         .hook = Hook::tc,
         .xdp_refusal = "another XDP program is on it, which does not share the device"},
        {.what = "driver", .change = [](Host& h) { driver(h).driver = "ixgbe"; }},
        {.what = "native_xdp false",
         .change = [](Host& h) { driver(h).native_xdp = false; },
         .hook = Hook::tc,
         .xdp_refusal = "the driver virtio_net has no native XDP"},
        {.what = "native_xdp not found out",
         .change = [](Host& h) { driver(h).native_xdp.reset(); },
         .hook = Hook::tc,
         .xdp_refusal = "no native XDP"},
        {.what = "xdp_target false", .change = [](Host& h) { driver(h).xdp_target = false; }, .xdp_target = false},
        {.what = "xdp_target true", .change = [](Host& h) { driver(h).xdp_target = true; }},
        {.what = "xdp_frags", .change = [](Host& h) { driver(h).xdp_frags = true; }, .gained = DEVICE_XDP_FRAGS},
        {.what = "xdp_frags, but not there",
         .change = [](Host& h) { driver(h).xdp_frags = true, driver(h).xdp_target = false; },
         .xdp_target = false},
        {.what = "strips_vlan",
         .change = [](Host& h) { driver(h).strips_vlan = true; },
         .hook = Hook::tc,
         .xdp_refusal = "ethtool -K eth1 rxvlan off"},
        {.what = "offloads_whole", .change = [](Host& h) { driver(h).offloads_whole = true; }},
        {.what = "peer with generic XDP",
         .change =
             [](Host& h) {
                 driver(h).peer = plain_veth(true).peer;
                 driver(h).peer->has_generic_xdp = true;
             },
         .refusal = "generic mode"},
        {.what = "strips_vlan not found out", .change = [](Host& h) { driver(h).strips_vlan.reset(); }},
        {.what = "a NIC has no peer", .change = [](Host& h) { driver(h).peer = plain_veth(true).peer; }},
        {.what = "nothing known",
         .change = [](Host& h) { h.drivers.erase(kNic); },
         .hook = Hook::tc,
         .xdp_refusal = "no native XDP"},
    });
}

TEST(Rules, EachValueOfTrafficControl) {
    [[maybe_unused]] const auto [clsact, foreign_ingress, foreign_egress] = TrafficControl{};
    check({
        {.what = "clsact", .change = [](Host& h) { h.traffic_control[kNic].clsact = true; }},
        {.what = "foreign_ingress",
         .change = [](Host& h) { h.traffic_control[kNic].foreign_ingress = true; },
         .refusal = "TC filters or programs of others see its frames (tc filter show dev eth1 ingress)"},
        {.what = "foreign_egress",
         .change = [](Host& h) { h.traffic_control[kNic].foreign_egress = true; },
         .hook = Hook::tc,
         .xdp_refusal = "other TC filters"},
        {.what = "filters on another port", .change = [](Host& h) { h.traffic_control[kTap].foreign_ingress = true; }},
    });
}

TEST(Rules, EachValueOfNetfilter) {
    [[maybe_unused]] const auto [call_iptables, call_ip6tables, filter_tagged, bridge_chains, ip_chains, tracks_ipv4,
                                 tracks_ipv6, per_packet, per_own_packet, device_chains, unknown] = Netfilter{};
    const std::string chain = "table ip filter, chain FORWARD";
    const auto with_rules = [&chain](const char* what, const std::function<void(Host&)>& call, std::uint32_t gained,
                                     const std::string& refusal = {}) {
        return Row{.what = what,
                   .change =
                       [call, chain](Host& h) {
                           call(h);
                           h.netfilter.ip_chains = {chain};
                       },
                   .bridge_refusal = refusal,
                   .gained = gained | DEVICE_RULED,
                   .max_len = 1514};
    };
    const auto tracked = [](bool found) {
        return [found](Host& h) {
            h.netfilter.call_iptables = h.netfilter.tracks_ipv4 = true;
            h.finds_connections = found;
        };
    };
    check({
        {.what = "call_iptables without rules",
         .change = [](Host& h) { h.netfilter.call_iptables = true; },
         .gained = DEVICE_BRNF_IPV4,
         .max_len = 1514},
        {.what = "call_ip6tables without rules",
         .change = [](Host& h) { h.netfilter.call_ip6tables = true; },
         .gained = DEVICE_BRNF_IPV6,
         .max_len = 1514},
        with_rules(
            "call_iptables", [](Host& h) { h.netfilter.call_iptables = true; }, DEVICE_BRNF_IPV4),
        with_rules(
            "call_ip6tables", [](Host& h) { h.netfilter.call_ip6tables = true; }, DEVICE_BRNF_IPV6),
        with_rules(
            "nf_call_iptables", [](Host& h) { bridge(h).nf_call_iptables = true; }, DEVICE_BRNF_IPV4),
        with_rules(
            "nf_call_ip6tables", [](Host& h) { bridge(h).nf_call_ip6tables = true; }, DEVICE_BRNF_IPV6),
        with_rules("connections", tracked(true), DEVICE_BRNF_IPV4),
        with_rules("connections that cannot be looked up", tracked(false), DEVICE_BRNF_IPV4, "modprobe nf_conntrack"),
        with_rules(
            "rules that see each packet",
            [](Host& h) {
                h.netfilter.call_iptables = true;
                h.netfilter.per_packet = {"limit (table ip t, chain forward)"};
            },
            DEVICE_BRNF_IPV4, "limit (table ip t, chain forward)"),
        with_rules(
            "rules and VLAN filtering", [](Host& h) { h.netfilter.call_iptables = bridge(h).vlan_filtering = true; },
            DEVICE_BRNF_IPV4 | DEVICE_VLAN_AWARE, "the bridge filters VLANs"),
        {.what = "per_own_packet", .change = [](Host& h) { h.netfilter.per_own_packet = {"limit"}; }},
        {.what = "filter_tagged without br_netfilter", .change = [](Host& h) { h.netfilter.filter_tagged = true; }},
        {.what = "filter_tagged",
         .change =
             [](Host& h) {
                 h.netfilter.filter_tagged = true;
                 h.netfilter.call_iptables = true;
             },
         .bridge_refusal = "bridge-nf-filter-",
         .gained = DEVICE_BRNF_IPV4,
         .max_len = 1514},
        {.what = "bridge_chains",
         .change =
             [](Host& h) {
                 h.netfilter.bridge_chains = {"table bridge filter, chain forward", "ebtables nat"};
             },
         .bridge_refusal = "table bridge filter, chain forward; ebtables nat"},
        {.what = "ip_chains do not see bridged frames",
         .change = [&chain](Host& h) { h.netfilter.ip_chains = {chain}; }},
        {.what = "device_chains",
         .change = [](Host& h) { h.netfilter.device_chains["eth1"] = "table netdev t, chain c"; },
         .refusal = "table netdev t, chain c"},
        {.what = "device_chains of another port",
         .change = [](Host& h) { h.netfilter.device_chains["eth2"] = "table netdev t, chain c"; }},
        {.what = "unknown",
         .change = [](Host& h) { h.netfilter.unknown = "Operation not permitted"; },
         .bridge_refusal = "Operation not permitted"},
    });
}

TEST(Rules, EachOtherValueOfTheHost) {
    [[maybe_unused]] const auto [links, fdb, vteps, vlans, vlan_uppers, drivers, traffic_control, netfilter,
                                 finds_connections, forwards, vlan_devices] = Host{};
    check({
        {.what = "forwards", .change = [](Host& h) { h.forwards = true; }, .gained = DEVICE_ROUTED},
        {.what = "vlan_devices", .change = [](Host& h) { h.vlan_devices = true; }, .gained = DEVICE_VLAN_UPPERS},
        {.what = "FDB", .change = [](Host& h) { h.fdb[key(1)] = {.port = kNic}; }},
    });
}

// A refused port is still a port: sources are watched there, and nothing else of the bridge changes.
TEST(Rules, RefusedPortLeavesTheOthersAsTheyAre) {
    Host host = plain_host();
    const BridgePlan before = plan_of(host);
    port(host).vlan_tunnel = true;
    const BridgePlan after = plan_of(host);
    ASSERT_EQ(before.ports.size(), after.ports.size());
    for (std::size_t i = 0; i < before.ports.size(); i++) {
        if (before.ports[i].index == kNic) continue;
        EXPECT_EQ(before.ports[i].hook(), after.ports[i].hook());
        EXPECT_EQ(before.ports[i].refusal, after.ports[i].refusal);
        EXPECT_EQ(before.ports[i].record.flags, after.ports[i].record.flags);
    }
}

TEST(Rules, PortsAreThoseOfTheBridgeInOrder) {
    Host host = plain_host();
    host.links.at(kTap).master.reset();
    host.links.at(kOtherNic).master = Ifindex{99};
    std::vector<Ifindex> ports;
    for (const PortPlan& one : plan_of(host).ports) ports.push_back(one.index);
    EXPECT_EQ(ports, (std::vector{kNic, kThirdNic, kContainer, kWire}));
}

struct HookRow {
    const char* what;
    std::function<void(Host&)> change;
    Ifindex port;
    Hook automatic;
    Hook tc;
    Hook xdp;
    std::string says;  // in the refusal of XDP, or else in the cost
    bool peer = false;
    bool xdp_target = false;
};

TEST(Rules, HookOfEachDevice) {
    const auto nothing = [](Host&) {};
    const auto wire = [](auto change) { return [change](Host& h) { change(h.drivers.at(kWire)); }; };
    const std::vector<HookRow> rows = {
        {"NIC", nothing, kNic, Hook::xdp, Hook::tc, Hook::xdp, "", false, true},
        {"container", nothing, kContainer, Hook::tc, Hook::tc, Hook::kernel, "lose its unfinished checksums", true},
        {"tap", nothing, kTap, Hook::tc, Hook::tc, Hook::kernel, "behind the tap"},
        {"wire", nothing, kWire, Hook::xdp, Hook::tc, Hook::xdp, "TSO and GSO stay off", false, true},
        {"wire to an end without NAPI", wire([](DriverFacts& facts) { facts.xdp_target = false; }), kWire, Hook::xdp,
         Hook::tc, Hook::xdp, "frames to it go by TC"},
        {"wire to an end nobody asked", wire([](DriverFacts& facts) { facts.xdp_target.reset(); }), kWire, Hook::xdp,
         Hook::tc, Hook::xdp, "frames to it go by TC"},
        {"wire with frames of a page", [](Host& h) { h.links.at(kWire).mtu = 3400; }, kWire, Hook::xdp, Hook::tc,
         Hook::xdp, "TSO and GSO stay off", false, true},
        {"wire with longer ones", [](Host& h) { h.links.at(kWire).mtu = 3401; }, kWire, Hook::xdp, Hook::tc, Hook::xdp,
         "frames to it go by TC, since its MTU lets them be longer"},
        {"wire with longer ones that it takes",
         [](Host& h) {
             h.links.at(kWire).mtu = 9000;
             h.drivers.at(kWire).xdp_frags = true;
         },
         kWire, Hook::xdp, Hook::tc, Hook::xdp, "", false, true},
        {"NIC with frames of several buffers", [](Host& h) { h.links.at(kNic).mtu = 1501; }, kNic, Hook::xdp, Hook::tc,
         Hook::xdp, "frames to it go by TC, since its MTU lets them be longer"},
        {"NIC, as all others, with frames of several buffers",
         [](Host& h) {
             for (auto& [index, link] : h.links) link.mtu = 9000;
         },
         kNic, Hook::tc, Hook::tc, Hook::xdp, "their MTU lets frames be longer"},
        {"wire that keeps tags beside the bytes", wire([](DriverFacts& facts) { facts.peer->vlan_offload = true; }),
         kWire, Hook::tc, Hook::tc, Hook::kernel, "txvlan off"},
        {"wire whose end cannot be seen", wire([](DriverFacts& facts) { facts.peer.reset(); }), kWire, Hook::tc,
         Hook::tc, Hook::kernel, "cannot be looked at"},
        {"wire with segmentation only", wire([](DriverFacts& facts) { facts.peer->segmentation_offload = true; }),
         kWire, Hook::xdp, Hook::tc, Hook::xdp, "", false, true},
    };
    for (const HookRow& row : rows) {
        SCOPED_TRACE(row.what);
        Host host = plain_host();
        row.change(host);
        const BridgePlan automatic = plan_of(host);
        const BridgePlan tc = plan_of(host, HookChoice::tc);
        const BridgePlan xdp = plan_of(host, HookChoice::xdp);
        EXPECT_EQ(find_port(automatic, row.port)->hook(), row.automatic);
        EXPECT_EQ(find_port(tc, row.port)->hook(), row.tc);
        EXPECT_EQ(find_port(xdp, row.port)->hook(), row.xdp);
        const PortPlan& port = *find_port(automatic, row.port);
        EXPECT_THAT(row.automatic == Hook::xdp ? port.cost : port.xdp_refusal, HasSubstr(row.says));
        EXPECT_EQ(port.peer, row.peer ? std::optional(kContainerMac) : std::nullopt);
        EXPECT_EQ(port.xdp_target, row.xdp_target);
        EXPECT_FALSE(find_port(tc, row.port)->xdp_target);
        if (row.xdp == Hook::kernel) {
            EXPECT_THAT(find_port(xdp, row.port)->refusal, HasSubstr(row.says));
            EXPECT_EQ(find_port(xdp, row.port)->record.flags & kFast, 0U);
        }
    }
}

TEST(Rules, XdpNeedsASecondPort) {
    Host host = plain_host();
    host.links.erase(kOtherNic);
    host.links.erase(kThirdNic);
    EXPECT_EQ(find_port(plan_of(host), kNic)->hook(), Hook::xdp);
    host.links.erase(kWire);
    const BridgePlan plan = plan_of(host);
    EXPECT_EQ(find_port(plan, kNic)->hook(), Hook::tc);
    EXPECT_THAT(find_port(plan, kNic)->xdp_refusal, HasSubstr("no other port"));
    // Whoever asks for it by name gets it.
    EXPECT_EQ(find_port(plan_of(host, HookChoice::xdp), kNic)->hook(), Hook::xdp);
}

// Where no port takes frames by XDP, all would pay for it and none would gain. One that does takes them by its program.
TEST(Rules, XdpNeedsAPortThatTakesItsFrames) {
    const auto hooks = [](const std::map<Ifindex, bool>& targets, HookChoice choice) {
        Host host = plain_host();
        for (const Ifindex other : {kOtherNic, kThirdNic}) host.links.erase(other);
        for (const auto& [index, target] : targets) host.drivers.at(index).xdp_target = target;
        const BridgePlan plan = plan_bridge(host, host.links.at(kBridge), choice, {});
        return std::map<Ifindex, Hook>{{kNic, find_port(plan, kNic)->hook()}, {kWire, find_port(plan, kWire)->hook()}};
    };
    using Hooks = std::map<Ifindex, Hook>;
    EXPECT_EQ(hooks({{kNic, true}, {kWire, true}}, HookChoice::automatic),
              (Hooks{{kNic, Hook::xdp}, {kWire, Hook::xdp}}));
    EXPECT_EQ(hooks({{kNic, true}, {kWire, false}}, HookChoice::automatic),
              (Hooks{{kNic, Hook::xdp}, {kWire, Hook::xdp}}));
    EXPECT_EQ(hooks({{kNic, false}, {kWire, false}}, HookChoice::automatic),
              (Hooks{{kNic, Hook::tc}, {kWire, Hook::tc}}));
    EXPECT_EQ(hooks({{kNic, false}, {kWire, false}}, HookChoice::xdp), (Hooks{{kNic, Hook::xdp}, {kWire, Hook::xdp}}));
}

// "Fast" is not said of a bridge where no frame is.
TEST(Rules, BridgeWhosePortsAreAllLeftIsLeft) {
    Host host = plain_host();
    for (auto& [index, link] : host.links)
        if (link.port) link.port->vlan_tunnel = true;
    EXPECT_THAT(plan_of(host).refusal, HasSubstr("no port of it can go fast"));
    std::erase_if(host.links, [](const auto& entry) { return entry.second.port.has_value(); });
    EXPECT_THAT(plan_of(host).refusal, IsEmpty()) << "ports may come";
}

TEST(Rules, BridgesThatAreWaitedFor) {
    const Host host = plain_host();
    const auto tc = HookChoice::tc;
    const auto waiting = waited_for(host, {.bridges = {{"br0", tc}, {"br9", tc}, {"eth1", tc}}});
    ASSERT_EQ(waiting.size(), 2U);
    EXPECT_THAT(waiting.at("br9"), HasSubstr("no device br9"));
    EXPECT_THAT(waiting.at("eth1"), HasSubstr("a port of br0"));
    EXPECT_THROW(require_bridge(host, "eth1"), std::runtime_error);
    EXPECT_EQ(require_bridge(host, "br0").index, kBridge);
}

TEST(Rules, WhatTheKernelRefusedToAttach) {
    const Host host = plain_host();
    const BridgePlan without_xdp = plan_of(host, HookChoice::automatic, {{kNic, {Hook::xdp, "attach xdp: busy"}}});
    EXPECT_EQ(find_port(without_xdp, kNic)->hook(), Hook::tc);
    EXPECT_EQ(find_port(without_xdp, kNic)->xdp_refusal, "attach xdp: busy");
    EXPECT_EQ(find_port(without_xdp, kNic)->record.flags, kGoodFlags);
    EXPECT_EQ(find_port(without_xdp, kOtherNic)->hook(), Hook::xdp);

    const BridgePlan without_tc = plan_of(host, HookChoice::automatic, {{kNic, {Hook::tc, "attach tc: busy"}}});
    EXPECT_EQ(find_port(without_tc, kNic)->hook(), Hook::kernel);
    EXPECT_EQ(find_port(without_tc, kNic)->refusal, "attach tc: busy");
    EXPECT_EQ(find_port(without_tc, kNic)->record.flags, kGoodFlags & ~kFast);

    const BridgePlan asked_for = plan_of(host, HookChoice::xdp, {{kNic, {Hook::xdp, "attach xdp: busy"}}});
    EXPECT_EQ(find_port(asked_for, kNic)->refusal, "no XDP here: attach xdp: busy");
}

struct PeerRow {
    const char* what;
    std::function<void(Host&)> change;
    bool peer = false;
    std::uint32_t max_len = kGoodLength;
};

TEST(Rules, RedirectIntoTheContainer) {
    [[maybe_unused]] const auto [address, mtu, up, has_xdp, has_generic_xdp, gro, checksum_offload,
                                 segmentation_offload, vlan_offload] = DriverFacts::Peer{};
    const auto peer = [](auto change) { return [change](Host& h) { change(*h.drivers.at(kContainer).peer); }; };
    const auto link = [](auto change) { return [change](Host& h) { change(h.links.at(kContainer)); }; };
    const std::vector<PeerRow> rows = {
        {"nothing changed", [](Host&) {}, true},
        {"peer down", peer([](auto& p) { p.up = false; })},
        {"peer runs XDP", peer([](auto& p) { p.has_xdp = true; })},
        {"peer without GRO", peer([](auto& p) { p.gro = false; }), true},
        {"smaller MTU of the peer", peer([](auto& p) { p.mtu = 1400; }), true, 1418},
        {"larger MTU of the peer", peer([](auto& p) { p.mtu = 9000; }), true},
        {"smaller MTU of a peer that frames reach through its queue", peer([](auto& p) {
             p.mtu = 1400;
             p.up = false;
         })},
        {"peer not looked at", [](Host& h) { h.drivers.at(kContainer).peer.reset(); }},
        {"peer in this namespace", link([](Link& l) { l.lower_netnsid.reset(); })},
        {"peer in a namespace without id", link([](Link& l) { l.lower_netnsid = -1; })},
        {"qdisc on the port", link([](Link& l) { l.qdisc = "tbf"; })},
        {"default qdisc that queues", link([](Link& l) { l.qdisc = "fq_codel"; })},
        {"egress filter on the port", [](Host& h) { h.traffic_control[kContainer].foreign_egress = true; }},
        {"a capture on the port", link([](Link& l) { l.promiscuity = 2; })},
        {"offloads of the port are off", [](Host& h) { h.drivers.at(kContainer).offloads_whole = false; }},
        {"offloads of the port are not found out", [](Host& h) { h.drivers.at(kContainer).offloads_whole.reset(); }},
    };
    for (const PeerRow& row : rows) {
        SCOPED_TRACE(row.what);
        Host host = plain_host();
        row.change(host);
        const BridgePlan plan = plan_of(host);
        const PortPlan& port = *find_port(plan, kContainer);
        EXPECT_EQ(port.peer, row.peer ? std::optional(kContainerMac) : std::nullopt);
        EXPECT_EQ(port.record.max_len, row.max_len);
        EXPECT_EQ(port.hook(), Hook::tc);
        EXPECT_EQ(port.record.flags, kGoodFlags);
    }
    Host host = plain_host();
    host.links.at(kContainer).port->vlan_tunnel = true;
    EXPECT_EQ(find_port(plan_of(host), kContainer)->peer, std::nullopt) << "a refused port has no peer";
}

TEST(Rules, Selection) {
    Host host = plain_host();
    host.links[Ifindex{20}] = plain_bridge(Ifindex{20}, "br1");
    host.links[Ifindex{21}] = plain_bridge(Ifindex{21}, "br2");
    const auto chosen = [&host](const Selection& selection) {
        std::map<std::string, HookChoice> result;
        for (const auto& [index, plan] : make_plan(host, selection, {})) {
            EXPECT_EQ(index, plan.index);
            result[plan.name] = plan.choice;
        }
        return result;
    };
    using Choices = std::map<std::string, HookChoice>;
    constexpr auto kAutomatic = HookChoice::automatic;
    constexpr auto kTc = HookChoice::tc;
    constexpr auto kXdp = HookChoice::xdp;
    EXPECT_EQ(chosen({}), Choices{});
    EXPECT_EQ(chosen({.bridges = {{"br1", kXdp}}}), (Choices{{"br1", kXdp}}));
    EXPECT_EQ(chosen({.bridges = {{"br9", kXdp}}}), Choices{});
    EXPECT_EQ(chosen({.bridges = {{"eth1", kXdp}}}), Choices{}) << "not a bridge";
    EXPECT_EQ(chosen({.all = kTc}), (Choices{{"br0", kTc}, {"br1", kTc}, {"br2", kTc}}));
    EXPECT_EQ(chosen({.all = kAutomatic, .except = {"br1"}}), (Choices{{"br0", kAutomatic}, {"br2", kAutomatic}}));
    EXPECT_EQ(chosen({.all = kAutomatic, .bridges = {{"br1", kXdp}}}),
              (Choices{{"br0", kAutomatic}, {"br1", kXdp}, {"br2", kAutomatic}}));
    EXPECT_EQ(chosen({.all = kAutomatic, .bridges = {{"br1", kXdp}}, .except = {"br1", "br2"}}),
              (Choices{{"br0", kAutomatic}, {"br1", kXdp}}))
        << "what is named counts more than what is excepted";
    EXPECT_EQ(chosen({.except = {"br1"}}), Choices{});

    EXPECT_TRUE(Selection{}.empty());
    EXPECT_TRUE((Selection{.except = {"br1"}}.empty()));
    EXPECT_FALSE((Selection{.all = kTc}.empty()));
    EXPECT_FALSE((Selection{.bridges = {{"br1", kTc}}}.empty()));
}

struct FdbRow {
    const char* what;
    std::function<void(FdbRecord&)> change;
    std::optional<FdbWanted> wanted;
};

TEST(Rules, WantedFdb) {
    [[maybe_unused]] const auto [port, local, is_static, sticky, locked, offloaded] = FdbRecord{};
    const std::vector<FdbRow> rows = {
        {"learned", [](FdbRecord&) {}, FdbWanted{kNic, 0}},
        {"local on a port", [](FdbRecord& r) { r.local = true; }, FdbWanted{kNic, FDB_LOCAL}},
        {"local on the bridge",
         [](FdbRecord& r) {
             r.local = true;
             r.port = Ifindex::none;
         },
         FdbWanted{Ifindex::none, FDB_LOCAL}},
        {"static: the kernel moves it all the same", [](FdbRecord& r) { r.is_static = true; }, FdbWanted{kNic, 0}},
        {"sticky", [](FdbRecord& r) { r.sticky = true; }, FdbWanted{kNic, FDB_STICKY}},
        {"locked", [](FdbRecord& r) { r.locked = true; }, std::nullopt},
        {"locked and local", [](FdbRecord& r) { r.locked = r.local = true; }, std::nullopt},
        {"offloaded", [](FdbRecord& r) { r.offloaded = true; }, FdbWanted{kNic, 0}},
        {"no port, not local", [](FdbRecord& r) { r.port = Ifindex::none; }, std::nullopt},
        {"port of no bridge", [](FdbRecord& r) { r.port = Ifindex{77}; }, std::nullopt},
        {"at a port with a peer, address of another", [](FdbRecord& r) { r.port = kContainer; },
         FdbWanted{kContainer, 0}},
    };
    for (const FdbRow& row : rows) {
        SCOPED_TRACE(row.what);
        Host host = plain_host();
        FdbRecord record{.port = kNic};
        row.change(record);
        host.fdb[key(1)] = record;
        const Plan plan = make_plan(host, {.all = HookChoice::automatic}, {});
        EXPECT_EQ(wanted_fdb(host, plan, key(1)), row.wanted);
        EXPECT_EQ(wanted_fdb(host, plan, key(2)), std::nullopt);
        EXPECT_EQ(wanted_fdb(host, {}, key(1)), std::nullopt) << "a bridge that nobody asked for";
        FdbKey of_a_vlan = key(1);
        of_a_vlan.vid = Vid{1};
        host.fdb[of_a_vlan] = record;
        EXPECT_EQ(wanted_fdb(host, plan, of_a_vlan), std::nullopt) << "nobody looks there without VLAN filtering";
    }
}

TEST(Rules, WantedFdbOfTheContainerItself) {
    Host host = plain_host();
    const FdbKey container{kBridge, Vid::none, kContainerMac};
    const auto wanted = [&host, &container] {
        return wanted_fdb(host, make_plan(host, {.all = HookChoice::automatic}, {}), container);
    };
    host.fdb[container] = {.port = kContainer};
    EXPECT_EQ(wanted(), (FdbWanted{kContainer, FDB_PEER}));
    host.fdb[container].sticky = true;
    EXPECT_EQ(wanted(), (FdbWanted{kContainer, FDB_PEER | FDB_STICKY}));
    host.fdb[container].port = kNic;
    EXPECT_EQ(wanted(), (FdbWanted{kNic, FDB_STICKY})) << "it was seen elsewhere";
    host.fdb[container] = {.port = kContainer};
    host.drivers.at(kContainer).peer->up = false;
    EXPECT_EQ(wanted(), (FdbWanted{kContainer, 0}));
}

}  // namespace
}  // namespace underpass
