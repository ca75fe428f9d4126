// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The mirror: what each event does to the model, and which of it has to be judged again.
#include "sync/mirror.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "hosts.h"

namespace underpass {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A mirror that has read `host` by a dump, as at the start, with nothing left to judge.
Mirror mirror_of(const Host& host) {
    Mirror mirror;
    mirror.begin_resync();
    for (const auto& [index, link] : host.links) mirror.apply(LinkChanged{link});
    for (const auto& [key, record] : host.fdb) mirror.apply(FdbChanged{key, record});
    mirror.finish_resync();
    mirror.host().drivers = host.drivers;
    mirror.host().traffic_control = host.traffic_control;
    mirror.host().vlans = host.vlans;
    mirror.host().vlan_uppers = host.vlan_uppers;
    mirror.take_dirty();
    return mirror;
}

Host host_with_fdb() {
    Host host = plain_host();
    for (std::uint32_t i = 1; i <= 4; i++) host.fdb[key(i)] = {.port = i % 2 == 0 ? kNic : kTap};
    return host;
}

void expect_clean(const Dirty& dirty) {
    EXPECT_FALSE(dirty.plan);
    EXPECT_FALSE(dirty.ruleset);
    EXPECT_THAT(dirty.probe, IsEmpty());
    EXPECT_THAT(dirty.traffic_control, IsEmpty());
    EXPECT_THAT(dirty.vlans, IsEmpty());
    EXPECT_THAT(dirty.fdb, IsEmpty());
}

constexpr Ifindex kOtherBridge{20};
constexpr Ifindex kVlanDevice{30};

// Two bridges; what was read of the VLANs of two of the first one's ports.
Host host_with_vlans() {
    Host host = plain_host();
    host.links[kOtherBridge] = plain_bridge(kOtherBridge, "br1");
    for (const Ifindex port : {kNic, kTap}) {
        host.vlans[port] = {.pvid = Vid{1}, .ranges = {{.first = 1, .last = 1, .untagged = true}}};
        host.vlan_uppers[port] = {Vid{7}};
    }
    return host;
}

void expect_forgotten(const Mirror& mirror, Ifindex port) {
    EXPECT_FALSE(mirror.host().vlans.contains(port));
    EXPECT_FALSE(mirror.host().vlan_uppers.contains(port));
    EXPECT_TRUE(mirror.host().vlans.contains(kTap));
    EXPECT_TRUE(mirror.host().vlan_uppers.contains(kTap));
}

// The bridge, and all its ports.
const auto kAll = testing::ElementsAre(kBridge, kNic, kOtherNic, kThirdNic, kContainer, kTap, kWire);

struct LinkRow {
    const char* what;
    void (*change)(Link&);
    bool probe;
    bool traffic_control;
    bool routing = false;
};

// What else hangs on each value of a link: all of them are judged, few ask the system again.
const std::vector<LinkRow> kLinkRows = {
    {"mtu", [](Link& l) { l.mtu = 9000; }, false, false},
    {"address", [](Link& l) { l.mac = mac(1); }, false, false},
    {"carrier", [](Link& l) { l.carrier = false; }, false, false},
    {"promiscuity", [](Link& l) { l.promiscuity = 2; }, false, false},
    {"name", [](Link& l) { l.name = "lan"; }, false, false, true},
    {"flags", [](Link& l) { l.flags &= ~unsigned{IFF_UP}; }, true, false},
    {"lower", [](Link& l) { l.lower = Ifindex{50}; }, true, false},
    {"lower_netnsid", [](Link& l) { l.lower_netnsid = 3; }, true, false},
    {"xdp_program", [](Link& l) { l.xdp_program = 9; }, true, false},
    {"qdisc", [](Link& l) { l.qdisc = "htb"; }, false, true},
    {"master", [](Link& l) { l.master = Ifindex{99}; }, true, true, true},
    {"port attribute", [](Link& l) { l.port->isolated = true; }, false, false},
};

TEST(Mirror, LinkChanges) {
    for (const LinkRow& row : kLinkRows) {
        SCOPED_TRACE(row.what);
        Mirror mirror = mirror_of(plain_host());
        Link link = mirror.host().links.at(kNic);
        mirror.apply(LinkChanged{link});
        expect_clean(mirror.take_dirty());
        row.change(link);
        mirror.apply(LinkChanged{link});
        EXPECT_EQ(mirror.host().links.at(kNic), link);
        EXPECT_EQ(mirror.routes_otherwise(), row.routing);
        const Dirty dirty = mirror.take_dirty();
        EXPECT_TRUE(dirty.plan);
        EXPECT_EQ(dirty.probe.contains(kNic), row.probe);
        EXPECT_EQ(dirty.traffic_control.contains(kNic), row.traffic_control);
        EXPECT_LE(dirty.probe.size(), 1U);
        EXPECT_LE(dirty.traffic_control.size(), 1U);
        EXPECT_FALSE(dirty.ruleset);
        // Rules go by what it is in, and by its name.
        EXPECT_EQ(dirty.routing, row.routing);
        EXPECT_THAT(dirty.vlans, IsEmpty());
        EXPECT_THAT(dirty.fdb, IsEmpty());
        expect_clean(mirror.take_dirty());
    }
}

TEST(Mirror, NewLinkIsAskedForEverything) {
    Mirror mirror = mirror_of(plain_host());
    mirror.apply(LinkChanged{plain_port(Ifindex{30}, "eth9", "", "mq")});
    const Dirty dirty = mirror.take_dirty();
    EXPECT_TRUE(dirty.plan);
    EXPECT_THAT(dirty.probe, ElementsAre(Ifindex{30}));
    EXPECT_THAT(dirty.traffic_control, ElementsAre(Ifindex{30}));
    EXPECT_THAT(dirty.vlans, ElementsAre(Ifindex{30}));
}

TEST(Mirror, LinkWithoutPortAttributesKeepsThem) {
    Mirror mirror = mirror_of(plain_host());
    Link link = mirror.host().links.at(kNic);
    PortAttributes attributes = *link.port;
    attributes.isolated = true;
    mirror.apply(PortChanged{kNic, kBridge, link.flags, attributes});
    mirror.take_dirty();

    link.port.reset();
    mirror.apply(LinkChanged{link});
    EXPECT_EQ(mirror.host().links.at(kNic).port, attributes);
    expect_clean(mirror.take_dirty());
    link.mtu = 9000;
    mirror.apply(LinkChanged{link});
    EXPECT_EQ(mirror.host().links.at(kNic).port, attributes);
    EXPECT_EQ(mirror.host().links.at(kNic).mtu, 9000U);

    // Of another bridge, or of none, they say nothing.
    Link moved = link;
    moved.master = Ifindex{99};
    mirror.apply(LinkChanged{moved});
    EXPECT_EQ(mirror.host().links.at(kNic).port, std::nullopt);
    mirror.apply(PortChanged{kNic, Ifindex{99}, link.flags, attributes});
    moved.master.reset();
    mirror.apply(LinkChanged{moved});
    EXPECT_EQ(mirror.host().links.at(kNic).port, std::nullopt);
}

TEST(Mirror, LinkGoneTakesWhatWasAskedWithIt) {
    Host host = plain_host();
    host.traffic_control[kNic].foreign_ingress = true;
    Mirror mirror = mirror_of(host);
    mirror.apply(LinkGone{kNic});
    EXPECT_TRUE(mirror.take_dirty().plan);
    EXPECT_FALSE(mirror.host().links.contains(kNic));
    EXPECT_FALSE(mirror.host().drivers.contains(kNic));
    EXPECT_FALSE(mirror.host().traffic_control.contains(kNic));
    EXPECT_TRUE(mirror.host().drivers.contains(kTap));
    mirror.apply(LinkGone{kNic});
    expect_clean(mirror.take_dirty());
}

TEST(Mirror, PortChanges) {
    Mirror mirror = mirror_of(plain_host());
    const Link before = mirror.host().links.at(kNic);
    PortAttributes attributes = *before.port;
    mirror.apply(PortChanged{kNic, kBridge, before.flags, attributes});
    expect_clean(mirror.take_dirty());

    attributes.state = PortState::blocking;
    mirror.apply(PortChanged{kNic, kBridge, before.flags, attributes});
    Link expected = before;
    expected.port = attributes;
    EXPECT_EQ(mirror.host().links.at(kNic), expected);
    Dirty dirty = mirror.take_dirty();
    EXPECT_TRUE(dirty.plan);
    EXPECT_THAT(dirty.probe, IsEmpty());

    // Whichever of a device's two messages comes first, its driver is asked when it goes down.
    mirror.apply(PortChanged{kNic, kBridge, before.flags & ~unsigned{IFF_UP}, attributes});
    expected.flags &= ~unsigned{IFF_UP};
    EXPECT_EQ(mirror.host().links.at(kNic), expected);
    dirty = mirror.take_dirty();
    EXPECT_TRUE(dirty.plan);
    EXPECT_THAT(dirty.probe, ElementsAre(kNic));

    mirror.apply(PortChanged{kNic, Ifindex{99}, expected.flags, attributes});
    EXPECT_EQ(mirror.host().links.at(kNic).master, Ifindex{99});
    dirty = mirror.take_dirty();
    EXPECT_THAT(dirty.probe, ElementsAre(kNic));
    EXPECT_THAT(dirty.traffic_control, ElementsAre(kNic));

    mirror.apply(PortChanged{Ifindex{77}, kBridge, before.flags, attributes});
    EXPECT_FALSE(mirror.host().links.contains(Ifindex{77}));
    expect_clean(mirror.take_dirty());
}

TEST(Mirror, PortGone) {
    Mirror mirror = mirror_of(plain_host());
    Link expected = mirror.host().links.at(kNic);
    expected.master.reset();
    expected.port.reset();
    mirror.apply(PortGone{kNic});
    EXPECT_EQ(mirror.host().links.at(kNic), expected);
    EXPECT_TRUE(mirror.take_dirty().plan);
    mirror.apply(PortGone{kNic});
    mirror.apply(PortGone{Ifindex{77}});
    expect_clean(mirror.take_dirty());
}

// A device that joins, moves or leaves, told of by its own message, by its bridge's, or by both.
TEST(Mirror, WhatRulesSawElsewhere) {
    struct Row {
        const char* what;
        bool up;
        std::optional<Ifindex> before, now;
        bool routing;
    };
    const std::vector<Row> rows = {
        {"a container that starts joins", false, std::nullopt, kBridge, false},
        {"one that was up joins", true, std::nullopt, kBridge, true},
        {"it moves", true, kBridge, kOtherBridge, true},
        {"it moves while it is down", false, kBridge, kOtherBridge, true},
        {"it leaves", true, kBridge, std::nullopt, true},
        {"it leaves while it is down", false, kBridge, std::nullopt, true},
        {"it stays", true, kBridge, kBridge, false},
    };
    for (const Row& row : rows) {
        for (const bool by_link : {false, true}) {
            SCOPED_TRACE(row.what);
            Host host = plain_host();
            host.links[kOtherBridge] = plain_bridge(kOtherBridge, "br1");
            Link& link = host.links[kNic];
            if (!row.up) link.flags &= ~unsigned{IFF_UP};
            link.master = row.before;
            Mirror mirror = mirror_of(host);
            Link moved = link;
            moved.master = row.now;
            if (by_link)
                mirror.apply(LinkChanged{moved});
            else if (row.now)
                mirror.apply(PortChanged{kNic, *row.now, link.flags, *link.port});
            else
                mirror.apply(PortGone{kNic});
            EXPECT_EQ(mirror.take_dirty().routing, row.routing) << by_link;
            EXPECT_EQ(mirror.host().links.at(kNic).master, row.now);
        }
    }
}

TEST(Mirror, FdbChanges) {
    Mirror mirror = mirror_of(host_with_fdb());
    mirror.apply(FdbChanged{key(1), {.port = kTap}});
    expect_clean(mirror.take_dirty());

    mirror.apply(FdbChanged{key(1), {.port = kNic}});
    mirror.apply(FdbChanged{key(9), {.port = kNic}});
    mirror.apply(FdbGone{key(2)});
    mirror.apply(FdbGone{key(8)});
    EXPECT_EQ(mirror.host().fdb.at(key(1)).port, kNic);
    EXPECT_TRUE(mirror.host().fdb.contains(key(9)));
    EXPECT_FALSE(mirror.host().fdb.contains(key(2)));
    const Dirty dirty = mirror.take_dirty();
    EXPECT_THAT(dirty.fdb, ElementsAre(key(1), key(2), key(9)));
    EXPECT_FALSE(dirty.plan) << "addresses do not change what devices may do";
}

constexpr Ifindex kVxlan{40}, kUplink{41};

Host host_with_tunnel() {
    Host host = plain_host();
    host.links[kUplink] = plain_link(kUplink, "eth0", "", "mq");
    host.links[kVxlan] = plain_port(kVxlan, "vxlan7", "vxlan", "noqueue");
    host.links[kVxlan].vxlan.emplace().lower = kUplink;
    return host;
}

VtepRecord at(const char* address) {
    return {*IpAddress::parse(address), false};
}

TEST(Mirror, Vteps) {
    Mirror mirror = mirror_of(host_with_tunnel());
    mirror.apply(VtepChanged{key(1, kVxlan), at("192.0.2.2")});
    mirror.apply(VtepChanged{key(2, kVxlan), at("192.0.2.2")});
    Dirty dirty = mirror.take_dirty();
    EXPECT_THAT(dirty.vteps, ElementsAre(key(1, kVxlan), key(2, kVxlan)));
    EXPECT_THAT(dirty.fdb, IsEmpty());
    EXPECT_FALSE(dirty.plan);

    mirror.apply(VtepChanged{key(1, kVxlan), at("192.0.2.2")});
    mirror.apply(VtepGone{key(9, kVxlan)});
    EXPECT_THAT(mirror.take_dirty().vteps, IsEmpty());
    mirror.apply(VtepChanged{key(1, kVxlan), at("192.0.2.3")});
    mirror.apply(VtepGone{key(2, kVxlan)});
    EXPECT_THAT(mirror.take_dirty().vteps, ElementsAre(key(1, kVxlan), key(2, kVxlan)));
    EXPECT_EQ(mirror.host().vteps.at(key(1, kVxlan)), at("192.0.2.3"));
    EXPECT_FALSE(mirror.host().vteps.contains(key(2, kVxlan)));

    // A dump that has one as it was, and one that no event told of.
    mirror.begin_resync();
    for (const auto& [index, link] : host_with_tunnel().links) mirror.apply(LinkChanged{link});
    mirror.apply(VtepChanged{key(1, kVxlan), at("192.0.2.3")});
    mirror.apply(VtepChanged{key(3, kVxlan), at("192.0.2.3")});
    mirror.finish_resync();
    EXPECT_THAT(mirror.take_dirty().vteps, ElementsAre(key(3, kVxlan)));

    mirror.apply(LinkGone{kVxlan});
    EXPECT_THAT(mirror.host().vteps, IsEmpty());
    EXPECT_THAT(mirror.take_dirty().vteps, ElementsAre(key(1, kVxlan), key(3, kVxlan)));
}

// What the packets of a tunnel look like has to be seen anew.
TEST(Mirror, TunnelChanges) {
    struct Row {
        const char* what;
        void (*change)(Host&);
        bool routing;
    };
    const std::vector<Row> rows = {
        {"an attribute", [](Host& h) { h.links[kVxlan].vxlan->ttl = 9; }, true},
        {"the underlay's address", [](Host& h) { h.links[kUplink].mac = mac(1); }, true},
        {"its MTU", [](Host& h) { h.links[kUplink].mtu = 9000; }, true},
        {"it goes down", [](Host& h) { h.links[kUplink].flags &= ~unsigned{IFF_UP}; }, true},
        {"its promiscuity", [](Host& h) { h.links[kUplink].promiscuity = 1; }, false},
        {"another device's address", [](Host& h) { h.links[kNic].mac = mac(1); }, false},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Host host = host_with_tunnel();
        Mirror mirror = mirror_of(host);
        row.change(host);
        for (const auto& [index, link] : host.links) mirror.apply(LinkChanged{link});
        const Dirty dirty = mirror.take_dirty();
        EXPECT_TRUE(dirty.plan);
        EXPECT_EQ(dirty.routing, row.routing);
    }
    // The underlay is asked about when a tunnel comes that is bound to it.
    Host host = host_with_tunnel();
    const Link vxlan = host.links.at(kVxlan);
    host.links.erase(kVxlan);
    Mirror mirror = mirror_of(host);
    mirror.apply(LinkChanged{vxlan});
    const Dirty dirty = mirror.take_dirty();
    EXPECT_THAT(dirty.probe, ElementsAre(kVxlan, kUplink));
    EXPECT_THAT(dirty.traffic_control, ElementsAre(kVxlan, kUplink));
}

bool routes_otherwise(Mirror& mirror, const Event& event) {
    mirror.apply(event);
    const Dirty dirty = mirror.take_dirty();
    EXPECT_FALSE(dirty.plan);
    return dirty.routing;
}

TEST(Mirror, NeighboursOfUnderlays) {
    const NeighbourKey gateway{kUplink, *IpAddress::parse("192.0.2.1")}, local{kBridge, gateway.address};
    Mirror mirror = mirror_of(host_with_tunnel());
    EXPECT_FALSE(routes_otherwise(mirror, NeighbourChanged{gateway, mac(1)})) << "nothing was sent to it yet";
    EXPECT_FALSE(routes_otherwise(mirror, NeighbourChanged{gateway, mac(1)})) << "confirmed";
    EXPECT_TRUE(routes_otherwise(mirror, NeighbourChanged{gateway, mac(2)}));
    EXPECT_FALSE(routes_otherwise(mirror, NeighbourChanged{gateway, mac(2)}));
    EXPECT_TRUE(routes_otherwise(mirror, NeighbourGone{gateway}));
    EXPECT_FALSE(routes_otherwise(mirror, NeighbourGone{gateway})) << "asked for again and again, in vain";
    EXPECT_FALSE(routes_otherwise(mirror, NeighbourChanged{gateway, mac(1)}));

    for (const std::uint32_t address : {1U, 2U})
        EXPECT_FALSE(routes_otherwise(mirror, NeighbourChanged{local, mac(address)}));
    EXPECT_FALSE(routes_otherwise(mirror, NeighbourGone{local})) << "no tunnel goes by it";

    // What a dump tells is known from then on.
    mirror.begin_resync();
    for (const auto& [index, link] : host_with_tunnel().links) mirror.apply(LinkChanged{link});
    mirror.apply(NeighbourChanged{gateway, mac(3)});
    mirror.finish_resync();
    EXPECT_TRUE(mirror.take_dirty().routing);
    EXPECT_FALSE(routes_otherwise(mirror, NeighbourChanged{gateway, mac(3)}));
    EXPECT_TRUE(routes_otherwise(mirror, NeighbourChanged{gateway, mac(1)}));

    Host host = host_with_tunnel();
    host.links.erase(kVxlan);
    mirror = mirror_of(host);
    for (const std::uint32_t address : {1U, 2U})
        EXPECT_FALSE(routes_otherwise(mirror, NeighbourChanged{gateway, mac(address)})) << "no tunnel";
    mirror.apply(LinkChanged{host_with_tunnel().links.at(kVxlan)});
    mirror.take_dirty();
    EXPECT_TRUE(routes_otherwise(mirror, NeighbourChanged{gateway, mac(1)})) << "known from before";
    mirror.apply(LinkGone{kUplink});
    mirror.apply(LinkChanged{host.links.at(kUplink)});
    mirror.take_dirty();
    EXPECT_FALSE(routes_otherwise(mirror, NeighbourChanged{gateway, mac(2)})) << "another device with its number";
}

TEST(Mirror, WhatIsOfOneDevice) {
    Host host = host_with_tunnel();
    Mirror mirror = mirror_of(host);
    const auto matters = [&mirror](Ifindex device, bool gone) {
        return routes_otherwise(mirror, DeviceRoutingChanged{device, gone});
    };
    EXPECT_TRUE(matters(kUplink, false) && matters(kBridge, false));
    EXPECT_TRUE(matters(kUplink, true)) << "its MTU is too small for IPv6";
    EXPECT_FALSE(matters(Ifindex{99}, false)) << "its message follows";
    EXPECT_FALSE(matters(kNic, false) || matters(kNic, true)) << "a port";
    host.links[kUplink].flags &= ~unsigned{IFF_UP};
    mirror = mirror_of(host);
    EXPECT_FALSE(matters(kUplink, true)) << "it leaves";
    EXPECT_TRUE(matters(kUplink, false)) << "it may come up again";
    host.links[kUplink].flags |= IFF_UP;
    host.links[kUplink].master = Ifindex{99};
    mirror = mirror_of(host);
    EXPECT_TRUE(matters(kUplink, false)) << "in a VRF";
}

TEST(Mirror, RoutesToVteps) {
    Mirror mirror = mirror_of(host_with_tunnel());
    const auto matters = [&mirror](const char* prefix) {
        return routes_otherwise(mirror, RouteChanged{*IpPrefix::parse(prefix)});
    };
    EXPECT_FALSE(matters("0.0.0.0/0") || matters("::/0")) << "no VTEPs";
    EXPECT_FALSE(routes_otherwise(mirror, NexthopChanged{}));

    mirror.apply(VtepChanged{key(1, kVxlan), at("192.0.2.2")});
    mirror.apply(VtepChanged{key(2, kVxlan), at("198.51.100.7")});
    mirror.take_dirty();
    for (const char* prefix :
         {"0.0.0.0/0", "192.0.2.2/32", "192.0.2.0/24", "192.0.2.2/31", "198.51.100.0/24", "192.0.0.0/3"})
        EXPECT_TRUE(matters(prefix)) << prefix;
    for (const char* prefix : {"::/0", "192.0.2.3/32", "192.0.2.0/31", "192.0.3.0/24", "198.51.100.8/29", "10.0.0.0/8",
                               "224.0.0.0/4", "c000:202::/32"})
        EXPECT_FALSE(matters(prefix)) << prefix;
    EXPECT_TRUE(routes_otherwise(mirror, NexthopChanged{}));

    mirror.apply(VtepChanged{key(1, kVxlan), at("2001:db8::2")});
    mirror.apply(VtepGone{key(2, kVxlan)});
    mirror.take_dirty();
    EXPECT_TRUE(matters("::/0") && matters("2001:db8::/32") && matters("2001:db8::2/128"));
    EXPECT_FALSE(matters("0.0.0.0/0") || matters("192.0.2.0/24") || matters("2001:db8::3/128"));

    mirror.apply(LinkGone{kVxlan});
    mirror.take_dirty();
    EXPECT_FALSE(matters("::/0"));
}

TEST(Mirror, OtherEvents) {
    Mirror mirror = mirror_of(plain_host());
    mirror.apply(TrafficControlChanged{kNic});
    Dirty dirty = mirror.take_dirty();
    EXPECT_THAT(dirty.traffic_control, ElementsAre(kNic));
    EXPECT_FALSE(dirty.ruleset);
    mirror.apply(RulesetChanged{});
    dirty = mirror.take_dirty();
    EXPECT_TRUE(dirty.ruleset && dirty.routing);
    mirror.apply(RoutingChanged{});
    dirty = mirror.take_dirty();
    EXPECT_TRUE(dirty.routing && !dirty.ruleset && !dirty.plan);
    mirror.apply(DriverChanged{kTap});
    EXPECT_THAT(mirror.take_dirty().probe, ElementsAre(kTap));
    mirror.mark_plan();
    EXPECT_TRUE(mirror.take_dirty().plan);
    expect_clean(mirror.take_dirty());
}

void dump_into(Mirror& mirror, const Host& host) {
    for (const auto& [index, link] : host.links) mirror.apply(LinkChanged{link});
    for (const auto& [key, record] : host.fdb) mirror.apply(FdbChanged{key, record});
}

TEST(Mirror, ResyncFindsWhatNoEventTold) {
    Host before = host_with_fdb();
    before.traffic_control[kNic].clsact = before.traffic_control[kTap].clsact = true;
    Mirror mirror = mirror_of(before);
    Host now = host_with_fdb();
    now.fdb[key(1)].port = kNic;
    now.fdb[key(7)].port = kNic;
    now.fdb.erase(key(2));
    now.links.erase(kTap);
    mirror.begin_resync();
    dump_into(mirror, now);
    mirror.finish_resync();
    EXPECT_EQ(mirror.host().links, now.links);
    EXPECT_EQ(mirror.host().fdb, now.fdb);
    EXPECT_FALSE(mirror.host().drivers.contains(kTap));
    EXPECT_TRUE(mirror.host().drivers.contains(kNic));
    EXPECT_FALSE(mirror.host().traffic_control.contains(kTap));
    EXPECT_TRUE(mirror.host().traffic_control.contains(kNic));
    const Dirty dirty = mirror.take_dirty();
    EXPECT_TRUE(dirty.plan);
    EXPECT_TRUE(dirty.ruleset);
    EXPECT_THAT(dirty.fdb, ElementsAre(key(1), key(2), key(7)));
}

// Events were taken in, and not judged yet, when the next ones turned out to be lost.
TEST(Mirror, ResyncKeepsWhatWasDirtyBefore) {
    Mirror mirror = mirror_of(host_with_fdb());
    mirror.apply(FdbChanged{key(1), {.port = kNic}});
    mirror.apply(FdbGone{key(2)});
    Host now = host_with_fdb();
    now.fdb[key(1)].port = kNic;
    now.fdb.erase(key(2));
    mirror.begin_resync();
    dump_into(mirror, now);
    mirror.finish_resync();
    EXPECT_THAT(mirror.take_dirty().fdb, ElementsAre(key(1), key(2)));
}

// A dump that broke off is begun again.
TEST(Mirror, ResyncBegunTwiceComparesWithTheFirst) {
    Mirror mirror = mirror_of(host_with_fdb());
    Host now = host_with_fdb();
    now.fdb.erase(key(2));
    now.fdb[key(4)].port = kTap;
    now.links.erase(kTap);
    mirror.begin_resync();
    mirror.apply(LinkChanged{now.links.at(kBridge)});
    mirror.apply(FdbChanged{key(4), now.fdb.at(key(4))});
    mirror.begin_resync();
    dump_into(mirror, now);
    mirror.finish_resync();
    EXPECT_EQ(mirror.host().fdb, now.fdb);
    EXPECT_FALSE(mirror.host().drivers.contains(kTap));
    EXPECT_THAT(mirror.take_dirty().fdb, testing::IsSupersetOf({key(2), key(4)}));
}

TEST(Mirror, VlansChange) {
    Mirror mirror = mirror_of(host_with_vlans());
    mirror.apply(VlansChanged{kNic});
    Dirty dirty = mirror.take_dirty();
    EXPECT_THAT(dirty.vlans, ElementsAre(kNic));
    EXPECT_FALSE(dirty.plan) << "until they are read";
    EXPECT_TRUE(mirror.host().vlans.contains(kNic)) << "until others are read";
    mirror.apply(VlansChanged{kBridge});
    EXPECT_THAT(mirror.take_dirty().vlans, kAll);
    mirror.apply(VlansChanged{kOtherBridge});
    EXPECT_THAT(mirror.take_dirty().vlans, ElementsAre(kOtherBridge));
}

TEST(Mirror, WhatCouldNotBeJudgedStaysDirty) {
    Mirror mirror = mirror_of(host_with_vlans());
    mirror.apply(VlansChanged{kNic});
    const Dirty dirty = mirror.take_dirty();
    mirror.apply(VlansChanged{kTap});
    mirror.mark(dirty);
    EXPECT_THAT(mirror.take_dirty().vlans, ElementsAre(kNic, kTap));
}

LinkChanged mastered_by(Link link, std::optional<Ifindex> master) {
    link.master = master;
    return {link};
}

// Every way in which a device leaves the bridge that its VLANs were read of.
TEST(Mirror, VlansAreOfOneBridge) {
    struct Row {
        const char* what;
        void (*move)(Mirror&, const Link&);
        bool read_again;
    };
    const std::vector<Row> rows = {
        {"gone", [](Mirror& m, const Link&) { m.apply(LinkGone{kNic}); }, false},
        {"left", [](Mirror& m, const Link&) { m.apply(PortGone{kNic}); }, false},
        {"left, by its own message", [](Mirror& m, const Link& l) { m.apply(mastered_by(l, std::nullopt)); }, false},
        {"into a bond", [](Mirror& m, const Link& l) { m.apply(mastered_by(l, Ifindex{99})); }, false},
        {"into another bridge", [](Mirror& m, const Link& l) { m.apply(mastered_by(l, kOtherBridge)); }, true},
        {"into another bridge, by the port's message",
         [](Mirror& m, const Link& l) {
             m.apply(PortChanged{kNic, kOtherBridge, l.flags, *l.port});
         },
         true},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Mirror mirror = mirror_of(host_with_vlans());
        row.move(mirror, mirror.host().links.at(kNic));
        expect_forgotten(mirror, kNic);
        const Dirty dirty = mirror.take_dirty();
        EXPECT_TRUE(dirty.plan);
        if (row.read_again)
            EXPECT_THAT(dirty.vlans, ElementsAre(kNic));
        else
            EXPECT_THAT(dirty.vlans, IsEmpty());
    }
    // Back in the same bridge before anybody looked.
    Mirror mirror = mirror_of(host_with_vlans());
    const Link link = mirror.host().links.at(kNic);
    mirror.apply(PortGone{kNic});
    mirror.apply(PortChanged{kNic, kBridge, link.flags, *link.port});
    expect_forgotten(mirror, kNic);
    EXPECT_THAT(mirror.take_dirty().vlans, ElementsAre(kNic));
}

TEST(Mirror, BridgeTakesItsPortsVlansInAnotherWay) {
    struct Row {
        const char* what;
        void (*change)(Link&);
        bool vlans;
    };
    const std::vector<Row> rows = {
        {"vlan_filtering", [](Link& l) { l.bridge->vlan_filtering = true; }, true},
        {"vlan_protocol", [](Link& l) { l.bridge->vlan_protocol = 0x88a8; }, true},
        {"mst", [](Link& l) { l.bridge->mst = true; }, false},
        {"ageing", [](Link& l) { l.bridge->ageing_ms = 5; }, false},
        {"mtu", [](Link& l) { l.mtu = 9000; }, false},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Mirror mirror = mirror_of(host_with_vlans());
        Link bridge = mirror.host().links.at(kBridge);
        row.change(bridge);
        mirror.apply(LinkChanged{bridge});
        const Dirty dirty = mirror.take_dirty();
        EXPECT_TRUE(dirty.plan);
        if (row.vlans)
            EXPECT_THAT(dirty.vlans, kAll);
        else
            EXPECT_THAT(dirty.vlans, IsEmpty());
    }
    // A port that was told of before its bridge.
    Mirror mirror = mirror_of(host_with_vlans());
    Link link = plain_port(Ifindex{31}, "eth9", "", "mq");
    link.master = Ifindex{40};
    mirror.apply(LinkChanged{link});
    EXPECT_THAT(mirror.take_dirty().vlans, IsEmpty());
    mirror.apply(LinkChanged{plain_bridge(Ifindex{40}, "br9")});
    EXPECT_THAT(mirror.take_dirty().vlans, ElementsAre(Ifindex{31}, Ifindex{40}));
}

TEST(Mirror, VlanDeviceInABridgeHasTheProgramsBelow) {
    struct Row {
        const char* what;
        void (*place)(Mirror&, const Link&);
    };
    const std::vector<Row> rows = {
        {"by its own message", [](Mirror& m, const Link& l) { m.apply(mastered_by(l, kOtherBridge)); }},
        {"by the port's message",
         [](Mirror& m, const Link& l) {
             m.apply(PortChanged{kVlanDevice, kOtherBridge, l.flags, PortAttributes{}});
         }},
    };
    Host host = host_with_vlans();
    host.links[kVlanDevice] = plain_vlan_device(kVlanDevice, kNic, Vid{10});
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Mirror mirror = mirror_of(host);
        row.place(mirror, host.links.at(kVlanDevice));
        const Dirty dirty = mirror.take_dirty();
        EXPECT_TRUE(dirty.plan);
        EXPECT_THAT(dirty.probe, ElementsAre(kNic, kVlanDevice));
        EXPECT_THAT(dirty.traffic_control, ElementsAre(kNic, kVlanDevice));
        EXPECT_THAT(dirty.vlans, ElementsAre(kVlanDevice));
    }
    // What is below is in another namespace, where the index is another device.
    host.links[kVlanDevice].lower_netnsid = 0;
    Mirror mirror = mirror_of(host);
    rows[0].place(mirror, host.links.at(kVlanDevice));
    EXPECT_THAT(mirror.take_dirty().probe, ElementsAre(kVlanDevice));
}

