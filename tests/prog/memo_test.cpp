// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the programs remember of the FDB: used for the frames behind, and for no longer than the FDB says it.
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <memory>

#include "loader/error.h"
#include "prog/expect.h"
#include "prog/fixture.h"

namespace underpass::test {
namespace {

class Memo : public ::testing::TestWithParam<On> {
protected:
    // Each CPU remembers for itself.
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        if (::sched_getaffinity(0, sizeof(before_), &before_) != 0) throw_errno(errno, "read the CPUs of this thread");
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(static_cast<std::size_t>(::sched_getcpu()), &one);
        if (::sched_setaffinity(0, sizeof(one), &one) != 0) throw_errno(errno, "keep this thread on one CPU");
        loaded_ = std::make_unique<LoadedPrograms>();
    }
    void TearDown() override {
        if (loaded_) ::sched_setaffinity(0, sizeof(before_), &before_);
    }

    static Frame frame(const MacAddr& from = kFrom, const MacAddr& to = kTo) {
        return Ethernet{.destination = to, .source = from} / IPv4{} / UDP{} / Payload{18};
    }
    bool goes(const Frame& frame) const {
        return loaded_->run(GetParam(), frame).action == expected_action(GetParam(), true);
    }
    static fdb_key key(const MacAddr& mac) {
        fdb_key key = {.bridge = kBridge, .vid = 0, .mac = {}};
        std::copy(mac.bytes.begin(), mac.bytes.end(), key.mac);
        return key;
    }
    // As the daemon does it, or, to see what is remembered, without its last step.
    void erase(const MacAddr& mac, bool tell = true) {
        ASSERT_FALSE(loaded_->programs().fdb.erase(key(mac)));
        if (tell) loaded_->programs().heartbeat.tell_fdb_change();
    }

    std::unique_ptr<LoadedPrograms> loaded_;

private:
    cpu_set_t before_ = {};
};

TEST_P(Memo, IsBelievedUntilTheFdbChanges) {
    for (const MacAddr& gone : {kFrom, kTo}) {
        loaded_->set({});
        ASSERT_TRUE(goes(frame()));
        erase(gone, false);
        EXPECT_TRUE(goes(frame())) << "it was looked up anew";
        loaded_->programs().heartbeat.tell_fdb_change();
        EXPECT_FALSE(goes(frame()));
    }
}

TEST_P(Memo, IsOfOnePairAtOnePort) {
    loaded_->set({});
    ASSERT_TRUE(goes(frame()));
    erase(kFrom, false);
    erase(kTo, false);
    EXPECT_FALSE(goes(frame(kFrom, kStranger)));
    EXPECT_FALSE(goes(frame(kStranger, kTo)));
    EXPECT_FALSE(goes(frame(kTo, kFrom)));
    loaded_->set({});
    ASSERT_TRUE(goes(frame()));
    device record = loaded_->programs().devices.lookup(kInSlot).value();
    record.bridge = kOtherBridge;
    ASSERT_FALSE(loaded_->programs().devices.update(kInSlot, record));
    EXPECT_FALSE(goes(frame()));
}

// Three pairs in one set: two are remembered, and which they are is never mixed up. What is not believed any more makes
// room first.
TEST_P(Memo, IsOfTwoPairsInASet) {
    constexpr MacAddr kThird = {{2, 0, 0, 0, 0, 4}};
    World world;
    world.fdb[kStranger] = world.fdb[kThird] = {.slot = kInSlot};
    const std::array all = {kFrom, kStranger, kThird};
    const auto remembered = [&] {
        for (const MacAddr& each : all) erase(each, false);
        return std::ranges::count_if(all, [&](const MacAddr& each) { return goes(frame(each)); });
    };
    loaded_->change_control([](control& record) { record.memo_sets = 1; });
    for (const std::size_t pairs : {1U, 2U, 3U}) {
        loaded_->set(world);
        for (int round = 0; round < 2; round++) {
            for (std::size_t i = 0; i < pairs; i++) EXPECT_TRUE(goes(frame(all[i])));
        }
        EXPECT_FALSE(goes(frame(kTo, kFrom))) << "its source is at another port";
        EXPECT_EQ(remembered(), 0) << "that frame has ended all";
        loaded_->set(world);
        for (std::size_t i = 0; i < pairs; i++) EXPECT_TRUE(goes(frame(all[i])));
        EXPECT_EQ(remembered(), std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(pairs), 2));
    }
}

// A program that sees an address elsewhere ends what all CPUs remember of it: here the frame comes in by the other
// port.
TEST_P(Memo, EndsWhereAProgramSeesTheHostMove) {
    World world;
    world.fdb[kStranger] = {.slot = kInSlot};
    loaded_->set(world);
    ASSERT_TRUE(goes(frame(kStranger, kTo)));
    const std::uint32_t moved = loaded_->programs().heartbeat.fdb_generation();
    EXPECT_FALSE(goes(frame(kTo, kStranger)));
    EXPECT_EQ(loaded_->programs().heartbeat.fdb_generation(), moved + 1);
    EXPECT_FALSE(goes(frame(kStranger, kTo)));
    // Once it is distrusted no further frame ends anything.
    EXPECT_FALSE(goes(frame(kTo, kStranger)));
    EXPECT_EQ(loaded_->programs().heartbeat.fdb_generation(), moved + 1);
}

TEST_P(Memo, LastsUntilThePulse) {
    loaded_->set({});
    ASSERT_TRUE(goes(frame()));
    device record = loaded_->programs().devices.lookup(kInSlot).value();
    record.pulse_ns = 1;
    ASSERT_FALSE(loaded_->programs().devices.update(kInSlot, record));
    EXPECT_FALSE(goes(frame()));
    World young;
    young.fdb[kFrom].shown = Shown::just_now;
    loaded_->set(young);
    for (int i = 0; i < 2; i++) EXPECT_EQ(goes(frame()), GetParam() == On::tc) << "it may overtake a frame before it";
}

// However young the clock is.
TEST_P(Memo, IsOfNoHostThatWasNeverShown) {
    World unshown;
    unshown.fdb[kFrom].shown = Shown::never;
    loaded_->set(unshown);
    device record = loaded_->programs().devices.lookup(kInSlot).value();
    record.pulse_ns = ~std::uint64_t{0};
    ASSERT_FALSE(loaded_->programs().devices.update(kInSlot, record));
    for (int i = 0; i < 2; i++) EXPECT_EQ(loaded_->run(On::xdp, frame()).action, expected_action(On::xdp, false));
    EXPECT_EQ(loaded_->fdb().at(kFrom).shown, Shown::never);
    EXPECT_EQ(loaded_->run(On::tc, frame()).action, expected_action(On::tc, false));
    EXPECT_EQ(loaded_->fdb().at(kFrom).shown, Shown::just_now);
}

// What a port may do is not remembered.
TEST_P(Memo, SaysNothingOfThePorts) {
    for (const std::uint32_t slot : {kInSlot, kOutSlot}) {
        loaded_->set({});
        ASSERT_TRUE(goes(frame()));
        device record = loaded_->programs().devices.lookup(slot).value();
        record.flags &= ~static_cast<std::uint32_t>(DEVICE_FORWARDING);
        ASSERT_FALSE(loaded_->programs().devices.update(slot, record));
        EXPECT_FALSE(goes(frame()));
    }
}

INSTANTIATE_TEST_SUITE_P(Hooks, Memo, ::testing::Values(On::tc, On::xdp),
                         [](const auto& test) { return test.param == On::tc ? "tc" : "xdp"; });

}  // namespace
}  // namespace underpass::test
