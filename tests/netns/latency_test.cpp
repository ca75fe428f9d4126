// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How long a frame can go wrong after the kernel's state changed. A host that moves: not at all, from its first frame
// on. Everything else, which only the daemon can tell the programs: less than 10 ms at the 99th percentile.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <stdexcept>
#include <stop_token>
#include <thread>

#include "lab/ethtool.h"
#include "loader/error.h"
#include "trial.h"

namespace underpass::test {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

int scaled(int count) {
    return is_emulated() ? std::max(1, count / 20) : count;
}

// Of the frames of a steady stream.
microseconds interval() {
    return microseconds(is_emulated() ? 5000 : 50);
}

double milliseconds_between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
}

void spin_until(Clock::time_point time) {
    while (Clock::now() < time) {
    }
}

class LatencyTest : public TestNet, public ::testing::WithParamInterface<const char*> {};

// "After" is well defined twice. A's frames are sent by the thread that sent the host's first frame from its new place,
// on the same CPU, so each is taken after that one. D's come at a steady rate from a thread of its own, before, during
// and after: those are looked at that were sent after a frame of A's had come out at the new place.
TEST_P(LatencyTest, NoFrameFollowsTheOldPortOfAMovedHost) {
    constexpr std::uint32_t kBefore = 20, kAfter = 60;
    const int moves = scaled(1000);
    Trial trial(net(), GetParam());
    trial.up();
    trial.introduce(trial.a(), kHostA);
    trial.introduce(trial.d(), kHostD);
    trial.introduce(trial.b(), kHostB);
    FrameSocket* old_port = &trial.b();
    FrameSocket* new_port = &trial.c();
    std::size_t wrong = 0, wrong_of_stream = 0, looked_at = 0, out_of_place = 0, fast_before = 0, fast_after = 0;
    Stream stream(trial.d(), kHostD, kHostB, interval());
    const OnOneCpu here;
    for (int move = 0; move < moves; move++) {
        trial.introduce(*old_port, kHostB);
        old_port->discard();
        new_port->discard();
        const auto start = trial.share();
        for (std::uint32_t i = 0; i < kBefore; i++) trial.a().send(Trial::numbered(kHostB, i));
        ASSERT_EQ(Trial::numbers(Trial::await(*old_port, kBefore)).size(), kBefore);
        const auto before = trial.share();
        fast_before += before.fast - start.fast;

        const Frame hello = Ethernet{.destination = kHostA, .source = kHostB} / IPv4{} / UDP{} / Payload{18};
        new_port->send(hello);
        for (std::uint32_t i = 0; i < 5; i++) trial.a().send(Trial::numbered(kHostB, i));
        std::vector<Frame> at_new = Trial::await(*new_port, 1);
        const std::uint32_t after_the_move = stream.begun();
        // Through the time in which the daemon hears of it, and in which the host is believed to be at its new place.
        for (std::uint32_t i = 5; i < kAfter; i++) {
            if (i == kAfter / 3 || i == kAfter / 2) new_port->send(hello);
            spin_until(Clock::now() + microseconds(50));
            trial.a().send(Trial::numbered(kHostB, i));
        }
        std::vector<std::uint32_t> arrived = Trial::numbers(at_new);
        at_new = Trial::await(*new_port, kAfter - arrived.size());
        for (const auto number : Trial::numbers(at_new)) arrived.push_back(number);
        for (std::uint32_t i = 0; i < kAfter; i++) out_of_place += i < arrived.size() && arrived[i] == i ? 0 : 1;
        fast_after += trial.share().fast - before.fast;

        const auto at_old = old_port->receive(milliseconds(0));
        wrong += Trial::numbers(at_old).size();
        looked_at += stream.begun() - after_the_move;
        for (const auto number : Trial::numbers(at_old, kHostD)) wrong_of_stream += number >= after_the_move ? 1 : 0;
        std::swap(old_port, new_port);
        ASSERT_LT(wrong + wrong_of_stream + out_of_place, 200U)
            << "no use in going on: " << wrong << " and " << wrong_of_stream << " frames at the old port, "
            << out_of_place << " not in their place after " << move + 1 << " moves";
    }
    const auto all_before = static_cast<std::size_t>(moves) * kBefore;
    fmt::print(
        "{} moves: {} of {} frames went fast before them; after them {} of {} of the mover's thread ({} of these "
        "fast) and {} of {} of the other stream came out at the old port; {} are missing or out of order\n",
        moves, fast_before, all_before, wrong, static_cast<std::size_t>(moves) * kAfter, fast_after, wrong_of_stream,
        looked_at, out_of_place);
    EXPECT_EQ(wrong, 0U);
    EXPECT_EQ(wrong_of_stream, 0U);
    EXPECT_EQ(out_of_place, 0U);
    // A's own pulse is one frame in many seconds.
    EXPECT_GT(fast_before, all_before * 99 / 100) << "only a fast host can go wrong by moving";
}