// Which VIDs the VLAN devices on a port take is asked when one comes, changes or goes: perhaps only out of sight.
TEST(Mirror, VlanDeviceOnAPortTakesItsFrames) {
    Mirror mirror = mirror_of(host_with_vlans());
    Link device = plain_vlan_device(kVlanDevice, kNic, Vid{10});
    mirror.apply(LinkChanged{device});
    Dirty dirty = mirror.take_dirty();
    EXPECT_TRUE(dirty.plan);
    EXPECT_THAT(dirty.vlans, ElementsAre(kNic));
    EXPECT_THAT(dirty.probe, ElementsAre(kVlanDevice)) << "in no bridge: no programs for it below";
    device.mtu = 1400;
    mirror.apply(LinkChanged{device});
    EXPECT_THAT(mirror.take_dirty().vlans, IsEmpty());
    device.vlan->id = Vid{11};
    mirror.apply(LinkChanged{device});
    EXPECT_THAT(mirror.take_dirty().vlans, ElementsAre(kNic));
    device.lower = kTap;
    mirror.apply(LinkChanged{device});
    EXPECT_THAT(mirror.take_dirty().vlans, ElementsAre(kNic, kTap));
    mirror.apply(LinkGone{kVlanDevice});
    EXPECT_THAT(mirror.take_dirty().vlans, ElementsAre(kTap));
    device.lower = kOtherBridge;
    mirror.apply(LinkChanged{device});
    EXPECT_THAT(mirror.take_dirty().vlans, IsEmpty()) << "not on a port";
}

