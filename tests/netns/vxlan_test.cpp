// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Containers of several machines in one network by VXLAN, over IPv4 and IPv6, by both hooks: what they say to each
// other as without Underpass, and how soon one is found again that has moved.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>
#include <tuple>

#include "crowd.h"
#include "harness/frame_socket.h"
#include "trial.h"
#include "vxlan_fixture.h"

namespace underpass::test {

namespace {

using ::testing::HasSubstr;

// What a daemon may be late in addition, where every frame is the kernel's meanwhile.
constexpr milliseconds kGenerous{1000};

class VxlanTest : public TestNet, public ::testing::WithParamInterface<std::tuple<const char*, const char*>> {
protected:
    static VxlanPlan plan() {
        VxlanPlan plan;
        plan.hook = std::get<0>(GetParam());
        plan.v6 = std::string(std::get<1>(GetParam())) == "IPv6";
        return plan;
    }
    static std::size_t outer_headers() { return plan().v6 ? 70 : 50; }

    // All that the first container says to the others, as text.
    static std::string converse(const VxlanNet& net) {
        std::string said;
        const lab::Namespace& from = net.container(1);
        const std::size_t largest = net.plan().inner_mtu - 28;
        std::vector<std::size_t> others = {VxlanNet::kNeighbour};
        for (std::size_t machine = 2; machine <= net.plan().machines; machine++) others.push_back(machine);
        for (const std::size_t other : others) {
            const lab::Namespace& to = other == VxlanNet::kNeighbour ? net.neighbour() : net.container(other);
            const std::string address = VxlanNet::address(other), address6 = VxlanNet::address6(other);
            said += ping_words(from, "-c 20 " + address) + ping_words(from, "-c 20 " + address6);
            said += ping_words(from, fmt::format("-c 5 -M do -s {} {}", largest, address));
            said += ping_words(from, fmt::format("-c 5 -M do -s {} {}", largest - 20, address6));
            said += ping_words(from, "-c 5 -s 20000 " + address) + ping_words(from, "-c 5 -s 20000 " + address6);
            said += ping_words(from, "-c 3 -R " + address) + ping_words(from, "-c 3 -t 1 " + address);
            for (const std::size_t size :
                 {std::size_t{1}, std::size_t{18}, std::size_t{100}, largest, largest + 1, std::size_t{20000}})
                said += exchange_datagrams(from, to, address, size) + exchange_datagrams(from, to, address6, size);
            said += hold_connections(from, to, address, address6);
        }
        said += hold_connections(net.container(2), from, VxlanNet::address(1), VxlanNet::address6(1));
        return said;
    }

