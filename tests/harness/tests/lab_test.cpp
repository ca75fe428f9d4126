// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The lab's devices as the kernel then has them: read back by our decoders and by what frames do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>
#include <system_error>
#include <variant>

#include "harness/frame_socket.h"
#include "harness/process.h"
#include "harness/test_net.h"
#include "lab/ethtool.h"
#include "netlink/dump.h"

namespace underpass::test {
namespace {

using namespace std::chrono_literals;

class Lab : public TestNet {};

Link link_of(const std::string& name) {
    NetlinkSocket route(NETLINK_ROUTE);
    std::optional<Link> found;
    dump_links(route, [&](Event&& event) {
        if (auto* changed = std::get_if<LinkChanged>(&event); changed != nullptr && changed->link.name == name)
            found = std::move(changed->link);
    });
    if (!found) throw std::runtime_error("no device " + name);
    return *found;
}

std::optional<FdbRecord> fdb_of(const MacAddr& mac) {
    NetlinkSocket route(NETLINK_ROUTE);
    std::optional<FdbRecord> found;
    dump_fdb(route, [&](Event&& event) {
        if (auto* changed = std::get_if<FdbChanged>(&event); changed != nullptr && changed->key.mac == mac)
            found = changed->record;
    });
    return found;
}

TEST_F(Lab, BridgeHasItsOptions) {
    make("host").run([] {
        lab::create_bridge("br0", {.stp = true, .ageing = 20s, .forward_delay = 4s, .mac = mac(0x100)});
        const Link bridge = link_of("br0");
        ASSERT_TRUE(bridge.bridge);
        EXPECT_TRUE(bridge.bridge->stp);
        EXPECT_EQ(bridge.bridge->ageing_ms, 20000U);
        EXPECT_EQ(bridge.bridge->forward_delay_ms, 4000U);
        EXPECT_EQ(bridge.mac, mac(0x100));
        lab::set_bridge("br0", {.stp = false});
        EXPECT_FALSE(link_of("br0").bridge->stp);
        EXPECT_EQ(link_of("br0").bridge->ageing_ms, 20000U);
        lab::delete_link("br0");
        EXPECT_FALSE(lab::find_ifindex("br0"));
        lab::delete_link("br0");
    });
}

TEST_F(Lab, VethCrossesNamespaces) {
    const auto& host = make("host");
    const auto& far = make("far");
    host.run([&] {
        lab::create_veth("left", "right", {.peer_namespace = &far, .mac = mac(1), .peer_mac = mac(2), .mtu = 1400});
        EXPECT_EQ(lab::mac("left"), mac(1));
        EXPECT_EQ(link_of("left").mtu, 1400U);
        EXPECT_FALSE(lab::find_ifindex("right"));
        lab::set_mtu("left", 1300);
        lab::set_mac("left", mac(3));
        EXPECT_EQ(link_of("left").mtu, 1300U);
        EXPECT_EQ(lab::mac("left"), mac(3));
        EXPECT_THROW(lab::create_veth("left", "other"), std::system_error);
    });
    far.run([] { EXPECT_EQ(lab::mac("right"), mac(2)); });
}

TEST_F(Lab, PortHasItsOptions) {
    make("host").run([] {
        lab::create_bridge("br0");
        lab::create_veth("p1", "x1");
        lab::set_master("p1", "br0");
        lab::set_up("br0");
        lab::set_up("p1");
        lab::set_up("x1");
        lab::wait_until_running("p1");
        lab::set_port("p1", {.state = PortState::listening,
                             .isolated = true,
                             .hairpin = true,
                             .learning = false,
                             .locked = true,
                             .neigh_suppress = true});
        PortAttributes port = link_of("p1").port.value();
        EXPECT_EQ(port.state, PortState::listening);
        EXPECT_TRUE(port.isolated && port.hairpin && port.locked && port.neigh_suppress);
        EXPECT_FALSE(port.learning);
        lab::set_port("p1", {.state = PortState::forwarding, .isolated = false});
        port = link_of("p1").port.value();
        EXPECT_EQ(port.state, PortState::forwarding);
        EXPECT_TRUE(!port.isolated && port.hairpin);
        lab::clear_master("p1");
        EXPECT_FALSE(link_of("p1").master);
    });
}

TEST_F(Lab, FdbEntriesOfEachKind) {
    make("host").run([] {
        lab::create_bridge("br0");
        lab::create_veth("p1", "x1");
        lab::set_master("p1", "br0");
        for (const char* device : {"br0", "p1", "x1"}) lab::set_up(device);
        lab::wait_until_running("p1");
        lab::set_fdb("p1", mac(1), lab::FdbKind::dynamic);
        lab::set_fdb("p1", mac(2), lab::FdbKind::fixed);
        lab::set_fdb("p1", mac(3), lab::FdbKind::sticky);
        lab::set_fdb("p1", mac(4), lab::FdbKind::local);
        lab::add_local_fdb("br0", mac(5));
        const Ifindex port = lab::ifindex("p1");
        EXPECT_EQ(fdb_of(mac(1)), (FdbRecord{.port = port}));
        EXPECT_EQ(fdb_of(mac(2)), (FdbRecord{.port = port, .is_static = true}));
        EXPECT_EQ(fdb_of(mac(3)), (FdbRecord{.port = port, .is_static = true, .sticky = true}));
        EXPECT_TRUE(fdb_of(mac(4)).value().local);
        EXPECT_TRUE(fdb_of(mac(5)).value().local);
        lab::delete_fdb("p1", mac(2));
        lab::delete_fdb("p1", mac(2));
        EXPECT_FALSE(fdb_of(mac(2)));
        lab::flush_port_fdb("p1");
        EXPECT_FALSE(fdb_of(mac(1)));
        lab::set_fdb("p1", mac(1), lab::FdbKind::dynamic);
        lab::flush_fdb("br0");
        EXPECT_FALSE(fdb_of(mac(1)));
        EXPECT_TRUE(fdb_of(mac(4)));
    });
}

TEST_F(Lab, TapCarriesFrames) {
    const auto& host = make("host");
    const Frame in = Ethernet{.destination = kBroadcast, .source = mac(1)} / Payload{50};
    const Frame out = Ethernet{.destination = mac(1), .source = mac(2)} / Payload{50};
    const Fd tap = host.run([] {
        Fd made = lab::create_tap("tap0");
        lab::disable_ipv6("tap0");
        lab::set_up("tap0");
        return made;
    });
    FrameSocket socket(host, "tap0");
    ASSERT_EQ(::write(tap.get(), in.data(), in.size()), static_cast<ssize_t>(in.size()));
    EXPECT_THAT(socket.receive_count(1, 2000ms), ::testing::ElementsAre(in));
    socket.send(out);
    Frame read(2000);
    const ssize_t size = ::read(tap.get(), read.data(), read.size());
    ASSERT_GT(size, 0);
    read.resize(static_cast<std::size_t>(size));
    EXPECT_EQ(difference(out, read), "");
}

TEST_F(Lab, ABridgeForwardsWholeFrames) {
    const auto& host = make("host");
    host.run([] {
        lab::create_bridge("br0");
        lab::disable_ipv6("br0");
        lab::set_up("br0");
    });
    const Wire one = add_wire(net(), host, "br0", "p1");
    const Wire two = add_wire(net(), host, "br0", "p2");
    FrameSocket from(one.far, one.device);
    FrameSocket to(two.far, two.device);
    const std::vector<Frame> frames = {
        Ethernet{.destination = mac(2), .source = mac(1)} / IPv4{} / UDP{} / Payload{100},
        Ethernet{.destination = mac(2), .source = mac(1)} / Vlan{.vid = 7, .pcp = 5} / IPv4{} / UDP{} / Payload{1000},
        Ethernet{.destination = mac(2), .source = mac(1)} / Vlan{.vid = 9, .dei = true, .tpid = 0x88a8} / Vlan{} /
            IPv6{},
    };
    for (const auto& frame : frames) from.send(frame);
    EXPECT_EQ(to.receive_count(frames.size(), 2000ms), frames);
    EXPECT_EQ(host.run([] { return fdb_of(mac(1)); })->port, host.run([] { return lab::ifindex("p1"); }));
    // What it sends itself is not what comes in.
    EXPECT_TRUE(from.receive(50ms).empty());
    to.send(frames[0]);
    from.receive_count(1, 2000ms);
    EXPECT_TRUE(to.receive(50ms).empty());
}

TEST_F(Lab, WireLikeIsWithoutOffloads) {
    const auto& host = make("host");
    host.run([] { lab::create_bridge("br0"); });
    const Wire wire = add_wire(net(), host, "br0", "p1");
    wire.far.run([&] {
        EXPECT_FALSE(lab::feature(wire.device, "tx"));
        EXPECT_FALSE(lab::feature(wire.device, "tso"));
        EXPECT_FALSE(lab::feature(wire.device, "txvlan"));
        EXPECT_TRUE(lab::feature(wire.device, "gro"));
        lab::set_features(wire.device, {{"tx", true}, {"gro", false}});
        EXPECT_TRUE(lab::feature(wire.device, "tx"));
        EXPECT_FALSE(lab::feature(wire.device, "gro"));
    });
}

TEST_F(Lab, AddressesAreUsable) {
    const auto& host = make("host");
    const auto& far = make("far");
    host.run([&] {
        lab::create_veth("a", "b", {.peer_namespace = &far});
        lab::add_address("a", "10.9.0.1/24");
        lab::add_address("a", "fd09::1/64");
        lab::set_up("a");
    });
    far.run([] {
        lab::add_address("b", "10.9.0.2/24");
        lab::set_up("b");
    });
    const Finished ping = run(host, {"ping", "-c", "1", "-W", "5", "10.9.0.2"});
    EXPECT_TRUE(ping.ok()) << ping.text();
    EXPECT_THROW(host.run([] { lab::add_address("a", "10.9.0.1"); }), std::invalid_argument);
}

}  // namespace
}  // namespace underpass::test
