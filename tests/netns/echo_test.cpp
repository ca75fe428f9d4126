// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Pings through a host with rules, by both hooks: each is answered, most go fast, conntrack has what it would have
// without Underpass, and what ends the connection or forbids it is obeyed.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "harness/frame_socket.h"
#include "nat_fixture.h"
#include "trial.h"

namespace underpass::test {

namespace {

class EchoTest : public NatFixture {
protected:
    static void rest(int ms) { std::this_thread::sleep_for(milliseconds(is_emulated() ? 3 * ms : ms)); }

    // A flood of pings, for more than a second.
    static int flood_count() { return is_emulated() ? 3000 : 150000; }
    static std::string flood(const lab::Namespace& from, const std::string& to) {
        const Finished pings =
            run(from,
                {"sh", "-c",
                 fmt::format("ping -n -f -q -c {} {} | grep transmitted | sed 's/, time.*//'", flood_count(), to)},
                milliseconds(120000));
        return pings.text();
    }

    // What conntrack has of pings, with what is left of their time.
    std::string connections() const {
        std::string all;
        for (const Connection& each : router_->run(list_connections)) {
            if (each.protocol != IPPROTO_ICMP) continue;
            all += fmt::format("{} > {}, {} > {}, status {:#x}, {}\n", each.original.source, each.original.destination,
                               each.reply.source, each.reply.destination, each.status,
                               each.timeout_s >= 25 && each.timeout_s <= 30 ? "new" : "old");
        }
        return all;
    }

    // As without Underpass, and most of its last two thirds fast in either direction: the first tenths of a second are
    // always the kernel's. (Where everything is slow, one look at the counters takes as long as a flood: half of it
    // all.)
    void expect_same_floods(const lab::Namespace& from, const std::string& to, const std::string& reason) {
        const auto converse = [&] {
            router_->run(forget_connections);
            std::string said = flood(from, to);
            return said + connections();
        };
        const std::string expected = converse();
        EXPECT_NE(expected.find(" 0% packet loss"), std::string::npos) << expected;
        up();
        auto conversation = std::async(std::launch::async, converse);
        auto before = counts();
        for (const std::uint64_t third = before.at("c").at("all") + static_cast<std::uint64_t>(flood_count()) / 3;
             !is_emulated() && before.at("c").at("all") < third; before = counts())
            if (conversation.wait_for(milliseconds(10)) != std::future_status::timeout) break;
        EXPECT_EQ(conversation.get(), expected);
        const auto after = counts();
        for (const char* port : {"c", "up"}) {
            const double fast = static_cast<double>(after.at(port).at(reason) - before.at(port).at(reason));
            const double all = static_cast<double>(after.at(port).at("all") - before.at(port).at("all"));
            EXPECT_GE(fast / all, is_emulated() ? 0.5 : 0.8) << port << ": " << ask("status").dump(2);
            fmt::print("{}: {} of {} fast\n", port, fast, all);
        }
        EXPECT_TRUE(underpass(*router_, {"down"}).ok());
        fmt::print("{}", expected);
    }

    std::uint64_t fast_in(int ms) const {
        const std::uint64_t before = routed("c", "translated");
        rest(ms);
        return routed("c", "translated") - before;
    }
    void expect_fast() const {
        for (int i = 0; i < 30; i++)
            if (fast_in(100) > 10) return;
        FAIL() << "it does not go fast: " << ask("status").dump(2);
    }

private:
    std::map<std::string, std::map<std::string, std::uint64_t>> counts() const {
        std::map<std::string, std::map<std::string, std::uint64_t>> result;
        const auto status = ask("status");
        for (const auto& bridge : status.at("bridges"))
            for (const auto& port : bridge.at("ports")) {
                auto& of_port = result[port.at("name").get<std::string>()];
                for (const char* reason : {"translated", "filtered"})
                    of_port[reason] = port.at(reason).at("packets").get<std::uint64_t>();
                of_port["all"] = port.at("fast").at("packets").get<std::uint64_t>();
                for (const auto& slow : port.at("slow")) of_port["all"] += slow.at("packets").get<std::uint64_t>();
            }
        return result;
    }
};

TEST_P(EchoTest, Masquerade) {
    nft(kMasquerade);
    expect_same_floods(*client_, "10.2.0.2", "translated");
}

// The router's own address is the client's.
TEST_P(EchoTest, Dnat) {
    nft(kMasquerade);
    nft("add rule ip n pre iifname up ip protocol icmp dnat to 10.1.0.2");
    expect_same_floods(*server_, "10.2.0.1", "translated");
}

TEST_P(EchoTest, Docker) {
    const std::string refused = add_docker_rules();
    if (!refused.empty()) GTEST_SKIP() << "iptables does not work here: " << refused;
    expect_same_floods(*client_, "10.2.0.2", "translated");
}

TEST_P(EchoTest, Ipv6) {
    nft(kMasquerade);
    shell(*server_, "ip -6 route add fd01::/64 via fd02::1");
    expect_same_floods(*client_, "fd02::2", "filtered");
}

// One that is taken out of conntrack is at once the kernel's, who begins another, as rules say by then.
TEST_P(EchoTest, ConnectionThatIsDeleted) {
    nft(kMasquerade);
    up();
    const Child pings(*client_, {"ping", "-n", "-q", "-i", is_emulated() ? "0.02" : "0.002", "10.2.0.2"});
    expect_fast();
    nft("insert rule inet f forward ct state new icmp type echo-request drop");
    expect_fast();
    router_->run(forget_connections);
    rest(100);
    EXPECT_EQ(fast_in(1500), 0U);
    EXPECT_EQ(connections(), "");
    nft("flush chain inet f forward; add rule inet f forward accept");
    expect_fast();
    // From another address.
    shell(*router_, "ip addr add 10.2.0.9/24 dev up");
    nft("flush chain ip n post; add rule ip n post oifname up snat to 10.2.0.9");
    router_->run(forget_connections);
    rest(200);
    expect_fast();
    const std::string flows = underpass(*router_, {"flows"}).out;
    EXPECT_NE(flows.find("10.2.0.9"), std::string::npos) << flows;
    EXPECT_NE(connections().find("10.2.0.2 > 10.2.0.9"), std::string::npos) << connections();
}

TEST_P(EchoTest, WhatForbidsItIsObeyed) {
    nft(kMasquerade);
    up();
    const Child pings(*client_, {"ping", "-n", "-q", "-i", is_emulated() ? "0.02" : "0.002", "10.2.0.2"});
    FrameSocket server(*server_, "s");
    for (const char* rule : {"insert rule inet f forward ip protocol icmp drop",
                             "insert rule inet f forward icmp type echo-request drop"}) {
        SCOPED_TRACE(rule);
        expect_fast();
        nft(rule);
        rest(100);
        server.discard();
        rest(400);
        constexpr std::size_t kProtocol = 14 + 9;
        const auto frames = server.receive(milliseconds(10));
        EXPECT_EQ(
            std::ranges::count_if(
                frames, [](const Frame& each) { return each.size() > kProtocol && each[kProtocol] == IPPROTO_ICMP; }),
            0);
        nft("flush chain inet f forward; add rule inet f forward accept");
    }
    expect_fast();
}

INSTANTIATE_TEST_SUITE_P(Hooks, EchoTest, ::testing::Values("tc", "xdp"), [](const auto& test) { return test.param; });

}  // namespace

}  // namespace underpass::test
