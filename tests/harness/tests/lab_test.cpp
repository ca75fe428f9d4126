// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The lab's devices as the kernel then has them: read back by our decoders and by what frames do.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <variant>

#include "harness/frame_socket.h"
#include "harness/process.h"
#include "harness/test_net.h"
#include "lab/address.h"
#include "lab/ethtool.h"
#include "lab/macvlan.h"
#include "lab/nftables.h"
#include "lab/spec.h"
#include "lab/vlan.h"
#include "lab/vxlan.h"
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

// Whether this kernel has what `work` needs; if not, it must have said so by this sentence. Anything else is thrown on.
template <class Work>
bool has(const std::string& missing, Work&& work) {
    try {
        work();
        return true;
    } catch (const NetlinkError& error) {
        if (error.code().value() != EOPNOTSUPP) throw;
        EXPECT_THAT(error.what(), ::testing::HasSubstr("this kernel has no " + missing));
        return false;
    }
}

template <class Work>
std::string error_of(Work&& work) {
    try {
        work();
    } catch (const std::exception& error) {
        return error.what();
    }
    return "no error";
}

IpAddress ip(const char* text) {
    return IpAddress::parse(text).value();
}

IpPrefix prefix(const char* text) {
    return IpPrefix::parse(text).value();
}

void expect_ping(const lab::Namespace& from, const std::string& to) {
    const Finished ping = run(from, {"ping", "-c", "1", "-W", "5", to});
    EXPECT_TRUE(ping.ok()) << ping.text();
}

// A veth between two namespaces, with an address at each end, both up.
void join(const lab::Namespace& a, const std::string& at_a, const lab::Namespace& b, const std::string& at_b) {
    a.run([&] {
        lab::create_veth("wire", "wire", {.peer_namespace = &b});
        lab::add_address("wire", at_a);
        lab::set_up("wire");
    });
    b.run([&] {
        lab::add_address("wire", at_b);
        lab::set_up("wire");
        lab::wait_until_running("wire");
    });
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
    expect_ping(host, "10.9.0.2");
    EXPECT_THROW(host.run([] { lab::add_address("a", "10.9.0.1"); }), std::invalid_argument);
}

TEST_F(Lab, NamespaceOutlivesItsObject) {
    const auto& host = make("host");
    const std::string name = host.name() + "-kept";
    lab::Namespace::remove(name);
    std::uint64_t inode = 0;
    {
        lab::Namespace kept = lab::Namespace::create(name);
        inode = kept.inode();
        kept.keep();
    }
    EXPECT_EQ(lab::Namespace::open(name).inode(), inode);
    EXPECT_NE(host.inode(), inode);
    lab::Namespace::remove(name);
    EXPECT_THROW(lab::Namespace::open(name), std::system_error);
}