// One kind of change: what happens to host B, where the kernel sends frames for it afterwards, and the way back.
struct Change {
    const char* name;
    std::function<void()> make;
    bool to_b, to_c;
    std::function<void()> undo;
};

std::vector<Change> changes() {
    return {
        {"port down", [] { lab::set_down("b"); }, false, true,
         [] {
             lab::set_up("b");
             lab::wait_until_running("b");
         }},
        // Without STP in the kernel, as mstpd sets it.
        {"STP state", [] { lab::set_port("b", {.state = PortState::listening}); }, false, false,
         [] { lab::set_port("b", {.state = PortState::forwarding}); }},
        {"FDB delete", [] { lab::delete_fdb("b", kHostB); }, true, true, [] {}},
        {"port leaves", [] { lab::clear_master("b"); }, false, true,
         [] {
             lab::set_master("b", "br0");
             lab::wait_until_running("b");
         }},
    };
}

// Makes each change `rounds` times, prints how late the last wrong frame was, and returns that of all.
std::vector<double> make_changes(Trial& trial, int rounds) {
    const milliseconds watch(is_emulated() ? 500 : 20);
    struct Late {
        std::vector<double> since_return, since_call;
    };
    std::map<std::string, Late> late;
    std::vector<double> all;
    const auto kinds = changes();
    Stream stream(trial.a(), kHostA, kHostB, interval());
    for (int round = 0; round < rounds; round++)
        for (const Change& change : kinds) {
            trial.catch_up();
            trial.introduce(trial.b(), kHostB);
            const auto before = trial.share();
            for (const auto end = Clock::now() + kPatience; trial.share().fast < before.fast + 5;)
                if (Clock::now() > end) throw std::runtime_error("no frame goes fast, so none can be late");
            for (FrameSocket* socket : {&trial.b(), &trial.c()}) socket->discard();

            const std::uint32_t first = stream.begun();
            const auto called = Clock::now();
            trial.host().run([&] { change.make(); });
            const auto returned = Clock::now();
            std::this_thread::sleep_until(returned + watch);
            const std::uint32_t end = stream.begun();
            const milliseconds rest(is_emulated() ? 100 : 2);
            std::vector<bool> at_b(end), at_c(end);
            for (const auto number : Trial::numbers(trial.b().receive(rest)))
                if (number < end) at_b[number] = true;
            for (const auto number : Trial::numbers(trial.c().receive(milliseconds(0))))
                if (number < end) at_c[number] = true;
            Clock::time_point last = called;
            for (std::uint32_t i = first; i + 1 < end; i++)  // the last may still be on its way
                if (at_b[i] != change.to_b || at_c[i] != change.to_c) last = std::max(last, stream.time_of(i));
            late[change.name].since_call.push_back(milliseconds_between(called, last));
            late[change.name].since_return.push_back(std::max(0.0, milliseconds_between(returned, last)));
            all.push_back(late[change.name].since_return.back());
            trial.host().run([&] { change.undo(); });
        }
    for (const auto& [name, each] : late)
        fmt::print("{:11}: {} changes; last wrong frame after the call returned: {}; after it began: {}\n", name,
                   each.since_return.size(), summary(each.since_return), summary(each.since_call));
    fmt::print("all        : {} changes; last wrong frame after the call returned: {}\n", all.size(), summary(all));
    return all;
}

constexpr double kAllowedMs = 10;

TEST_P(LatencyTest, ChangesAreObeyedInTime) {
    Trial trial(net(), GetParam());
    trial.up();
    trial.introduce(trial.a(), kHostA);
    trial.introduce(trial.c(), kHostC);
    const auto late = make_changes(trial, scaled(120));
    if (!is_emulated()) {
        EXPECT_LT(percentile(late, 0.99), kAllowedMs);
    }
}

