// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Reports that are made up, with the spread that real ones have, and what the comparison makes of them.
#include "bench/against.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace underpass::bench {
namespace {

constexpr int kCases = 66;  // headlines of all scenarios by both hooks
constexpr double kLeastSpread = 0.05, kMostSpread = 0.08;

// Of one sample: from 5 % to 8 %, another for each case.
double spread_of(int number) {
    return kLeastSpread + (kMostSpread - kLeastSpread) * (number % 11) / 10;
}

struct World {
    int runs = kRunsToCompare;
    double slower = 0;  // case number 0..kCases-1 that `slow_case` says
    int slow_case = -1;
    double disturbed = 0;  // share of the samples that something else halves
    double drift = 0;      // the whole machine becomes slower by this, over the run
};

Report made_up(std::mt19937_64& random, const World& world) {
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> uniform;
    Report report;
    for (int number = 0; number < kCases; number++) {
        for (int run = 0; run < world.runs; run++) {
            const double machine = 1e6 * std::exp(-world.drift * run / world.runs);
            for (const char* side : {"kernel", "underpass"}) {
                double value = machine * std::exp(spread_of(number) * normal(random));
                if (side == std::string("underpass")) {
                    value *= 2.3;
                    if (number == world.slow_case) value *= 1 - world.slower;
                }
                if (uniform(random) < world.disturbed) value /= 2;
                report.add("l2", "case-" + std::to_string(number), "tc", "frames", "frames/s", side, value);
            }
        }
    }
    return report;
}

int slower_of(const Against& against) {
    return static_cast<int>(std::ranges::count_if(against.comparisons, &Comparison::slower));
}

TEST(AgainstTest, CriesWolfAtMostOneTimeInTen) {
    constexpr int kReports = 400;
    std::mt19937_64 random(1);
    int alarms = 0;
    for (int i = 0; i < kReports; i++)
        alarms += slower_of(compare(made_up(random, {}), made_up(random, {}))) > 0 ? 1 : 0;
    EXPECT_LE(alarms, kReports / 10);
    EXPECT_GE(alarms, kReports / 50) << "so careful that it must miss what there is";
}

TEST(AgainstTest, CriesWolfNoMoreOftenWithFewRunsOrDisturbances) {
    constexpr int kReports = 200;
    for (const World& world : {World{.runs = 5}, World{.runs = 11, .disturbed = 0.05}, World{.drift = 0.3}}) {
        std::mt19937_64 random(2);
        int alarms = 0;
        for (int i = 0; i < kReports; i++)
            alarms += slower_of(compare(made_up(random, world), made_up(random, world))) > 0 ? 1 : 0;
        EXPECT_LE(alarms, kReports / 10) << world.runs << " runs";
    }
}

// Of every spread alike, one case of a whole report.
TEST(AgainstTest, FindsATenthNineTimesOutOfTen) {
    constexpr int kReports = 660;
    std::mt19937_64 random(3);
    int found = 0;
    for (int i = 0; i < kReports; i++) {
        const int slow = i % kCases;
        const Against against = compare(made_up(random, {}), made_up(random, {.slower = 0.1, .slow_case = slow}));
        found += against.comparisons.at(static_cast<std::size_t>(slow)).slower ? 1 : 0;
    }
    EXPECT_GE(found, kReports * 9 / 10);
}

TEST(AgainstTest, FindsItThroughDriftAndDisturbances) {
    constexpr int kReports = 200;
    std::mt19937_64 random(4);
    int found = 0;
    for (int i = 0; i < kReports; i++) {
        const World now = {.slower = 0.15, .slow_case = 0, .disturbed = 0.03, .drift = 0.3};
        found += compare(made_up(random, {.disturbed = 0.03}), made_up(random, now)).comparisons.front().slower ? 1 : 0;
    }
    EXPECT_GE(found, kReports * 9 / 10);
}

// `finds` is what is found nine times out of ten.
TEST(AgainstTest, TellsWhatItWouldFind) {
    constexpr int kReports = 330;
    std::mt19937_64 random(5);
    double finds = 0;
    for (int i = 0; i < 20; i++) finds += compare(made_up(random, {}), made_up(random, {})).comparisons[5].finds / 20;
    int found = 0;
    for (int i = 0; i < kReports; i++)
        found += compare(made_up(random, {}), made_up(random, {.slower = finds, .slow_case = 5})).comparisons[5].slower
                     ? 1
                     : 0;
    EXPECT_NEAR(static_cast<double>(found) / kReports, kFindsOf, 0.06);
}

TEST(AgainstTest, FasterIsNotSlower) {
    std::mt19937_64 random(6);
    const Against against = compare(made_up(random, {}), made_up(random, {.slower = -0.5, .slow_case = 3}));
    EXPECT_EQ(slower_of(against), 0);
    EXPECT_NEAR(against.comparisons[3].change, 0.5, 0.1);
}

// The kernel is slower on that machine, and so is Underpass.
TEST(AgainstTest, ASlowerMachineIsNoRegression) {
    std::mt19937_64 random(7);
    Report now = made_up(random, {});
    for (Row& row : now.rows)
        for (auto& [side, samples] : row.samples)
            for (double& sample : samples) sample /= 3;
    now.facts.cpu = "a slow one";
    const Against against = compare(made_up(random, {}), now);
    EXPECT_EQ(slower_of(against), 0);
    EXPECT_THAT(against.remarks, testing::ElementsAre("CPU: a slow one now,  before"));
}

TEST(AgainstTest, WhatCannotBeComparedIsTold) {
    Report before, now;
    for (int run = 0; run < 5; run++)
        for (const char* side : {"kernel", "underpass"}) {
            before.add("l2", "a", "tc", "frames", "frames/s", side, 100 + run);
            now.add("l2", "a", "tc", "frames", "frames/s", side, 100 + run);
            now.add("l2", "new", "tc", "frames", "frames/s", side, 100);
            now.add("l2", "a", "tc", "CPU per frame", "ns", side, 100);
            if (side == std::string("underpass")) {
                before.add("vlan-push", "tagged", "tc", "frames", "frames/s", side, 100);
                now.add("vlan-push", "tagged", "tc", "frames", "frames/s", side, 100);
            }
            if (run == 0) {
                before.add("nat", "short", "tc", "frames", "frames/s", side, 100);
                now.add("nat", "short", "tc", "frames", "frames/s", side, 50);
            }
        }
    const Against against = compare(before, now);
    ASSERT_EQ(against.comparisons.size(), 1U);
    EXPECT_EQ(against.comparisons.front().case_name, "a");
    EXPECT_THAT(against.left_out,
                testing::UnorderedElementsAre("l2 new, tc: not measured before",
                                              "vlan-push tagged, tc: no kernel's side to hold it against",
                                              "nat short, tc: fewer than 3 runs"));
}

// What one generator sends does not cost what another's frames cost.
TEST(AgainstTest, GeneratorsAreNotCompared) {
    const auto report = [](const std::string& generator) {
        Report made;
        for (int run = 0; run < 5; run++)
            for (const char* side : {"kernel", "underpass"})
                made.add("l2", "a", "tc", "frames", "frames/s", side, 100 + run, generator);
        return made;
    };
    for (const char* kept : {"", "frames"}) {
        const Against against = compare(report(kept), report("pktgen"));
        EXPECT_TRUE(against.comparisons.empty());
        EXPECT_THAT(against.left_out, testing::ElementsAre("l2 a, tc: the frames are of different generators: pktgen "
                                                           "now, live frames before"));
        EXPECT_EQ(compare(report(kept), report("frames")).comparisons.size(), 1U);
    }
    EXPECT_THAT(compare(report(""), report("sockperf")).left_out,
                testing::ElementsAre("l2 a, tc: the frames are of different generators: sockperf now, the bench's own "
                                     "sockets before"));
    for (const char* generator : {"pktgen", "sockperf"})
        EXPECT_EQ(compare(report(generator), report(generator)).comparisons.size(), 1U);
    EXPECT_EQ(compare(report(""), report("iperf3")).comparisons.size(), 1U)
        << "it is by iperf3 without being told, too";
}

// Values without any spread: a zero variance divides nothing.
TEST(AgainstTest, ValuesThatAreAllTheSame) {
    Report before, now;
    for (int run = 0; run < 5; run++)
        for (const char* side : {"kernel", "underpass"}) {
            before.add("l2", "same", "tc", "frames", "frames/s", side, 100);
            now.add("l2", "same", "tc", "frames", "frames/s", side, 100);
            before.add("l2", "slow", "tc", "frames", "frames/s", side, 100);
            now.add("l2", "slow", "tc", "frames", "frames/s", side, side == std::string("kernel") ? 100 : 90);
        }
    const Against against = compare(before, now);
    ASSERT_EQ(against.comparisons.size(), 2U);
    EXPECT_FALSE(against.comparisons[0].slower);
    EXPECT_TRUE(against.comparisons[1].slower);
    EXPECT_NEAR(against.comparisons[1].change, -0.1, 1e-9);
}

}  // namespace
}  // namespace underpass::bench
