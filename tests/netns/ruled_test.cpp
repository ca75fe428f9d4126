// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A bridge whose frames br_netfilter shows to rules, as on a host with a container engine: what goes from port to port
// as without Underpass, by both hooks, most of it fast; and what a rule forbids is obeyed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>
#include <vector>

#include "harness/frame_socket.h"
#include "lab/link.h"
#include "nat_fixture.h"
#include "trial.h"

namespace underpass::test {

namespace {

class RuledTest : public NatFixture {
protected:
    void SetUp() override {
        NatFixture::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        if (!std::filesystem::exists("/proc/sys/net/bridge")) GTEST_SKIP() << "br_netfilter is not loaded";
        shell(*router_, "sysctl -q -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1");
    }

    // Between two ports of the bridge, and out of it.
    std::string converse() const {
        const Finished pings = run(*client_, {"sh", "-c",
                                              "ping -n -c 5 -i 0.01 10.1.0.3 | grep transmitted | "
                                              "sed 's/, time.*//'"});
        return pings.out + stream(*client_, "10.1.0.3", *other_, 5201, "") +
               stream(*client_, "10.1.0.3", *other_, 5201, "-R") + stream(*client_, "10.2.0.2", *server_, 5201, "");
    }

    void expect_same_conversations() {
        const std::string expected = converse();
        EXPECT_NE(expected.find(" 0% packet loss"), std::string::npos) << expected;
        up();
        EXPECT_EQ(converse(), expected);
        for (const char* port : {"c", "d"})
            EXPECT_GE(routed(port, "ruled"), is_emulated() ? 10U : 1000U) << ask("status").dump(2);
        EXPECT_GE(routed("c", "translated"), is_emulated() ? 10U : 1000U);
        const std::string flows = underpass(*router_, {"flows"}).out;
        EXPECT_NE(flows.find("10.1.0.3:5201"), std::string::npos) << flows;
    }
};

TEST_P(RuledTest, Docker) {
    if (const std::string why = add_docker_rules(); !why.empty()) GTEST_SKIP() << why;
    expect_same_conversations();
}

TEST_P(RuledTest, StatefulFilterOfBothFamilies) {
    nft(kMasquerade);
    nft("add rule inet f forward iifname br0 oifname br0 accept");
    expect_same_conversations();
    const std::string told = underpass(*router_, {"status"}).out;
    EXPECT_NE(told.find("bridging: fast; IP as flows that rules accepted (table ip n"), std::string::npos) << told;
}

TEST_P(RuledTest, Echoes) {
    nft(kMasquerade);
    nft("add rule inet f forward iifname br0 oifname br0 accept");
    const auto flood = [this] {
        const int count = is_emulated() ? 3000 : 40000;
        return run(*client_, {"sh", "-c", fmt::format("ping -n -f -q -c {} 10.1.0.3 | sed -n 's/, time.*//p'", count)},
                   milliseconds(120000))
            .text();
    };
    const std::string expected = flood();
    EXPECT_NE(expected.find(" 0% packet loss"), std::string::npos) << expected;
    up();
    EXPECT_EQ(flood(), expected);
    for (const char* port : {"c", "d"})
        EXPECT_GE(routed(port, "ruled"), is_emulated() ? 1500U : 32000U) << ask("status").dump(2);
}

// A UDP connection between two ports, as bare frames. Some of them the kernel has to trim: those are not fast, and
// those between them are.
TEST_P(RuledTest, PaddedFramesLeaveTheOthersFast) {
    nft(kMasquerade);
    nft("add rule inet f forward iifname br0 oifname br0 accept");
    for (const auto& [where, device] : {std::pair(client_, "c"), std::pair(other_, "d")})
        where->run([device = device] { lab::disable_ipv6(device); });
    up();
    FrameSocket from(*client_, "c"), to(*other_, "d");
    const MacAddr client = client_->run([] { return lab::mac("c"); });
    const MacAddr other = other_->run([] { return lab::mac("d"); });
    for (int i = 0; i < 3; i++) {
        for (const auto& [socket, mac] : {std::pair(&from, client), std::pair(&to, other)})
            socket->send(Ethernet{.destination = kBroadcast, .source = mac} /
                         Arp{.sender_mac = mac, .target = "10.9.9.9"} / PadTo{60});
        ask("sync");
    }
    Stream stream(from, client, other, std::chrono::microseconds(is_emulated() ? 5000 : 200));
    std::this_thread::sleep_for(milliseconds(is_emulated() ? 500 : 50));
    to.send(Ethernet{.destination = client, .source = other} / IPv4{.source = "10.0.0.2", .destination = "10.0.0.1"} /
            UDP{.sport = Trial::kNumberedPort, .dport = UDP{}.sport});
    const auto padded = [&](int frames) {
        for (int i = 0; i < frames; i++) {
            Frame frame = Trial::numbered(other, 1, client);
            frame.resize(frame.size() + 6);
            from.send(frame);
            std::this_thread::sleep_for(milliseconds(is_emulated() ? 500 : 50));
        }
    };
    padded(30);
    // While the daemon is held up on a busy machine all are slow.
    const auto stale = [this] {
        for (const auto& bridge : ask("status").at("bridges"))
            for (const auto& port : bridge.at("ports"))
                if (port.at("name") == "c" && port.at("slow").contains("stale"))
                    return port.at("slow").at("stale").at("packets").get<std::uint64_t>();
        return std::uint64_t{0};
    };
    const std::uint64_t before = routed("c", "ruled"), stale_before = stale();
    const std::uint32_t first = stream.begun();
    padded(50);
    const auto fast = static_cast<double>(routed("c", "ruled") - before);
    const double sent = stream.begun() - first;
    const double believed = sent - static_cast<double>(stale() - stale_before);
    fmt::print("{} of {} fast\n", fast, believed);
    EXPECT_GE(believed, sent / 3);
    EXPECT_GE(fast / believed, is_emulated() ? 0.5 : 0.8) << ask("status").dump(2);
}

// A UDP connection between two ports, as bare frames.
TEST_P(RuledTest, WhatForbidsItIsObeyed) {
    nft(kMasquerade);
    nft("add rule inet f forward iifname br0 oifname br0 accept");
    for (const auto& [where, device] : {std::pair(client_, "c"), std::pair(other_, "d")})
        where->run([device = device] { lab::disable_ipv6(device); });
    up();
    FrameSocket from(*client_, "c"), to(*other_, "d");
    const MacAddr client = client_->run([] { return lab::mac("c"); });
    const MacAddr other = other_->run([] { return lab::mac("d"); });
    const auto introduce = [&] {
        for (int i = 0; i < 3; i++) {
            for (const auto& [socket, mac] : {std::pair(&from, client), std::pair(&to, other)})
                socket->send(Ethernet{.destination = kBroadcast, .source = mac} /
                             Arp{.sender_mac = mac, .target = "10.9.9.9"} / PadTo{60});
            ask("sync");
        }
    };
    introduce();
    const auto interval = std::chrono::microseconds(is_emulated() ? 5000 : 200);
    for (const auto& [change, undo] :
         {std::pair("nft insert rule inet f forward udp dport 4000 drop", "nft delete table inet f"),
          {"nft add table ip g; nft add chain ip g c \"{ type filter hook prerouting priority -300; }\";"
           "nft add rule ip g c udp dport 4000 drop",
           "nft flush ruleset"}}) {
        SCOPED_TRACE(change);
        Stream stream(from, client, other, interval);
        std::uint64_t fast = 0;
        for (int i = 0; i < 30 && fast <= 10; i++) {
            to.send(Ethernet{.destination = client, .source = other} /
                    IPv4{.source = "10.0.0.2", .destination = "10.0.0.1"} /
                    UDP{.sport = Trial::kNumberedPort, .dport = UDP{}.sport});
            const std::uint64_t before = routed("c", "ruled");
            std::this_thread::sleep_for(milliseconds(is_emulated() ? 300 : 100));
            fast = routed("c", "ruled") - before;
        }
        ASSERT_GT(fast, 10U) << ask("status").dump(2);
        to.discard();
        std::this_thread::sleep_for(milliseconds(200));
        shell(*router_, change);
        const auto changed = Stream::Clock::now();
        std::this_thread::sleep_for(milliseconds(400));
        shell(*router_, undo);
        stream.stop();
        double latest = 0;
        std::size_t before = 0;
        for (const std::uint32_t number : Trial::numbers(to.receive(milliseconds(300)), client)) {
            const double late = std::chrono::duration<double, std::milli>(stream.time_of(number) - changed).count();
            before += late < 0 ? 1 : 0;
            if (late < 390) latest = std::max(latest, late);
        }
        fmt::print("{}: the last frame {:.2f} ms after it\n", change, latest);
        EXPECT_LE(latest, is_emulated() ? 300 : 100);
        EXPECT_GT(before, is_emulated() ? 10U : 100U);
    }
}

constexpr auto kHookName = [](const auto& info) { return std::string(info.param); };
INSTANTIATE_TEST_SUITE_P(Hooks, RuledTest, ::testing::Values("tc", "xdp"), kHookName);

}  // namespace

}  // namespace underpass::test