TEST(Mirror, ResyncReadsAllVlansAgain) {
    const Host before = host_with_vlans();
    Mirror mirror = mirror_of(before);
    mirror.apply(VlansChanged{kWire});
    mirror.begin_resync();
    dump_into(mirror, before);
    mirror.finish_resync();
    EXPECT_EQ(mirror.host().vlans, before.vlans) << "as good as anything else until then";
    EXPECT_EQ(mirror.host().vlan_uppers, before.vlan_uppers);
    EXPECT_THAT(mirror.take_dirty().vlans,
                ElementsAre(kBridge, kNic, kOtherNic, kThirdNic, kContainer, kTap, kWire, kOtherBridge));

    for (const bool gone : {true, false}) {
        Host now = before;
        if (gone)
            now.links.erase(kNic);
        else
            now.links[kNic].master = kOtherBridge;
        Mirror other = mirror_of(before);
        other.begin_resync();
        dump_into(other, now);
        other.finish_resync();
        expect_forgotten(other, kNic);
        EXPECT_EQ(other.take_dirty().vlans.contains(kNic), !gone);
    }
}

class RandomEvents {
public:
    explicit RandomEvents(std::uint32_t seed) : random_(seed) {}

    Event next() {
        switch (number(12)) {
            case 0: return LinkChanged{link()};
            case 1: return PortChanged{device(), bridge(), kRunning, port()};
            case 2: return number(3) == 0 ? Event(LinkGone{device()}) : Event(PortGone{device()});
            case 3:
                if (number(3) == 0) return VlansChanged{number(2) == 0 ? device() : bridge()};
                return number(2) == 0 ? Event(DriverChanged{device()}) : Event(TrafficControlChanged{device()});
            case 4:
            case 5:
            case 6: return FdbGone{address()};
            default: return FdbChanged{address(), {.port = device(), .sticky = number(4) == 0}};
        }
    }

private:
    std::uint32_t number(std::uint32_t below) {
        return std::uniform_int_distribution<std::uint32_t>(0, below - 1)(random_);
    }
    Ifindex device() { return Ifindex{11 + number(6)}; }
    Ifindex bridge() { return number(2) == 0 ? kBridge : Ifindex{20}; }
    FdbKey address() { return key(1 + number(24), bridge()); }
    PortAttributes port() { return {.state = static_cast<PortState>(number(5)), .isolated = number(2) == 0}; }
    Link link() {
        const Ifindex index = device();
        Link link = plain_link(index, "d" + std::to_string(underpass::number(index)), "", "mq");
        link.mtu = 1500 + number(2);
        if (number(3) != 0) link.master = bridge();
        if (link.master && number(2) == 0) link.port = port();
        if (number(4) == 0) {
            link.kind = "vlan";
            link.lower = device();
            link.vlan = VlanAttributes{.id = Vid{static_cast<std::uint16_t>(1 + number(3))}};
        }
        return link;
    }

