// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A host whose rules see what it routes: masquerade, published ports, filters, as people write them and as container
// engines do. By both hooks: conversations as without Underpass, and every change that the kernel obeys.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <set>
#include <thread>

#include "harness/frame_socket.h"
#include "lab/link.h"
#include "loader/fd.h"
#include "nat_fixture.h"
#include "trial.h"

namespace underpass::test {

namespace {

class NatTest : public NatFixture {
protected:
    // What people try first, and what goes wrong first; each line as it was said, without times.
    std::string converse() const {
        std::string said;
        const auto say = [&](const lab::Namespace& where, const std::string& command, const std::string& keep) {
            const Finished finished =
                run(where, {"sh", "-c", command + " 2>&1 | grep -E '" + keep + "' | sed 's/, time.*//'"},
                    milliseconds(60000));
            said += command + ":\n" + finished.out;
        };
        say(*client_, "ping -n -W 2 -c 5 -i 0.01 10.2.0.2", "transmitted");
        say(*client_, "ping -n -W 2 -c 2 -i 0.01 -s 4000 10.2.0.2", "transmitted");  // fragments
        say(*client_, "ping -n -W 2 -c 2 -i 0.01 -t 1 10.2.0.2", "exceeded|transmitted");
        say(*client_, "ping -n -W 2 -c 2 -i 0.01 10.1.0.1", "transmitted");
        say(*server_, "ping -n -W 1 -c 1 10.1.0.2", "transmitted|nreachable");
        said += stream(*client_, "10.2.0.2", *server_, 5201, "");
        said += stream(*client_, "10.2.0.2", *server_, 5201, "-R");
        said += stream(*server_, "10.2.0.1", *client_, 80, "-p 8080");  // the published port
        return said;
    }

