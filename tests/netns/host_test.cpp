// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The host itself on its bridge: an address at the bridge, hosts at the ports, one of them a guest behind a tap. ARP,
// ping, TCP and large frames, every way, while frames between the ports go fast.
//
//   10.9.0.1 at "a" ── [br0 10.9.0.254] ── 10.9.0.2 at "b"
//                             └─────────── a guest at the tap "t"
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "trial.h"

namespace underpass::test {

namespace {

constexpr MacAddr kGuest = {{2, 0, 0, 0, 0xaa, 9}};
constexpr const char* kBridgeAddress = "10.9.0.254";

class HostTest : public TestNet, public ::testing::WithParamInterface<const char*> {
protected:
    static void must(const lab::Namespace& where, const std::vector<std::string>& command) {
        const Finished finished = run(where, command);
        EXPECT_TRUE(finished.ok()) << command.front() << " in " << where.name() << ": " << finished.text();
    }
    static void forget_neighbours(const std::vector<const lab::Namespace*>& all) {
        for (const auto* each : all) must(*each, {"ip", "neigh", "flush", "all"});
    }
    static void ping(const lab::Namespace& from, const std::string& to, const std::string& size = "56") {
        must(from, {"ping", "-q", "-c", "3", "-i", "0.01", "-W", "5", "-M", "do", "-s", size, to});
    }
};

TEST_P(HostTest, HostAndPortsReachEachOther) {
    Trial trial(net(), GetParam());
    const lab::Namespace& host = trial.host();
    const lab::Namespace& a = trial.far("a");
    const lab::Namespace& b = trial.far("b");
    host.run([] { lab::add_address("br0", std::string(kBridgeAddress) + "/24"); });
    a.run([] { lab::add_address("a", "10.9.0.1/24"); });
    b.run([] { lab::add_address("b", "10.9.0.2/24"); });
    trial.up();

    for (int round = 0; round < 2; round++) {
        // By ARP anew in the first, and by what is known then in the second.
        if (round == 0) forget_neighbours({&host, &a, &b});
        ping(a, kBridgeAddress);
        ping(host, "10.9.0.1");
        ping(host, "10.9.0.2");
        ping(b, kBridgeAddress);
        ping(a, "10.9.0.2");
        ping(b, "10.9.0.1");
        for (const char* size : {"0", "1472"}) {
            ping(a, kBridgeAddress, size);
            ping(host, "10.9.0.2", size);
            ping(a, "10.9.0.2", size);
        }
        trial.catch_up();
    }
    must(a, {"arping", "-q", "-c", "2", "-I", "a", kBridgeAddress});
    must(host, {"arping", "-q", "-c", "2", "-I", "br0", "10.9.0.1"});
    must(a, {"arping", "-q", "-c", "2", "-I", "a", "10.9.0.2"});

    // Between the ports it was fast, and not for the host: those frames are the kernel's.
    const auto slow_and_fast = [&] {
        const auto before = trial.share();
        ping(a, "10.9.0.2");
        const auto between = trial.share();
        ping(a, kBridgeAddress);
        const auto after = trial.share();
        return std::array{between.fast - before.fast, after.fast - between.fast, after.all - between.all};
    }();
    EXPECT_GE(slow_and_fast[0], 3U) << "a ping to another port is not fast";
    EXPECT_EQ(slow_and_fast[1], 0U) << "a ping to the host went past it";
    EXPECT_GE(slow_and_fast[2], 3U);

    // The bridge takes another address while everything runs.
    host.run([] { lab::set_mac("br0", {{2, 0, 0, 0, 0xaa, 0x77}}); });
    trial.catch_up();
    forget_neighbours({&host, &a, &b});
    ping(a, kBridgeAddress);
    ping(host, "10.9.0.2");
    ping(a, "10.9.0.2");
}

// An address of the host at one of its ports: frames for it never leave by a port.
TEST_P(HostTest, PortsOwnAddressIsTheHosts) {
    Trial trial(net(), GetParam());
    trial.up();
    trial.introduce(trial.a(), kHostA);
    trial.introduce(trial.b(), kHostB);
    FrameSocket host(trial.host(), "br0");
    const MacAddr own = trial.host().run([] { return lab::mac("b"); });
    for (FrameSocket* socket : {&trial.b(), &trial.c(), &host}) socket->discard();
    for (std::uint32_t number = 0; number < 20; number++) trial.a().send(Trial::numbered(own, number));
    EXPECT_EQ(Trial::numbers(host.receive_count(20, milliseconds(2000))).size(), 20U);
    EXPECT_EQ(Trial::numbers(trial.b().receive(milliseconds(50))).size(), 0U);
    EXPECT_EQ(Trial::numbers(trial.c().receive(milliseconds(0))).size(), 0U);
}

TEST_P(HostTest, GuestBehindATap) {
    Trial trial(net(), GetParam());
    const lab::Namespace& host = trial.host();
    const Fd tap = host.run([] {
        Fd fd = lab::create_tap("t");
        lab::disable_ipv6("t");
        lab::set_master("t", "br0");
        lab::set_up("t");
        lab::wait_until_running("t");
        return fd;
    });
    const auto send = [&tap](const Frame& frame) {
        ASSERT_EQ(::write(tap.get(), frame.data(), frame.size()), static_cast<ssize_t>(frame.size()));
    };
    const auto receive = [&tap](std::size_t count) {
        std::vector<Frame> frames;
        std::vector<std::uint8_t> buffer(65536);
        for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
             frames.size() < count && std::chrono::steady_clock::now() < end;) {
            pollfd readable = {tap.get(), POLLIN, 0};
            if (::poll(&readable, 1, 50) <= 0) continue;
            const ssize_t size = ::read(tap.get(), buffer.data(), buffer.size());
            if (size <= 0) continue;
            const Frame frame(buffer.begin(), buffer.begin() + size);
            if (source_of(frame) != kHostA || frame[12] != 0x08 || frame[13] != 0x00) continue;
            frames.push_back(frame);
        }
        return frames;
    };
    // With --hook auto: a tap runs TC whatever the others do.
    const Finished up = underpass(host, {"up", "br0"});
    ASSERT_TRUE(up.ok()) << up.text();
    const auto port = [&](const std::string& name) {
        const auto status = trial.status();
        for (const auto& each : status.at("bridges").at(0).at("ports"))
            if (each.at("name") == name) return each;
        throw std::runtime_error("there is no port " + name + " in " + status.dump(2));
    };
    EXPECT_EQ(port("t").at("hook"), "tc");
    EXPECT_EQ(port("a").at("hook"), GetParam());

