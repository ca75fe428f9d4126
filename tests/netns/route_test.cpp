// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A host that routes between its bridge and an uplink, by both hooks: conversations as without Underpass, and every
// change that the kernel obeys.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>

#include "crowd.h"
#include "harness/frame_socket.h"
#include "harness/process.h"
#include "harness/test_net.h"
#include "lab/link.h"
#include "lab/network.h"
#include "lab/spec.h"
#include "loader/attach.h"
#include "loader/pin.h"
#include "route_fixture.h"
#include "sync/control.h"
#include "sync/state.h"
#include "trial.h"

namespace underpass::test {

namespace {

using std::chrono::microseconds;

// The same words from the same tools, without and with Underpass; with it, most of it by the fast path.
TEST_P(RouteTest, Conversations) {
    const auto converse = [this] {
        std::string said;
        const auto ping = [&](const std::string& words, const std::string& keep) {
            const Finished finished =
                run(*client_,
                    {"sh", "-c", "ping -n -W 2 " + words + " 2>&1 | grep -E '" + keep + "' | sed 's/, time.*//'"});
            said += words + ":\n" + finished.out;
        };
        ping("-c 5 -i 0.01 10.2.0.2", "transmitted");
        ping("-c 5 -i 0.01 -s 1472 -M do 10.2.0.2", "transmitted");
        ping("-c 3 -i 0.01 -s 4000 10.2.0.2", "transmitted");  // fragments
        ping("-c 3 -i 0.01 -R 10.2.0.2", "transmitted");       // options
        ping("-c 2 -i 0.01 -t 1 10.2.0.2", "exceeded|transmitted");
        ping("-c 2 -i 0.01 -t 2 10.2.0.2", "exceeded|transmitted");
        ping("-c 3 -i 0.01 10.1.0.1", "transmitted");  // the router itself, by each of its addresses
        ping("-c 3 -i 0.01 10.2.0.1", "transmitted");
        ping("-c 3 -i 0.01 10.1.0.3", "transmitted");  // bridged
        ping("-c 5 -i 0.01 fd02::2", "transmitted");
        ping("-c 3 -i 0.01 -s 4000 fd02::2", "transmitted");
        ping("-c 2 -i 0.01 -t 1 fd02::2", "exceeded|transmitted");
        for (const char* address : {"10.2.0.2", "fd02::2"}) {
            EXPECT_EQ(iperf3(*client_, fmt::format("-c {} -n {}", address, is_emulated() ? "200K" : "20M"), *server_),
                      "");
        }
        return said;
    };
    const std::string expected = converse();
    up();
    EXPECT_EQ(converse(), expected);
    EXPECT_GE(routed("c"), 100U);
    EXPECT_GE(routed("up"), 10U);
    const Finished down = underpass(*router_, {"down"});
    EXPECT_TRUE(down.ok()) << down.text();
    EXPECT_EQ(converse(), expected);
    fmt::print("{}", expected);
}

// PMTU: the next network takes less. The client is told, and keeps to it.
TEST_P(RouteTest, PathMtu) {
    shell(*router_, "ip link set dev up mtu 1300");
    shell(*server_, "ip link set s mtu 1300");
    up();
    const auto ping = [&](const std::string& size) {
        return answer(*client_, {"ping", "-n", "-c", "2", "-i", "0.1", "-W", "2", "-M", "do", "-s", size, "10.2.0.2"});
    };
    for (int round = 0; round < 2; round++) {
        EXPECT_NE(ping("1272").find(" 0% packet loss"), std::string::npos);
        const std::string told = ping("1400");
        EXPECT_NE(told.find(round == 0 ? "mtu = 1300" : "message too long, mtu=1300"), std::string::npos) << told;
    }
    EXPECT_EQ(iperf3(*client_, fmt::format("-c 10.2.0.2 -n {}", is_emulated() ? "100K" : "5M"), *server_), "");
}

// The uplink is a VLAN device: its tag is put on, and taken off, in the same step.
TEST_P(RouteTest, VlanUplink) {
    const Finished made =
        run(*router_, {"ip", "link", "add", "link", "up", "name", "up.10", "type", "vlan", "id", "10"});
    if (!made.ok()) GTEST_SKIP() << "this kernel has no VLAN devices";
    shell(*router_, "ip addr flush dev up; ip link set dev up.10 up; ip addr add 10.2.0.1/24 dev up.10");
    shell(*server_,
          "ip link add link s name s.10 type vlan id 10; ip addr flush dev s; ip link set dev s.10 up;"
          "ip addr add 10.2.0.2/24 dev s.10; ip route add default via 10.2.0.1");
    const Finished up = underpass(*router_, {"up", "br0", "up.10", "--hook", GetParam()});
    ASSERT_TRUE(up.ok()) << up.text();
    for (const char* size : {"56", "1472"}) {
        const std::string said = answer(
            *client_, {"ping", "-n", "-q", "-c", "40", "-i", "0.05", "-W", "5", "-M", "do", "-s", size, "10.2.0.2"});
        EXPECT_NE(said.find(" 40 received"), std::string::npos) << said;
    }
    EXPECT_GE(routed("c"), 20U);
    EXPECT_GE(routed("up.10"), 20U);
    const Child ping(*client_, {"ping", "-q", "-i", "0.1", "10.2.0.2"});
    EXPECT_TRUE(lists_flow("up.10"));
}

// One flow of numbered frames, by static neighbours, so that nothing else is on the wires.
class RouteStreamTest : public RouteTest {
protected:
    static constexpr MacAddr kNewServer = {{2, 0, 0, 0, 0xaa, 0x99}};