    static void expect_same_with_and_without(const VxlanNet& net) {
        const std::string expected = converse(net);
        const std::string known = net.vteps(1);
        // What machine 1 sends leaves with its checksums finished, so that machine 2 looks at the outer ones.
        shell_in(net.host(1), "ethtool -K uplink tx off >/dev/null");
        EXPECT_THAT(expected, HasSubstr("20 packets transmitted, 20 received"));
        net.up();
        EXPECT_EQ(converse(net), expected);
        EXPECT_EQ(net.vteps(1), known);
        net.expect_some(1, VxlanNet::kDevice, REASON_DECAPSULATED);
        net.expect_some(1, "c1", REASON_ENCAPSULATED);
        net.expect_some(2, VxlanNet::kDevice, REASON_DECAPSULATED);
        net.expect_some(2, "c2", REASON_ENCAPSULATED);
        net.down();
        EXPECT_EQ(converse(net), expected);
        fmt::print("{}{}", expected, known);
    }
};

TEST_P(VxlanTest, TwoMachines) {
    VxlanPlan two = plan();
    two.machines = 2;
    expect_same_with_and_without(VxlanNet(net(), two));
}

// By TC, what stands for several frames goes into a tunnel in one step if there is no checksum to make: whether the
// underlay cuts it or the other machine gets it whole.
class VxlanStreamTest : public VxlanTest {};

TEST_P(VxlanStreamTest, IntoATunnelWithoutChecksums) {
    VxlanPlan two = plan();
    two.machines = 2;
    two.summed = false;
    const VxlanNet net(this->net(), two);
    const auto converse = [&] { return hold_connections(net.container(1), net.container(2), VxlanNet::address(2)); };
    const std::string expected = converse();
    EXPECT_THAT(expected, HasSubstr("good"));
    for (const char* offloads : {"on", "off"}) {
        SCOPED_TRACE(offloads);
        shell_in(
            net.host(1),
            fmt::format("ethtool -K uplink tx {0} tso {0} gso {0} tx-udp_tnl-segmentation {0} >/dev/null", offloads));
        net.up();
        EXPECT_EQ(converse(), expected);
        // So long that what goes by the VXLAN device once a second, until the way is known again, counts little.
        EXPECT_EQ(iperf3(net.container(1), fmt::format("-c {} -t {}", VxlanNet::address(2), is_emulated() ? 3 : 1),
                         net.container(2)),
                  "");
        const auto fast = net.frames(1, "c1", REASON_ENCAPSULATED), all = net.frames(1, "c1", REASON_COUNT);
        EXPECT_GT(static_cast<double>(fast), is_emulated() ? 0 : 0.8 * static_cast<double>(all));
        fmt::print("{} of {} frames went into the tunnel in one step\n", fast, all);
        net.down();
    }
}

// Each hook and each family once.
class VxlanVariedTest : public VxlanTest {};

TEST_P(VxlanVariedTest, ThreeMachines) {
    expect_same_with_and_without(VxlanNet(net(), plan()));
}

TEST_P(VxlanVariedTest, JumboFrames) {
    VxlanPlan jumbo = plan();
    jumbo.machines = 2;
    jumbo.underlay_mtu = 9000;
    jumbo.inner_mtu = 8930;
    const VxlanNet net(this->net(), jumbo);
    const std::string expected = converse(net);
    try {
        net.up();
    } catch (const std::runtime_error& refused) {
        GTEST_SKIP() << "this hook does not take such frames here: " << refused.what();
    }
    EXPECT_EQ(converse(net), expected);
    net.expect_some(2, VxlanNet::kDevice, REASON_DECAPSULATED);
    fmt::print("{}", expected);
}

// Inner frames as large as the underlay's: with the outer headers they are too big. Who forbids fragments is told, and
// keeps to it; the others' go in two parts.
TEST_P(VxlanVariedTest, InnerFramesTooBig) {
    VxlanPlan big = plan();
    big.machines = 2;
    big.inner_mtu = big.underlay_mtu;
    const VxlanNet net(this->net(), big);
    const std::string fits = fmt::format("mtu={}", big.underlay_mtu - outer_headers());
    const auto say = [&] {
        std::string said;
        for (const std::size_t container : {1UL, 2UL})
            shell_in(net.container(container), "ip route flush cache; ip -6 route flush cache");
        const lab::Namespace& from = net.container(1);
        for (const std::string& to : {VxlanNet::address(2), VxlanNet::address6(2)}) {
            said += ping_words(from, "-c 2 " + to);
            // The first gets the error, and the next are not sent any more.
            said += ping_words(from, fmt::format("-c 1 -M do -s {} {}", big.inner_mtu - (to[0] == 'f' ? 48 : 28), to));
            said += ping_words(from, fmt::format("-c 1 -M do -s {} {}", big.inner_mtu - (to[0] == 'f' ? 48 : 28), to));
        }
        shell_in(net.container(1), "ip route flush cache; ip -6 route flush cache");
        said += ping_words(from, fmt::format("-c 3 -M dont -s {} {}", big.inner_mtu - 28, VxlanNet::address(2)));
        said += exchange_datagrams(from, net.container(2), VxlanNet::address(2), 100);
        said += hold_connections(from, net.container(2), VxlanNet::address(2), VxlanNet::address6(2));
        return said;
    };
    const std::string expected = say();
    EXPECT_THAT(expected, HasSubstr(fits));
    net.up();
    EXPECT_EQ(say(), expected);
    fmt::print("{}", expected);
}

// Those that measure time.
class VxlanMoveTest : public VxlanTest {};

// What became of a stream of frames while the place that they go to changed.
struct Moved {
    std::size_t sent = 0;
    std::size_t lost = 0;   // that came to neither place
    std::size_t wrong = 0;  // that came to the old place though they were sent after the new one had spoken
    std::size_t there = 0;  // at the new place
};

const int kMoves = is_emulated() ? 2 : 6;

// Containers 2 and 3 have the same MAC, and each in turn says that it is there.
Moved move_by_a_frame(const VxlanNet& net) {
    const MacAddr who = VxlanNet::container_mac(2);
    const FrameSocket from(net.container(1), "eth0");
    FrameSocket old_place(net.container(2), "eth0"), new_place(net.container(3), "eth0");
    const auto speak = [&who](const FrameSocket& at) {
        at.send(Ethernet{.destination = kBroadcast, .source = who} / Arp{.sender_mac = who} / PadTo{60});
    };
    const milliseconds while_there(is_emulated() ? 3000 : 400);
    Moved moved;
    for (int round = 0; round < kMoves; round++) {
        FrameSocket &before = round % 2 == 0 ? old_place : new_place, &after = round % 2 == 0 ? new_place : old_place;
        for (int i = 0; i < 3; i++) {
            speak(before);
            std::this_thread::sleep_for(milliseconds(20));
        }
        before.discard();
        after.discard();
        Stream stream(from, VxlanNet::container_mac(1), who, std::chrono::milliseconds(1));
        std::this_thread::sleep_for(while_there);
        speak(after);
        // From when that frame has arrived with certainty, on an idle machine.
        std::this_thread::sleep_for(milliseconds(is_emulated() ? 500 : 20));
        const std::uint32_t later = stream.begun();
        std::this_thread::sleep_for(while_there);
        const std::uint32_t sent = stream.stop();
        std::this_thread::sleep_for(milliseconds(is_emulated() ? 1000 : 100));
        std::set<std::uint32_t> arrived;
        for (const std::uint32_t number : Trial::numbers(before.receive(milliseconds(0)), VxlanNet::container_mac(1))) {
            arrived.insert(number);
            moved.wrong += number >= later ? 1 : 0;
        }
        for (const std::uint32_t number : Trial::numbers(after.receive(milliseconds(0)), VxlanNet::container_mac(1))) {
            arrived.insert(number);
            moved.there++;
        }
        moved.sent += sent;
        moved.lost += sent - arrived.size();
    }
    return moved;
}

TEST_P(VxlanMoveTest, AnAddressMovesByAFrame) {
    VxlanPlan quiet = plan();
    quiet.quiet = true;
    const VxlanNet net(this->net(), quiet);
    const Moved kernel = move_by_a_frame(net);
    net.up();
    const Moved now = move_by_a_frame(net);
    for (const auto& [name, moved] : {std::pair("kernel", kernel), std::pair("Underpass", now)})
        fmt::print("{}: {} sent, {} lost, {} to the old place, {} at the new one\n", name, moved.sent, moved.lost,
                   moved.wrong, moved.there);
    EXPECT_GT(kernel.there, kernel.sent / 4);
    // By the kernel alone, too, one may be lost in one run and none in the next, and some be late; where everything is
    // emulated the processor may be away for fifty of them, one a millisecond, at each move.
    EXPECT_LE(now.lost, kernel.lost + static_cast<std::size_t>(is_emulated() ? 50 * kMoves : 2));
    EXPECT_LE(now.wrong, kernel.wrong + 20);
    EXPECT_GT(now.there, now.sent / 4);
    net.expect_some(1, "c1", REASON_ENCAPSULATED);
}

// Milliseconds until the first container reaches the second one again: `change` is what happens to it meanwhile.
template <class Change>
milliseconds measure_move(const VxlanNet& net, Change&& change) {
    const std::string address = VxlanNet::address(2);
    EXPECT_THAT(ping_words(net.container(1), "-c 20 " + address), HasSubstr(" 0% packet loss"));
    change();
    net.announce(2);
    const auto taken = time_until_reached(net.container(1), address, milliseconds(is_emulated() ? 60000 : 15000));
    EXPECT_TRUE(taken) << "it is not reached any more";
    EXPECT_THAT(ping_words(net.container(1), "-c 20 " + address), HasSubstr(" 0% packet loss"));
    return taken.value_or(milliseconds(-1));
}

TEST_P(VxlanMoveTest, AContainerMoves) {
    const VxlanNet net(this->net(), plan());
    const auto there_and_back = [&net] {
        milliseconds longest{0};
        for (const auto& [from, to] :
             {std::pair<std::size_t, std::size_t>(2, 3), std::pair<std::size_t, std::size_t>(3, 2)}) {
            const std::size_t old_place = from, new_place = to;
            longest = std::max(longest, measure_move(net, [&net, old_place, new_place] {
                                   net.unplug(2, old_place);
                                   net.plug(2, new_place);
                               }));
        }
        return longest;
    };
    const milliseconds kernel = there_and_back();
    const std::string known = net.vteps(1);
    net.up();
    const milliseconds now = there_and_back();
    fmt::print("reached again after {} ms by the kernel alone, {} ms with Underpass\n", kernel.count(), now.count());
    EXPECT_LE(now, kernel + kGenerous);
    EXPECT_EQ(net.vteps(1), known);
}

// Its machine is off the network at once, and nobody there says goodbye.
TEST_P(VxlanMoveTest, AMachineDies) {
    const VxlanNet net(this->net(), plan());
    const auto die = [&net] {
        const milliseconds taken = measure_move(net, [&] {
            net.host(2).run([] { lab::set_down("uplink"); });
            net.unplug(2, 2);
            net.plug(2, 3);
        });
        // It comes back without its container, which goes home then.
        shell_in(net.host(2), fmt::format("ip link set uplink up; ip -6 addr replace {}/{} dev uplink nodad",
                                          net.plan().v6 ? net.vtep(2) : "fd0f::2", 64));
        net.host(2).run([] { lab::wait_until_running("uplink"); });
        measure_move(net, [&] {
            net.unplug(2, 3);
            net.plug(2, 2);
        });
        return taken;
    };
    const milliseconds kernel = die();
    net.up();
    const milliseconds now = die();
    fmt::print("reached again after {} ms by the kernel alone, {} ms with Underpass\n", kernel.count(), now.count());
    EXPECT_LE(now, kernel + kGenerous);
}

// Nobody learns by what VTEP a frame came; somebody says where each address is, and says it anew when it is elsewhere.
TEST_P(VxlanVariedTest, StaticEntries) {
    VxlanPlan fixed = plan();
    fixed.learning = false;
    const VxlanNet net(this->net(), fixed);
    const auto tell = [&net](std::size_t machine, std::size_t container, std::size_t where) {
        shell_in(net.host(machine),
                 fmt::format("bridge fdb replace {} dev {} dst {} self static",
                             VxlanNet::container_mac(container).text(), VxlanNet::kDevice, net.vtep(where)));
    };
    for (std::size_t machine = 1; machine <= 3; machine++)
        for (std::size_t container = 1; container <= 3; container++)
            if (container != machine) tell(machine, container, container);
    const std::string expected = converse(net);
    const std::string known = net.vteps(1);
    net.up();
    EXPECT_EQ(converse(net), expected);
    EXPECT_EQ(net.vteps(1), known);
    net.expect_some(1, VxlanNet::kDevice, REASON_DECAPSULATED);
    net.expect_some(1, "c1", REASON_ENCAPSULATED);
    const milliseconds taken = measure_move(net, [&] {
        net.unplug(2, 2);
        net.plug(2, 3);
        tell(1, 2, 3);
        tell(2, 2, 3);
        shell_in(net.host(3), fmt::format("bridge fdb del {} dev {} dst {} self", VxlanNet::container_mac(2).text(),
                                          VxlanNet::kDevice, net.vtep(2)));
    });
    fmt::print("reached again after {} ms\n", taken.count());
    EXPECT_LE(taken, kGenerous);
    // An entry that leads to the wrong machine is obeyed, too: by a flow that goes fast as well, and not when it is
    // next asked about. (Each VTEP keeps an address: one that comes or goes would have all flows asked anew.)
    tell(1, 9, 2);
    const Child stream(net.container(1), {"ping", "-n", "-i", "0.02", "-c", "100000", VxlanNet::address(2)});
    const auto answers = [&stream] {
        const std::string out = stream.out();
        std::size_t count = 0;
        for (auto at = out.find("bytes from"); at != std::string::npos; at = out.find("bytes from", at + 1)) count++;
        return count;
    };
    for (const milliseconds age : {milliseconds(600), milliseconds(800), milliseconds(1000), milliseconds(1200)}) {
        std::this_thread::sleep_for(age);
        const std::size_t before = answers();
        tell(1, 2, 2);
        std::this_thread::sleep_for(milliseconds(200));
        const std::size_t soon = answers();
        std::this_thread::sleep_for(milliseconds(200));
        EXPECT_GT(before, 0U);
        EXPECT_EQ(answers(), soon) << "of a flow of " << age.count() << " ms";
        tell(1, 2, 3);
    }
    tell(1, 2, 2);
    EXPECT_THAT(ping_words(net.container(1), "-c 3 -W 1 " + VxlanNet::address(2)), HasSubstr(" 0 received"));
}

const auto kWays = ::testing::Combine(::testing::Values("tc", "xdp"), ::testing::Values("IPv4", "IPv6"));
constexpr auto kWayName = [](const auto& test) {
    return std::string(std::get<0>(test.param)) + "_" + std::get<1>(test.param);
};
INSTANTIATE_TEST_SUITE_P(Hooks, VxlanTest, kWays, kWayName);
INSTANTIATE_TEST_SUITE_P(Hooks, VxlanMoveTest, kWays, kWayName);
INSTANTIATE_TEST_SUITE_P(Hooks, VxlanStreamTest, ::testing::Values(std::tuple("tc", "IPv4")), kWayName);
INSTANTIATE_TEST_SUITE_P(Hooks, VxlanVariedTest, ::testing::Values(std::tuple("tc", "IPv6"), std::tuple("xdp", "IPv4")),
                         kWayName);

}  // namespace

}  // namespace underpass::test