    void expect_same_conversations() {
        const std::string expected = converse();
        up();
        EXPECT_EQ(converse(), expected);
        EXPECT_GE(routed("c", "translated"), is_emulated() ? 10U : 1000U) << ask("status").dump(2);
        EXPECT_GE(routed("up", "translated"), is_emulated() ? 10U : 500U);
        const Finished down = underpass(*router_, {"down"});
        EXPECT_TRUE(down.ok()) << down.text();
        EXPECT_EQ(converse(), expected);
        fmt::print("{}", expected);
    }
};

TEST_P(NatTest, Masquerade) {
    nft(kMasquerade);
    expect_same_conversations();
}

TEST_P(NatTest, Docker) {
    const std::string refused = add_docker_rules();
    if (!refused.empty()) GTEST_SKIP() << "iptables does not work here: " << refused;
    expect_same_conversations();
}

// Rules that have to see each packet are named, and what they might see is left to the kernel.
TEST_P(NatTest, RulesThatSeeEachPacket) {
    nft(kMasquerade);
    up();
    nft("add rule inet f forward limit rate over 100000/second counter");
    ask("sync");
    const std::string named = underpass(*router_, {"status"}).text();
    EXPECT_NE(named.find("limit (table inet f, chain forward)"), std::string::npos) << named;
    EXPECT_EQ(stream(*client_, "10.2.0.2", *server_, 5201, ""), "");
    EXPECT_EQ(routed("c", "translated"), 0U);
    nft("flush chain inet f forward; add rule inet f forward accept");
    ask("sync");
    EXPECT_EQ(stream(*client_, "10.2.0.2", *server_, 5201, ""), "");
    EXPECT_GT(routed("c", "translated"), 10U);
}

// One byte there and one back, in time.
void echo_once(int client, int server) {
    const auto carry = [](int from, int to) {
        char byte = 'k';
        ASSERT_EQ(::send(from, &byte, 1, 0), 1);
        ASSERT_EQ(::recv(to, &byte, 1, 0), 1);
    };
    carry(client, server);
    carry(server, client);
}

// Of all connections that conntrack has.
std::uint32_t least_timeout_s() {
    std::uint32_t least = std::numeric_limits<std::uint32_t>::max();
    for (const Connection& each : list_connections()) least = std::min(least, each.timeout_s);
    return least;
}

// Somebody types: conntrack sees a key and its echo now and then, and never that the echo was acknowledged. The
// connection is not to go for that once it is idle.
TEST_P(NatTest, IdleConnectionKeepsItsTime) {
    nft(kMasquerade);
    up();
    sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(5555), .sin_addr = {}};
    ::inet_pton(AF_INET, "10.2.0.2", &address.sin_addr);
    const auto* to = reinterpret_cast<const sockaddr*>(&address);
    const auto make_socket = [] {
        const int one = 1;
        const timeval patience = {.tv_sec = 20};
        Fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        ::setsockopt(made.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        ::setsockopt(made.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        return made;
    };
    const Fd listening = server_->run(make_socket);
    ASSERT_EQ(::bind(listening.get(), to, sizeof(address)), 0);
    ASSERT_EQ(::listen(listening.get(), 1), 0);
    const Fd client = client_->run(make_socket);
    ASSERT_EQ(::connect(client.get(), to, sizeof(address)), 0);
    const Fd server(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(server);
    for (int i = 0; i < 300; i++) {
        echo_once(client.get(), server.get());
        std::this_thread::sleep_for(milliseconds(is_emulated() ? 10 : 4));
    }
    EXPECT_GT(routed("c", "translated"), 10U);
    // (Which of the packets conntrack sees depends on when a second of either direction is over.)
    std::uint32_t before = 0;
    for (int i = 0; i < 6 && (before == 0 || before > 300); i++) {
        std::this_thread::sleep_for(milliseconds(1030 + 70 * i));
        echo_once(client.get(), server.get());
        std::this_thread::sleep_for(milliseconds(200));
        before = router_->run(least_timeout_s);
    }
    std::this_thread::sleep_for(milliseconds(8000));
    const std::uint32_t after = router_->run(least_timeout_s);
    fmt::print("{} s just behind the last key, {} s when it is idle\n", before, after);
    EXPECT_GT(after, 86400U);
    echo_once(client.get(), server.get());
}

// One UDP connection as bare frames, by static neighbours, so that nothing else is on the wires.
class NatStreamTest : public NatTest {
protected:
    void SetUp() override {
        NatTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        for (const auto& [where, device] : {std::pair(client_, "c"), std::pair(server_, "s")})
            where->run([device = device] { lab::disable_ipv6(device); });
        shell(*router_, "for d in br0 up c d; do sysctl -q -w net.ipv6.conf.$d.disable_ipv6=1; done");
        client_mac_ = client_->run([] { return lab::mac("c"); });
        server_mac_ = server_->run([] { return lab::mac("s"); });
        // Trial::numbered() is from 10.0.0.1 to 10.0.0.2.
        shell(*router_, fmt::format("ip route add 10.0.0.1 dev br0; ip route add 10.0.0.2 dev up;"
                                    "ip neigh replace 10.0.0.1 lladdr {} nud permanent dev br0;"
                                    "ip neigh replace 10.0.0.2 lladdr {} nud permanent dev up;",
                                    client_mac_.text(), server_mac_.text()));
        router_->run([this] {
            bridge_mac_ = lab::mac("br0");
            up_mac_ = lab::mac("up");
        });
        from_.emplace(*client_, "c");
        to_.emplace(*server_, "s");
        nft(kMasquerade);
        up();
        for (int i = 0; i < 3; i++) {
            from_->send(Ethernet{.destination = kBroadcast, .source = client_mac_} /
                        Arp{.sender_mac = client_mac_, .target = "10.9.9.9"} / PadTo{60});
            ask("sync");
        }
        to_->discard();
    }

    static constexpr std::size_t kSourcePort = 14 + 20, kNumber = kSourcePort + 8;

    // The server answers what it has got last, so that conntrack has seen both directions.
    void answer_one() {
        const auto frames = to_->receive(milliseconds(is_emulated() ? 1000 : 100));
        ASSERT_FALSE(frames.empty());
        std::uint16_t port = 0;
        std::memcpy(&port, frames.back().data() + kSourcePort, sizeof(port));
        to_->send(Ethernet{.destination = up_mac_, .source = server_mac_} /
                  IPv4{.source = "10.0.0.2", .destination = "10.2.0.1"} /
                  UDP{.sport = Trial::kNumberedPort, .dport = __builtin_bswap16(port)});
    }

    std::uint64_t translated_in(milliseconds time) const {
        const std::uint64_t before = routed("c", "translated");
        std::this_thread::sleep_for(time * (is_emulated() ? 3 : 1));
        return routed("c", "translated") - before;
    }
    void expect_fast() const {
        for (int i = 0; i < 30; i++)
            if (translated_in(milliseconds(100)) > 10) return;
        FAIL() << "it does not go fast: " << ask("status").dump(2);
    }

    static std::chrono::microseconds interval() { return std::chrono::microseconds(is_emulated() ? 5000 : 200); }

    std::optional<FrameSocket> from_, to_;
    MacAddr client_mac_, server_mac_, bridge_mac_, up_mac_;
};

// All frames arrive once, and those that went fast are those that went the kernel's way, byte for byte.
TEST_P(NatStreamTest, EachFrameOnceAndAsTheKernelSendsIt) {
    Stream stream(*from_, client_mac_, bridge_mac_, interval());
    answer_one();
    to_->discard();
    const std::uint32_t first = stream.begun();
    expect_fast();
    std::this_thread::sleep_for(milliseconds(2500));  // over pulses
    const Finished flows = underpass(*router_, {"flows", "--json"});
    const std::uint32_t sent = stream.stop();
    const auto frames = to_->receive(milliseconds(is_emulated() ? 3000 : 300));
    const auto numbers = Trial::numbers(frames, up_mac_);
    EXPECT_EQ(std::set<std::uint32_t>(numbers.begin(), numbers.end()).size(), numbers.size()) << "one came twice";
    EXPECT_GE(numbers.size() + 5, sent - first);
    const auto list = nlohmann::json::parse(flows.out).at("flows");
    ASSERT_EQ(list.size(), 1U) << flows.text();
    EXPECT_EQ(list[0].at("source"), "10.0.0.1");
    EXPECT_EQ(list[0].at("translated").at("source"), "10.2.0.1");
    EXPECT_EQ(list[0].at("translated").at("destination"), "10.0.0.2");
    ASSERT_FALSE(frames.empty());
    for (const Frame& frame : frames) {
        if (Trial::numbers({frame}, up_mac_).empty()) continue;
        ASSERT_EQ(frame.size(), frames.back().size());
        Frame expected = frames.back();
        std::copy_n(frame.begin() + kNumber, sizeof(std::uint32_t), expected.begin() + kNumber);
        ASSERT_EQ(frame, expected) << describe(frame) << '\n' << describe(expected);
    }
}

// A connection that is taken out of conntrack is at once the kernel's, who begins another.
TEST_P(NatStreamTest, ConnectionThatIsDeleted) {
    Stream stream(*from_, client_mac_, bridge_mac_, interval());
    answer_one();
    expect_fast();
    router_->run(forget_connections);
    std::this_thread::sleep_for(milliseconds(50));
    EXPECT_EQ(translated_in(milliseconds(1500)), 0U);
    to_->discard();
    answer_one();
    expect_fast();
}

// What the kernel does after `change` is what happens.
TEST_P(NatStreamTest, WhatForbidsItIsObeyed) {
    for (const auto& [change, undo, limit] :
         {std::tuple("nft insert rule inet f forward udp dport 4000 drop", "nft delete table inet f",
                     milliseconds(100)),
          {"nft insert rule ip n post udp dport 4000 drop; ip route replace blackhole 10.0.0.2",
           "ip route replace 10.0.0.2 dev up; nft flush ruleset", milliseconds(100)}}) {
        SCOPED_TRACE(change);
        Stream stream(*from_, client_mac_, bridge_mac_, interval());
        to_->discard();
        answer_one();
        expect_fast();
        shell(*router_, change);
        const auto changed = Stream::Clock::now();
        std::this_thread::sleep_for(milliseconds(400));
        shell(*router_, undo);
        const std::uint32_t sent = stream.stop();
        double latest = 0;
        std::size_t before = 0;
        for (const std::uint32_t number : Trial::numbers(to_->receive(milliseconds(300)), up_mac_)) {
            const auto time = stream.time_of(number);
            before += time < changed ? 1 : 0;
            const double late = std::chrono::duration<double, std::milli>(time - changed).count();
            if (late < 390) latest = std::max(latest, late);
        }
        fmt::print("{}: the last frame {:.2f} ms after it ({} sent)\n", change, latest, sent);
        EXPECT_LE(latest, static_cast<double>(limit.count()) * (is_emulated() ? 3 : 1));
        EXPECT_GT(before, 0U);
    }
}

constexpr auto kHookName = [](const auto& info) { return std::string(info.param); };
INSTANTIATE_TEST_SUITE_P(Hooks, NatTest, ::testing::Values("tc", "xdp"), kHookName);
INSTANTIATE_TEST_SUITE_P(Hooks, NatStreamTest, ::testing::Values("tc", "xdp"), kHookName);

}  // namespace

}  // namespace underpass::test