    void SetUp() override {
        RouteTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        for (const auto& [where, device] : {std::pair(client_, "c"), std::pair(server_, "s"), std::pair(other_, "d")})
            where->run([device = device] { lab::disable_ipv6(device); });
        shell(*router_, "for d in br0 up c d; do sysctl -q -w net.ipv6.conf.$d.disable_ipv6=1; done");
        client_mac_ = client_->run([] { return lab::mac("c"); });
        server_mac_ = server_->run([] { return lab::mac("s"); });
        const MacAddr other_mac = other_->run([] { return lab::mac("d"); });
        // Trial::numbered() is from 10.0.0.1 to 10.0.0.2.
        shell(*router_, fmt::format("ip route add 10.0.0.1 dev br0; ip route add 10.0.0.2 dev up;"
                                    "ip neigh replace 10.0.0.1 lladdr {} nud permanent dev br0;"
                                    "ip neigh replace 10.0.0.2 lladdr {} nud permanent dev up;"
                                    "ip neigh replace 10.0.0.2 lladdr {} nud permanent dev br0",
                                    client_mac_.text(), server_mac_.text(), other_mac.text()));
        router_->run([this] {
            bridge_mac_ = lab::mac("br0");
            up_mac_ = lab::mac("up");
        });
        from_.emplace(*client_, "c");
        to_.emplace(*server_, "s");
        beside_.emplace(*other_, "d");
        up();
        introduce();
    }

    void introduce() {
        for (int i = 0; i < 3; i++) {
            for (const auto& [socket, source] :
                 {std::pair(&*from_, client_mac_), std::pair(&*beside_, other_->run([] { return lab::mac("d"); }))})
                socket->send(Ethernet{.destination = kBroadcast, .source = source} /
                             Arp{.sender_mac = source, .target = "10.9.9.9"} / PadTo{60});
            ask("sync");
        }
        to_->discard();
        beside_->discard();
    }

    static microseconds interval() { return microseconds(is_emulated() ? 5000 : 100); }
    static void rest(milliseconds time) { std::this_thread::sleep_for(time * (is_emulated() ? 3 : 1)); }

    std::vector<std::uint32_t> at_server(milliseconds time = milliseconds(200)) {
        return Trial::numbers(to_->receive(time * (is_emulated() ? 10 : 1)), up_mac_);
    }