    std::mt19937 random_;
};

std::set<FdbKey> differences(const std::map<FdbKey, FdbRecord>& a, const std::map<FdbKey, FdbRecord>& b) {
    std::set<FdbKey> keys;
    const auto add = [&keys](const auto& from, const auto& to) {
        for (const auto& [key, record] : from) {
            const auto other = to.find(key);
            if (other == to.end() || other->second != record) keys.insert(key);
        }
    };
    add(a, b);
    add(b, a);
    return keys;
}

// The model that events made is the one that a dump of the end makes; so a resync has nothing to do to the FDB, and
// what the events left dirty covers every difference.
TEST(Mirror, ResyncAfterRandomEventsChangesNothing) {
    for (std::uint32_t seed = 1; seed <= 200; seed++) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        RandomEvents events(seed);
        Mirror mirror = mirror_of(host_with_vlans());
        std::map<FdbKey, FdbRecord> before = mirror.host().fdb;
        for (int step = 0; step < 200; step++) {
            mirror.apply(events.next());
            if (step % 20 != 19) continue;
            const Dirty dirty = mirror.take_dirty();
            EXPECT_THAT(dirty.fdb, testing::IsSupersetOf(differences(before, mirror.host().fdb)));
            before = mirror.host().fdb;
        }
        const Host end = mirror.host();
        mirror.begin_resync();
        dump_into(mirror, end);
        mirror.finish_resync();
        EXPECT_THAT(mirror.take_dirty().fdb, IsEmpty());
        EXPECT_EQ(mirror.host().links, end.links);
        EXPECT_EQ(mirror.host().fdb, end.fdb);
        EXPECT_EQ(mirror.host().vlans, end.vlans);
        for (const auto& [index, facts] : mirror.host().drivers) EXPECT_TRUE(end.links.contains(index));
        for (const auto& [index, vlans] : mirror.host().vlans) EXPECT_TRUE(end.links.contains(index));
    }
}

}  // namespace
}  // namespace underpass
