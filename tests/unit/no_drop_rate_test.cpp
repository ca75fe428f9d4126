// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The search for the no-drop rate, of devices whose capacity is known.
#include "bench/no_drop_rate.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <vector>

namespace underpass::bench {
namespace {

constexpr double kFull = 1e6;  // what the generator can send

// Forwards so many a second, and loses the rest.
struct Device {
    double capacity;
    double always_lost = 0;          // share, at any rate
    std::vector<double> asked = {};  // of all trials

    LossTrial operator()(double rate) {
        asked.push_back(rate);
        const double sent = rate == 0 ? kFull : std::min(rate, kFull);
        return {.rate = sent, .loss = std::max(always_lost, 1 - capacity / sent)};
    }
};

NoDropRate found(Device& device, double most_loss = 0) {
    return find_no_drop_rate(std::ref(device), most_loss);
}

TEST(NoDropRate, IsTheCapacityWithinAPercent) {
    for (const double capacity : {2e3, 12345.0, 1e5, 333333.0, 7e5, 9.9e5, 999999.0}) {
        SCOPED_TRACE(capacity);
        Device device{capacity};
        const NoDropRate rate = found(device);
        EXPECT_LE(rate.rate, capacity);
        EXPECT_GE(rate.rate, capacity * (1 - 1.01 * kRatePrecision));
        EXPECT_EQ(rate.full, kFull);
        EXPECT_LE(device.asked.size(), 20U);
        EXPECT_GE(std::ranges::count(device.asked, device.asked.back()), 2) << "the last trial confirms one before";
    }
}

TEST(NoDropRate, IsWhatIsSentWhereNothingIsLost) {
    Device device{2 * kFull};
    const NoDropRate rate = found(device);
    EXPECT_EQ(rate.rate, kFull);
    EXPECT_EQ(rate.full, kFull);
    EXPECT_THAT(device.asked, testing::ElementsAre(0, 0));
}

TEST(NoDropRate, AllowsTheLossThatIsSaid) {
    Device device{5e5};
    EXPECT_NEAR(found(device, 0.1).rate, 5e5 / 0.9, 5e5 / 0.9 * kRatePrecision);
    Device leaking{5e5, 1e-4};
    EXPECT_EQ(found(leaking).rate, 0) << "something is lost at every rate";
    EXPECT_LE(leaking.asked.size(), 15U);
    leaking.asked.clear();
    EXPECT_NEAR(found(leaking, 1e-3).rate, 5e5, 5e5 * kRatePrecision);
}

TEST(NoDropRate, NothingComesThrough) {
    Device device{0};
    const NoDropRate rate = found(device);
    EXPECT_EQ(rate.rate, 0);
    EXPECT_LE(device.asked.size(), 15U);
    EXPECT_EQ(find_no_drop_rate([](double) { return LossTrial{}; }, 0).rate, 0) << "nor is anything sent";
}

// Of what it sends, a generator that something else disturbs sends less: that is the rate.
TEST(NoDropRate, IsTheRateThatWasSent) {
    const auto disturbed = [](double rate) {
        const double sent = 0.8 * (rate == 0 ? kFull : rate);
        return LossTrial{.rate = sent, .loss = sent > 4e5 ? 0.1 : 0};
    };
    const NoDropRate rate = find_no_drop_rate(disturbed, 0);
    EXPECT_LE(rate.rate, 4e5);
    EXPECT_GE(rate.rate, 3.95e5);
}

// Near its capacity a device loses in some trials and in some not, and once in a while at any rate.
TEST(NoDropRate, HoldsUnderNoise) {
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> uniform;
    int bad = 0;
    for (int i = 0; i < 200; i++) {
        double last = 0;
        int trials = 0;
        const auto noisy = [&](double rate) {
            const double sent = rate == 0 ? kFull : rate, capacity = 5e5 * (1 - 0.03 * uniform(random));
            last = sent;
            trials++;
            const bool stray = uniform(random) < 0.05;
            return LossTrial{.rate = sent, .loss = sent > capacity ? 1 - capacity / sent : stray ? 1e-6 : 0};
        };
        const NoDropRate rate = find_no_drop_rate(noisy, 0);
        EXPECT_LE(trials, kMostTrials + 1);
        EXPECT_EQ(rate.rate, last) << "the last trial was of another rate";
        if (rate.rate < 0.8 * 5e5 || rate.rate > 5e5) bad++;
    }
    EXPECT_LE(bad, 60);
}

}  // namespace
}  // namespace underpass::bench