// While other entries come and go as fast as one CPU can make them, which leaves the daemon little of two: too few
// changes for a 99th percentile.
TEST_P(LatencyTest, ChangesAreObeyedInAStorm) {
    Trial trial(net(), GetParam());
    trial.up();
    trial.introduce(trial.a(), kHostA);
    trial.introduce(trial.c(), kHostC);
    const std::jthread storm([&trial](const std::stop_token& end) {
        trial.host().run([&end] {
            for (std::uint8_t i = 0; !end.stop_requested(); i++) {
                const MacAddr mac = {{2, 0, 0, 0, 0xbb, i}};
                lab::set_fdb("d", mac);
                lab::delete_fdb("d", mac);
            }
        });
    });
    const auto events = [&] { return trial.status().at("sync").at("events").get<std::uint64_t>(); };
    const auto begun = Clock::now();
    const auto before = events();
    const auto late = make_changes(trial, scaled(25));
    fmt::print("under {:.0f} other events a second\n",
               static_cast<double>(events() - before) / milliseconds_between(begun, Clock::now()) * 1000);
    if (!is_emulated()) {
        EXPECT_LT(percentile(late, 0.9), kAllowedMs);
    }
}

// Once in a while one frame of a source goes the kernel's way, which is longer: those behind it stay behind it, also
// where many come at once, as the segments of one send() that the device does not take whole.
TEST_P(LatencyTest, FramesStayInOrderAtAPulse) {
    constexpr std::size_t kBurst = 48, kPayload = 22;
    Trial trial(net(), GetParam());
    // Forgets after 2 s, so there are several pulses in each of them.
    ASSERT_TRUE(run(trial.host(), {"ip", "link", "set", "br0", "type", "bridge", "ageing_time", "200"}).ok());
    const lab::Namespace& far = trial.far("a");
    MacAddr source;
    const Fd socket = far.run([&source] {
        lab::set_features("a", {{"tx-udp-segmentation", false}});
        lab::add_address("a", "10.9.0.1/24");
        source = lab::mac("a");
        Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const int size = kPayload;
        sockaddr_in to = {};
        to.sin_family = AF_INET;
        to.sin_port = htons(Trial::kNumberedPort);
        to.sin_addr.s_addr = htonl(0x0a090002);  // 10.9.0.2
        if (::setsockopt(fd.get(), SOL_UDP, UDP_SEGMENT, &size, sizeof(size)) != 0 ||
            ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0)
            throw_errno(errno, "prepare a socket that sends bursts");
        return fd;
    });
    // Frames for the device itself go straight into its namespace from TC: no way is shorter.
    const MacAddr destination = trial.far("b").run([] { return lab::mac("b"); });
    ASSERT_TRUE(run(far, {"ip", "neigh", "add", "10.9.0.2", "lladdr", destination.text(), "dev", "a"}).ok());
    trial.up();
    trial.introduce(trial.a(), source);
    const auto before = trial.share();
    const OnOneCpu here;
    std::size_t sent = 0, out_of_order = 0;
    for (int burst = 0; burst < scaled(400); burst++) {
        if (burst % 10 == 0) trial.introduce(trial.b(), destination);  // it too is to be remembered
        trial.b().discard();
        std::vector<std::uint8_t> bytes(kBurst * kPayload);
        for (std::uint32_t i = 0; i < kBurst; i++) std::memcpy(&bytes[i * kPayload], &i, sizeof(i));
        const ssize_t taken = ::send(socket.get(), bytes.data(), bytes.size(), 0);
        if (taken < 0 && errno == EIO) GTEST_SKIP() << "kernels before 6.11 send no bursts without checksum offload";
        ASSERT_EQ(taken, static_cast<ssize_t>(bytes.size()));
        const auto frames = trial.b().receive_until(
            [&](const auto& all) { return Trial::numbers(all, source).size() >= kBurst; }, milliseconds(1000));
        const auto numbers = Trial::numbers(frames, source);
        ASSERT_EQ(numbers.size(), kBurst) << "in burst " << burst;
        for (std::uint32_t i = 0; i < kBurst; i++) out_of_order += numbers[i] == i ? 0 : 1;
        sent += kBurst;
        std::this_thread::sleep_for(milliseconds(10));
    }
    const auto after = trial.share();
    const std::uint64_t slow = after.all - before.all - (after.fast - before.fast);
    fmt::print("{} frames, {} of them by the kernel, {} not in their place\n", sent, slow, out_of_order);
    if (!is_emulated()) {
        EXPECT_GT(slow, 2U);
        EXPECT_GT(after.fast - before.fast, sent * 9 / 10);
    }
    EXPECT_EQ(out_of_order, 0U);
}

INSTANTIATE_TEST_SUITE_P(Hooks, LatencyTest, ::testing::Values("tc", "xdp"),
                         [](const auto& test) { return test.param; });

}  // namespace

}  // namespace underpass::test