    // How many more are routed fast in a while.
    std::uint64_t fast_in(milliseconds time) const {
        const std::uint64_t before = routed("c");
        rest(time);
        return routed("c") - before;
    }
    // Fast again after what ended that; a flow is asked about once a second at the latest.
    void expect_fast() const {
        for (int i = 0; i < 30; i++)
            if (fast_in(milliseconds(100)) > 10) return;
        FAIL() << "it does not go fast: " << ask("status").dump(2);
    }

    // All frames of the stream, once and in their order; `most_lost` may be missing.
    void expect_all(std::vector<std::uint32_t> arrived, std::uint32_t sent, std::size_t most_lost = 0) {
        const std::vector<std::uint32_t> in_their_order = arrived;
        std::ranges::sort(arrived);
        EXPECT_EQ(std::ranges::adjacent_find(arrived), arrived.end()) << "one came twice";
        std::size_t disorder = 0;
        for (std::size_t i = 0; i < arrived.size(); i++) disorder += arrived[i] == in_their_order[i] ? 0 : 1;
        fmt::print("{} frames sent, {} arrived, {} not in their place\n", sent, arrived.size(), disorder);
        if (!is_emulated()) {
            EXPECT_EQ(disorder, 0U);
        }
        EXPECT_GE(arrived.size() + most_lost, sent);
        EXPECT_LE(arrived.size(), sent);
    }

    // What the kernel does after `change` is what happens, within `limit`: no frame sent later arrives at the server.
    void expect_obeyed(const std::string& change, const std::string& undo, milliseconds limit) {
        SCOPED_TRACE(change);
        at_server();
        Stream stream(*from_, client_mac_, bridge_mac_, interval());
        expect_fast();
        shell(*router_, change);
        const auto changed = Stream::Clock::now();
        rest(limit + milliseconds(300));
        const auto undoing = Stream::Clock::now();
        shell(*router_, undo);
        const auto undone = Stream::Clock::now();
        expect_fast();
        const std::uint32_t sent = stream.stop();
        double latest = 0;
        std::size_t before = 0, after = 0;
        for (const std::uint32_t number : at_server()) {
            const auto time = stream.time_of(number);
            before += time < changed ? 1 : 0;
            after += time > undone ? 1 : 0;
            if (time > changed && time < undoing)
                latest = std::max(latest, std::chrono::duration<double, std::milli>(time - changed).count());
        }
        fmt::print("{}: the last frame {:.2f} ms after it ({} sent)\n", change, latest, sent);
        EXPECT_LE(latest, static_cast<double>(limit.count()) * (is_emulated() ? 10 : 1));
        EXPECT_GT(before, 0U);
        EXPECT_GT(after, 0U);
    }