TEST_F(Lab, PersistentTapIsOpenedByName) {
    make("host").run([] {
        lab::create_persistent_tap("tap0");
        ASSERT_TRUE(lab::find_ifindex("tap0"));
        EXPECT_THROW(lab::create_persistent_tap("tap0"), std::system_error);
        lab::set_up("tap0");
        constexpr unsigned kLowerUp = 0x10000;  // IFF_LOWER_UP, which <net/if.h> lacks: the carrier itself
        EXPECT_EQ(link_of("tap0").flags & kLowerUp, 0U);
        {
            // As QEMU does, with the virtio header.
            const Fd guest(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
            ifreq request = {};
            std::string("tap0").copy(request.ifr_name, IFNAMSIZ - 1);
            request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
            ASSERT_EQ(::ioctl(guest.get(), TUNSETIFF, &request), 0);
            lab::wait_until_running("tap0");
            EXPECT_NE(link_of("tap0").flags & kLowerUp, 0U);
        }
        EXPECT_TRUE(lab::find_ifindex("tap0"));
        lab::delete_link("tap0");
        EXPECT_FALSE(lab::find_ifindex("tap0"));
    });
}

TEST_F(Lab, RoutesLead) {
    const auto& left = make("left");
    const auto& router = make("router");
    const auto& right = make("right");
    join(left, "10.1.0.2/24", router, "10.1.0.1/24");
    left.run([] { lab::add_address("wire", "fd01::2/64"); });
    router.run([] {
        lab::add_address("wire", "fd01::1/64");
        lab::set_sysctl("ipv4/ip_forward", "1");
        lab::set_sysctl("ipv6/conf/all/forwarding", "1");
    });
    right.run([&] {
        lab::create_veth("wire", "other", {.peer_namespace = &router});
        lab::add_address("wire", "10.2.0.2/24");
        lab::add_address("wire", "fd02::2/64");
        lab::set_up("wire");
    });
    router.run([] {
        lab::add_address("other", "10.2.0.1/24");
        lab::add_address("other", "fd02::1/64");
        lab::set_up("other");
        lab::wait_until_running("other");
    });
    left.run([] {
        lab::add_route({.to = prefix("0.0.0.0/0"), .via = ip("10.1.0.1")});
        lab::add_route({.to = prefix("fd02::/64"), .via = ip("fd01::1"), .dev = "wire"});
        lab::add_route({.to = prefix("10.7.0.0/16"), .dev = "wire"});
        lab::add_route({.to = prefix("10.8.0.0/16"), .via = ip("fd01::1"), .dev = "wire"});
    });
    right.run([] {
        lab::wait_until_running("wire");
        lab::add_route({.to = prefix("10.1.0.0/24"), .via = ip("10.2.0.1"), .dev = "wire"});
        lab::add_route({.to = prefix("::/0"), .via = ip("fd02::1")});
    });
    expect_ping(left, "10.2.0.2");
    expect_ping(left, "fd02::2");
    const std::string routes = run(left, {"ip", "route"}).out;
    EXPECT_THAT(routes, ::testing::HasSubstr("default via 10.1.0.1 dev wire proto static"));
    EXPECT_THAT(routes, ::testing::HasSubstr("10.7.0.0/16 dev wire proto static scope link"));
    EXPECT_THAT(routes, ::testing::HasSubstr("10.8.0.0/16 via inet6 fd01::1 dev wire proto static"));
    left.run([] {
        EXPECT_THAT(error_of([] { lab::add_route({.to = prefix("0.0.0.0/0"), .via = ip("10.1.0.1")}); }),
                    ::testing::StartsWith("add the route to default via 10.1.0.1: File exists"));
        EXPECT_THAT(
            error_of([] { lab::add_route({.to = prefix("10.3.0.0/16"), .via = ip("10.77.0.1"), .dev = "wire"}); }),
            ::testing::HasSubstr("Nexthop has invalid gateway"));
        EXPECT_THROW(lab::add_route({.to = prefix("10.3.0.0/16")}), std::invalid_argument);
    });
}

TEST_F(Lab, VxlanJoinsTwoNamespaces) {
    const auto& one = make("one");
    const auto& two = make("two");
    join(one, "192.0.2.1/24", two, "192.0.2.2/24");
    one.run([] { lab::add_address("wire", "fd00::1/64"); });
    two.run([] { lab::add_address("wire", "fd00::2/64"); });
    const auto add = [](const char* name, std::uint16_t vni, const char* local, const char* remote,
                        const char* address) {
        lab::VxlanDevice device;
        device.name = name;
        device.mac = mac(vni);
        device.mtu = 1400;
        device.vni = vni;
        device.local = ip(local);
        device.on = "wire";
        device.port = static_cast<std::uint16_t>(4700 + vni);
        device.learning = vni != 9;
        lab::create_vxlan(device);
        lab::add_vxlan_remote(name, ip(remote));
        lab::add_vxlan_remote(name, ip(remote));
        lab::add_address(name, address);
        lab::set_up(name);
    };
    const bool supported =
        has("VXLAN", [&] { one.run([&] { add("vxlan7", 7, "192.0.2.1", "192.0.2.2", "10.7.0.1/24"); }); });
    if (!supported) GTEST_SKIP() << "this kernel has no VXLAN";
    two.run([&] {
        add("vxlan7", 7, "192.0.2.2", "192.0.2.1", "10.7.0.2/24");
        lab::set_mac("vxlan7", mac(8));
        add("vxlan9", 9, "fd00::2", "fd00::1", "10.9.0.2/24");
    });
    one.run([&] {
        add("vxlan9", 9, "fd00::1", "fd00::2", "10.9.0.1/24");
        lab::set_mac("vxlan9", mac(10));
        EXPECT_EQ(lab::mac("vxlan7"), mac(7));
        EXPECT_EQ(link_of("vxlan7").mtu, 1400U);
        lab::add_vxlan_remote("vxlan7", ip("192.0.2.3"));
    });
    expect_ping(one, "10.7.0.2");
    expect_ping(one, "10.9.0.2");
    const std::string seven = run(one, {"ip", "-d", "link", "show", "vxlan7"}).out;
    EXPECT_THAT(seven, ::testing::HasSubstr("vxlan id 7 local 192.0.2.1 dev wire srcport 0 0 dstport 4707"));
    EXPECT_THAT(seven, ::testing::Not(::testing::HasSubstr("nolearning")));
    EXPECT_THAT(run(one, {"ip", "-d", "link", "show", "vxlan9"}).out, ::testing::HasSubstr("nolearning"));
    const std::string fdb = run(one, {"bridge", "fdb", "show", "dev", "vxlan7"}).out;
    EXPECT_THAT(fdb, ::testing::HasSubstr("00:00:00:00:00:00 dst 192.0.2.2 self permanent"));
    EXPECT_THAT(fdb, ::testing::HasSubstr("00:00:00:00:00:00 dst 192.0.2.3 self permanent"));
}

TEST_F(Lab, MacvlanLandsInAnotherNamespace) {
    const auto& host = make("host");
    const auto& world = make("world");
    const auto& a = make("a");
    join(host, "192.0.2.2/24", world, "192.0.2.1/24");
    const bool supported = has("macvlan", [&] {
        host.run([&] { lab::create_macvlan("eth0", "wire", lab::MacvlanMode::bridge, &a, mac(7)); });
    });
    if (!supported) GTEST_SKIP() << "this kernel has no macvlan";
    host.run([&] {
        EXPECT_FALSE(lab::find_ifindex("eth0"));
        lab::create_macvlan("mine", "wire", lab::MacvlanMode::isolated);
        EXPECT_TRUE(lab::find_ifindex("mine"));
        EXPECT_THROW(lab::create_macvlan("eth0", "wire", lab::MacvlanMode::bridge, &a), NetlinkError);
    });
    a.run([] {
        EXPECT_EQ(lab::mac("eth0"), mac(7));
        lab::add_address("eth0", "192.0.2.11/24");
        lab::set_up("eth0");
        lab::wait_until_running("eth0");
    });
    EXPECT_THAT(run(a, {"ip", "-d", "link", "show", "eth0"}).out, ::testing::HasSubstr("macvlan mode bridge"));
    EXPECT_THAT(run(host, {"ip", "-d", "link", "show", "mine"}).out, ::testing::HasSubstr("macvlan mode private"));
    expect_ping(a, "192.0.2.1");
}

TEST_F(Lab, VlanDevicesTag) {
    const auto& host = make("host");
    const auto& far = make("far");
    join(host, "10.1.0.1/24", far, "10.1.0.2/24");
    const auto add = [](const char* address) {
        lab::create_vlan("wire.5", "wire", Vid{5});
        lab::create_vlan("wire.5.6", "wire", Vid{6}, true);
        lab::add_address("wire.5", std::string("10.5.0.") + address);
        lab::add_address("wire.5.6", std::string("10.6.0.") + address);
        lab::set_up("wire.5");
        lab::set_up("wire.5.6");
    };
    if (!has("VLAN devices", [&] { host.run([&] { add("1/24"); }); }))
        GTEST_SKIP() << "this kernel has no VLAN devices";
    far.run([&] { add("2/24"); });
    EXPECT_THAT(run(host, {"ip", "-d", "link", "show", "wire.5"}).out,
                ::testing::HasSubstr("vlan protocol 802.1Q id 5"));
    EXPECT_THAT(run(host, {"ip", "-d", "link", "show", "wire.5.6"}).out,
                ::testing::HasSubstr("vlan protocol 802.1ad id 6"));
    expect_ping(host, "10.5.0.2");
    expect_ping(host, "10.6.0.2");
}

// "DEVICE VID [PVID] [Egress Untagged]", as `bridge vlan` shows them, a line each.
std::string vlans_of(const lab::Namespace& host, const std::string& device) {
    std::string result;
    std::istringstream lines(run(host, {"bridge", "vlan", "show", "dev", device}).out);
    std::string line;
    std::getline(lines, line);  // the heading
    while (std::getline(lines, line)) {
        std::istringstream words(line);
        for (std::string word; words >> word;)
            if (word != device) result += word + ' ';
        result += "| ";
    }
    return result;
}

TEST_F(Lab, PortsAreMembersOfVlans) {
    const auto& host = make("host");
    if (!has("VLAN filtering", [&] { host.run([] { lab::create_bridge("br0", {.vlan_filtering = true}); }); }))
        GTEST_SKIP() << "this kernel has no VLAN filtering in its bridge";
    host.run([] {
        for (const std::string port : {"access", "trunk", "native", "plain"}) {
            lab::create_veth(port, port + "-far");
            lab::set_master(port, "br0");
        }
        lab::set_membership("access", {.pvid = Vid{10}}, false);
        lab::set_membership("trunk", {.tagged = {Vid{10}, Vid{20}}}, false);
        lab::set_membership("native", {.pvid = Vid{30}, .tagged = {Vid{1}, Vid{10}}}, false);
        lab::set_membership("plain", {}, false);
        lab::set_membership("br0", {.pvid = Vid{20}, .tagged = {Vid{10}}}, true);
    });
    EXPECT_EQ(vlans_of(host, "access"), "10 PVID Egress Untagged | ");
    EXPECT_EQ(vlans_of(host, "trunk"), "10 | 20 | ");
    EXPECT_EQ(vlans_of(host, "native"), "1 | 10 | 30 PVID Egress Untagged | ");
    EXPECT_EQ(vlans_of(host, "plain"), "1 PVID Egress Untagged | ");
    EXPECT_EQ(vlans_of(host, "br0"), "10 | 20 PVID Egress Untagged | ");
    host.run([] {
        lab::delete_bridge_vlan("trunk", Vid{20});
        lab::delete_bridge_vlan("trunk", Vid{20});
        lab::add_bridge_vlan("trunk", Vid{40}, {.untagged = true});
        lab::delete_bridge_vlan("br0", Vid{10}, true);
        EXPECT_THROW(lab::add_bridge_vlan("trunk-far", Vid{40}), std::runtime_error);
        EXPECT_THROW(lab::add_bridge_vlan("trunk", Vid{40}, {}, true), std::runtime_error);
    });
    EXPECT_EQ(vlans_of(host, "trunk"), "10 | 40 Egress Untagged | ");
    EXPECT_EQ(vlans_of(host, "br0"), "20 PVID Egress Untagged | ");
}

TEST_F(Lab, AKernelWithoutVlanFilteringSaysSo) {
    const auto& host = make("host");
    host.run([] {
        lab::create_bridge("br0");
        lab::create_veth("p1", "x1");
        lab::set_master("p1", "br0");
    });
    if (has("VLAN filtering", [&] { host.run([] { lab::set_membership("p1", {.pvid = Vid{10}}, false); }); }))
        GTEST_SKIP() << "this kernel has it";
    EXPECT_FALSE(has("VLAN filtering", [&] { host.run([] { lab::set_membership("br0", {.pvid = Vid{10}}, true); }); }));
}

TEST(NatRules, AreInTheTableOfTheirFamily) {
    using Kind = lab::NatRule::Kind;
    EXPECT_EQ(lab::nat_rules({{.kind = Kind::masquerade, .from = prefix("10.13.0.0/24"), .out = "uplink"},
                              {.kind = Kind::dnat, .in = "uplink", .port = 8080, .to = ip("10.13.0.1"), .to_port = 80},
                              {.kind = Kind::snat, .from = prefix("10.14.0.0/24"), .to = ip("192.0.2.9")}}),
              "table ip lab {\n"
              "    chain prerouting {\n"
              "        type nat hook prerouting priority dstnat\n"
              "        iifname \"uplink\" tcp dport 8080 dnat to 10.13.0.1:80\n"
              "    }\n"
              "    chain postrouting {\n"
              "        type nat hook postrouting priority srcnat\n"
              "        ip saddr 10.13.0.0/24 oifname \"uplink\" masquerade\n"
              "        ip saddr 10.14.0.0/24 snat to 192.0.2.9\n"
              "    }\n"
              "}\n");
    EXPECT_EQ(lab::nat_rules({{.kind = Kind::dnat, .protocol = "udp", .port = 53, .to = ip("fd00::1"), .to_port = 5353},
                              {.kind = Kind::dnat, .port = 22, .to = ip("fd00::2")}}),
              "table ip6 lab {\n"
              "    chain prerouting {\n"
              "        type nat hook prerouting priority dstnat\n"
              "        udp dport 53 dnat to [fd00::1]:5353\n"
              "        tcp dport 22 dnat to fd00::2\n"
              "    }\n"
              "}\n");
    const std::string both = lab::nat_rules({{.kind = Kind::masquerade, .out = "up*"}});
    EXPECT_THAT(both, ::testing::HasSubstr("table ip lab {"));
    EXPECT_THAT(both, ::testing::HasSubstr("table ip6 lab {"));
    EXPECT_THAT(both, ::testing::HasSubstr("oifname \"up\\*\" masquerade"));
    EXPECT_EQ(lab::nat_rules({}), "");
    EXPECT_THROW(lab::nat_rules({{.kind = Kind::snat}}), std::invalid_argument);
    EXPECT_THROW(lab::nat_rules({{.out = "a\"b"}}), std::invalid_argument);
}

sockaddr_in socket_address(const char* host, std::uint16_t port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    ::inet_pton(AF_INET, host, &address.sin_addr);
    return address;
}

// The kernel answers for it: nobody has to accept.
Fd listen_at(std::uint16_t port) {
    Fd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = socket_address("0.0.0.0", port);
    if (::bind(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(server.get(), 1) != 0)
        throw std::runtime_error("cannot listen");
    return server;
}

bool connects(const char* host, std::uint16_t port) {
    const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience = {.tv_sec = 5};
    ::setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    const sockaddr_in address = socket_address(host, port);
    return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

TEST_F(Lab, NatRulesTranslate) {
    using Kind = lab::NatRule::Kind;
    const auto& inside = make("in");
    const auto& router = make("router");
    const auto& world = make("world");
    join(inside, "10.13.0.1/24", router, "10.13.0.254/24");
    router.run([&] {
        lab::create_veth("uplink", "eth0", {.peer_namespace = &world});
        lab::add_address("uplink", "192.0.2.2/24");
        lab::set_up("uplink");
        lab::set_sysctl("ipv4/ip_forward", "1");
        lab::load_rules(lab::nat_rules(
            {{.kind = Kind::masquerade, .from = prefix("10.13.0.0/24"), .out = "uplink"},
             {.kind = Kind::masquerade, .out = "other*"},
             {.kind = Kind::dnat, .in = "uplink", .port = 8080, .to = ip("10.13.0.1"), .to_port = 80},
             {.kind = Kind::dnat, .protocol = "udp", .port = 53, .to = ip("fd00::1"), .to_port = 5353}}));
    });
    inside.run([] { lab::add_route({.to = prefix("0.0.0.0/0"), .via = ip("10.13.0.254")}); });
    world.run([] {
        lab::add_address("eth0", "192.0.2.1/24");
        lab::set_up("eth0");
        lab::wait_until_running("eth0");
    });
    // The world has no route to the inside: an answer means that the source was translated.
    expect_ping(inside, "192.0.2.1");
    EXPECT_FALSE(run(world, {"ping", "-c", "1", "-W", "1", "10.13.0.1"}).ok());
    // The published port is another one inside.
    const Fd server = inside.run([] { return listen_at(80); });
    EXPECT_TRUE(world.run([] { return connects("192.0.2.2", 8080); }));
    EXPECT_FALSE(world.run([] { return connects("192.0.2.2", 80); }));
    EXPECT_THAT(run(router, {"nft", "list", "ruleset"}).out, ::testing::HasSubstr("table ip6 lab"));
}

TEST_F(Lab, BadRulesAreOneSentence) {
    const auto& host = make("host");
    const auto error = [&](const std::string& rules) {
        return host.run([&] { return error_of([&] { lab::load_rules(rules); }); });
    };
    EXPECT_EQ(error("table ip t {\n  chain c {\n    foo bar\n  }\n}"),
              "load nftables rules: No symbol type information, in line 3: foo bar");
    EXPECT_EQ(error("table ip t {\n}\nadd rule ip t nochain accept\n"),
              "load nftables rules: Could not process rule: No such file or directory, in line 3: add rule ip t "
              "nochain accept");
    // All or nothing.
    EXPECT_EQ(run(host, {"nft", "list", "ruleset"}).out, "");
    host.run([] { lab::load_rules("table ip t { chain c { } ; }"); });
    EXPECT_THAT(run(host, {"nft", "list", "ruleset"}).out, ::testing::HasSubstr("chain c"));
}

}  // namespace
}  // namespace underpass::test
