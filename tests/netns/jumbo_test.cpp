// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames of several pages, which XDP has in several buffers: not every kernel redirects those, and not every device
// takes them. They arrive as they were sent, and go fast, by XDP or behind it.
#include <gtest/gtest.h>

#include <thread>

#include "lab/link.h"
#include "trial.h"

namespace underpass::test {

namespace {

class JumboTest : public TestNet, public ::testing::WithParamInterface<const char*> {};

TEST_P(JumboTest, FramesOfManySizes) {
    constexpr std::uint32_t kMtu = 9000;
    constexpr std::size_t kTimes = 20;
    Trial trial(net(), GetParam());
    for (const char* port : {"a", "b"}) {
        trial.far(port).run([&] { lab::set_mtu(port, kMtu); });
        trial.host().run([&] { lab::set_mtu(port, kMtu); });
    }
    trial.host().run([] { lab::set_mtu("br0", kMtu); });
    trial.up();
    trial.introduce(trial.a(), kHostA);
    trial.introduce(trial.b(), kHostB);
    std::this_thread::sleep_for(milliseconds(300));  // what is right behind a pulse goes by TC
    trial.b().discard();

    const auto before = trial.share();
    std::size_t sent = 0;
    for (const std::size_t bytes : {18U, 1472U, 1473U, 3000U, 3400U, 4096U, 5000U, 8192U, 8972U}) {
        const Frame frame = Ethernet{.destination = kHostB, .source = kHostA} / IPv4{} / UDP{} / Payload{bytes};
        for (std::size_t i = 0; i < kTimes; i++) trial.a().send(frame);
        sent += kTimes;
        const auto arrived = trial.b().receive_count(kTimes, milliseconds(2000));
        ASSERT_EQ(arrived.size(), kTimes) << bytes << " bytes in UDP";
        for (const Frame& each : arrived) ASSERT_EQ(each, frame) << bytes << " bytes in UDP";
    }
    // Long and short ones by turns do not go different ways, on which one could overtake another.
    std::vector<Frame> turns;
    for (std::uint8_t i = 0; i < kTimes; i++)
        for (const std::size_t bytes : {8972U, 8972U, 18U})
            turns.push_back(Ethernet{.destination = kHostB, .source = kHostA} / IPv4{} / UDP{} /
                            Payload{.size = bytes, .first = i});
    for (const Frame& frame : turns) trial.a().send(frame);
    sent += turns.size();
    EXPECT_EQ(trial.b().receive_count(turns.size(), milliseconds(2000)), turns);
    const auto after = trial.share();
    EXPECT_GE(after.fast - before.fast, sent * 95 / 100);
    EXPECT_EQ(after.all - before.all, sent);
    // A program that takes no such frames would keep its port's peer from it.
    for (const std::uint32_t mtu : {8000U, kMtu}) trial.far("b").run([&] { lab::set_mtu("b", mtu); });
}

INSTANTIATE_TEST_SUITE_P(Hooks, JumboTest, ::testing::Values("tc", "xdp"), [](const auto& test) { return test.param; });

}  // namespace

}  // namespace underpass::test