    const auto from_guest = [](const MacAddr& destination, std::uint32_t number) {
        Frame frame = Trial::numbered(destination, number);
        std::copy(kGuest.bytes.begin(), kGuest.bytes.end(), frame.begin() + 6);
        return frame;
    };
    trial.introduce(trial.a(), kHostA);
    for (int i = 0; i < 2; i++) {
        send(Ethernet{.destination = kBroadcast, .source = kGuest} / Arp{.sender_mac = kGuest} / PadTo{60});
        trial.catch_up();
    }
    trial.a().discard();
    receive(1000);  // what was broadcast

    const auto fast = [&](const std::string& name) { return port(name).at("fast").at("packets").get<std::uint64_t>(); };
    const auto before_a = fast("a"), before_t = fast("t");
    std::vector<Frame> sent;
    for (std::uint32_t number = 0; number < 50; number++) sent.push_back(Trial::numbered(kGuest, number));
    for (const Frame& frame : sent) trial.a().send(frame);
    EXPECT_EQ(receive(sent.size()), sent);
    EXPECT_EQ(fast("a") - before_a, 50U) << port("a").dump(2);

    sent.clear();
    for (std::uint32_t number = 0; number < 50; number++) sent.push_back(from_guest(kHostA, number));
    for (const Frame& frame : sent) send(frame);
    EXPECT_EQ(trial.a().receive_count(sent.size(), milliseconds(2000)), sent);
    EXPECT_EQ(fast("t") - before_t, 50U) << port("t").dump(2);

    // The guest and the host.
    FrameSocket bridge(host, "br0");
    const MacAddr own = host.run([] { return lab::mac("br0"); });
    send(from_guest(own, 1));
    EXPECT_EQ(bridge.receive_count(1, milliseconds(2000)).size(), 1U);
}

INSTANTIATE_TEST_SUITE_P(Hooks, HostTest, ::testing::Values("tc", "xdp"), [](const auto& test) { return test.param; });

}  // namespace

}  // namespace underpass::test