    std::optional<FrameSocket> from_, to_, beside_;
    MacAddr client_mac_, server_mac_, bridge_mac_, up_mac_;
};

TEST_P(RouteStreamTest, EachFrameOnceAndAsTheKernelSendsIt) {
    Stream stream(*from_, client_mac_, bridge_mac_, interval());
    expect_fast();
    rest(milliseconds(2500));                                         // over pulses
    const Finished flows = underpass(*router_, {"flows", "--json"});  // an idle one is soon forgotten
    EXPECT_NE(underpass(*router_, {"flows"}).out.find("10.0.0.2:4000"), std::string::npos);
    const std::uint32_t sent = stream.stop();
    const auto frames = to_->receive(milliseconds(is_emulated() ? 3000 : 300));
    expect_all(Trial::numbers(frames, up_mac_), sent);
    for (const Frame& frame : frames) {
        if (Trial::numbers({frame}, up_mac_).empty()) continue;
        EXPECT_EQ(destination_of(frame), server_mac_);
        EXPECT_EQ(frame[14 + 8], 63) << describe(frame);
    }
    if (!is_emulated()) {
        EXPECT_GE(routed("c") * 100, sent * 90ULL);
    }
    ASSERT_TRUE(flows.ok()) << flows.text();
    const auto list = nlohmann::json::parse(flows.out).at("flows");
    ASSERT_EQ(list.size(), 1U) << flows.out;
    EXPECT_EQ(list[0].at("source"), "10.0.0.1");
    EXPECT_EQ(list[0].at("destination"), "10.0.0.2");
    EXPECT_EQ(list[0].at("destination_port"), 4000);
    EXPECT_EQ(list[0].at("in"), "br0");
    EXPECT_EQ(list[0].at("out"), "up");
    EXPECT_EQ(list[0].at("next_hop"), server_mac_.text());
    EXPECT_LE(list[0].at("packets").get<std::uint64_t>(), sent);
}

TEST_P(RouteStreamTest, WhatForbidsItIsObeyed) {
    if (run(*router_, {"nft", "list", "ruleset"}).ok())
        expect_obeyed(
            "nft 'add table ip t; add chain ip t f { type filter hook forward priority 0; }; "
            "add rule ip t f udp dport 4000 drop'",
            "nft delete table ip t", milliseconds(100));
    expect_obeyed("sysctl -q -w net.ipv4.ip_forward=0", "sysctl -q -w net.ipv4.ip_forward=1", milliseconds(100));
    expect_obeyed("ip route replace blackhole 10.0.0.2", "ip route replace 10.0.0.2 dev up", milliseconds(50));
    expect_obeyed("ip rule add from 10.0.0.1 prohibit", "ip rule del from 10.0.0.1 prohibit", milliseconds(50));
    if (run(*router_, {"ip", "xfrm", "policy", "list"}).ok())
        expect_obeyed("ip xfrm policy add src 10.0.0.1 dst 10.0.0.2 dir fwd action block", "ip xfrm policy flush",
                      milliseconds(100));
    expect_obeyed("ip addr add 10.0.0.2/32 dev br0", "ip addr del 10.0.0.2/32 dev br0", milliseconds(100));
    expect_obeyed("ip route replace 10.0.0.1 dev up; sysctl -q -w net.ipv4.conf.br0.rp_filter=1",
                  "sysctl -q -w net.ipv4.conf.br0.rp_filter=0; ip route replace 10.0.0.1 dev br0", milliseconds(100));
    // A port of the bridge is another way: the frames go out there.
    expect_obeyed("ip route replace 10.0.0.2 dev br0", "ip route replace 10.0.0.2 dev up", milliseconds(50));
}

// A flow that has ended is forgotten, and one that goes on is not.
TEST_P(RouteStreamTest, IdleFlowsAreForgotten) {
    const auto entries = [this] { return ask("status").at("maps").at("flows").at("entries").get<std::uint64_t>(); };
    Stream stream(*from_, client_mac_, bridge_mac_, microseconds(5000));
    expect_fast();
    for (std::uint16_t port = 1; port <= 200; port++)
        from_->send(Ethernet{.destination = bridge_mac_, .source = client_mac_} / IPv4{} / UDP{.dport = port});
    std::this_thread::sleep_for(milliseconds(2500));
    EXPECT_GE(entries(), 201U);
    std::this_thread::sleep_for(milliseconds(7000));
    EXPECT_EQ(entries(), 1U);
    EXPECT_GT(fast_in(milliseconds(300)), 10U);
    stream.stop();
    to_->discard();
}

// A neighbour with a new address is followed.
TEST_P(RouteStreamTest, NeighbourThatMoves) {
    Stream stream(*from_, client_mac_, bridge_mac_, interval());
    expect_fast();
    shell(*router_, "ip neigh replace 10.0.0.2 lladdr " + kNewServer.text() + " nud permanent dev up");
    const auto changed = Stream::Clock::now();
    expect_fast();
    const std::uint32_t sent = stream.stop();
    const auto frames = to_->receive(milliseconds(is_emulated() ? 3000 : 300));
    expect_all(Trial::numbers(frames, up_mac_), sent);
    double latest = 0;
    for (const Frame& frame : frames)
        for (const std::uint32_t number : Trial::numbers({frame}, up_mac_))
            if (destination_of(frame) == server_mac_)
                latest = std::max(latest,
                                  std::chrono::duration<double, std::milli>(stream.time_of(number) - changed).count());
    fmt::print("the last frame to the old address {:.2f} ms after the change\n", latest);
    EXPECT_LE(latest, is_emulated() ? 500 : 50);
}

// A container that starts at the bridge tells of addresses and sysctls of its devices; who is there is not asked anew
// for that, which takes 50 ms each time.
TEST_P(RouteStreamTest, ContainersThatStart) {
    Stream stream(*from_, client_mac_, bridge_mac_, interval());
    const auto asked = [this] {
        const auto status = ask("status");
        std::uint64_t frames = 0;
        for (const auto& bridge : status.at("bridges"))
            for (const auto& port : bridge.at("ports"))
                if (port.at("name") == "c" && port.at("slow").contains("flow-asked"))
                    frames += port.at("slow").at("flow-asked").at("packets").get<std::uint64_t>();
        return frames;
    };
    constexpr int kContainers = 5;
    std::uint64_t frames = 0;
    for (int i = 0; i < kContainers; i++) {
        expect_fast();
        const std::uint64_t before = asked();
        shell(*router_, "ip link add new address fe:ff:ff:ff:ff:ff type veth peer name inside");
        shell(*router_, "ip link set new master br0; ip link set inside netns " + other_->name());
        shell(*other_, "ip link set inside name eth9 up");
        shell(*router_, "ip link set new up");
        EXPECT_GT(fast_in(milliseconds(500)), 10U);
        frames += asked() - before;
        shell(*router_, "ip link del new");
    }
    stream.stop();
    const microseconds slow = interval() * frames / kContainers;
    fmt::print("{} us of asking for each\n", slow.count());
    EXPECT_LT(slow, milliseconds(25));
}

TEST_P(RouteStreamTest, KilledAndStartedAgain) {
    Stream stream(*from_, client_mac_, bridge_mac_, interval());
    expect_fast();
    ::kill(ask("status").at("daemon").at("pid").get<pid_t>(), SIGKILL);
    std::this_thread::sleep_for(milliseconds(1200));
    up();
    expect_fast();
    const Finished down = underpass(*router_, {"down"});
    EXPECT_TRUE(down.ok()) << down.text();
    const std::uint32_t sent = stream.stop();
    expect_all(at_server(), sent, is_emulated() || std::string(GetParam()) == "xdp" ? 256 : 0);
    EXPECT_EQ(run(*router_, {"tc", "filter", "show", "dev", "up", "egress"}).out, "");
    EXPECT_EQ(run(*router_, {"tc", "qdisc", "show", "dev", "br0", "clsact"}).out, "");
}

// What a daemon that is gone had put at the egress goes with `down`, too.
TEST_P(RouteStreamTest, NothingIsLeftAfterACrash) {
    const auto left = [this](const char* device) {
        return run(*router_, {"tc", "filter", "show", "dev", device, "egress"}).out +
               run(*router_, {"tc", "qdisc", "show", "dev", device, "clsact"}).out;
    };
    ::kill(ask("status").at("daemon").at("pid").get<pid_t>(), SIGKILL);
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_TRUE(router_->run([] {
        const auto pins = PinDirectory::of_this_namespace();
        return pins.open("tc-egress-" + std::to_string(number(lab::ifindex("br0")))).has_value() || tcx_answer() != 0;
    })) << "or nothing is shown";
    const Finished down = underpass(*router_, {"down"});
    EXPECT_TRUE(down.ok()) << down.text();
    for (const char* device : {"br0", "up"}) EXPECT_EQ(left(device), "");
    router_->run([] {
        for (const char* device : {"br0", "up"})
            for (const bool ingress : {true, false})
                EXPECT_TRUE(tcx_programs(number(lab::ifindex(device)), ingress).empty()) << device;
    });
}

const auto kHookName = [](const auto& info) { return std::string(info.param); };
INSTANTIATE_TEST_SUITE_P(Hooks, RouteTest, ::testing::Values("tc", "xdp"), kHookName);
INSTANTIATE_TEST_SUITE_P(Hooks, RouteStreamTest, ::testing::Values("tc", "xdp"), kHookName);

}  // namespace

}  // namespace underpass::test
