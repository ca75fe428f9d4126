// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The highest rate of which no more than so much is lost: RFC 2544's throughput, by halving, as CSIT has it. Pure: a
// trial is somebody else's.
#pragma once

#include <cstdint>
#include <functional>

namespace underpass::bench {

inline constexpr double kRatePrecision = 0.01;  // of the rate that is found, as a share
inline constexpr int kMostTrials = 40;

struct LossTrial {
    double rate = 0;  // frames a second that were sent: less than asked for where no more can be
    double loss = 0;  // share of those sent
};
// Sends at this many frames a second; 0: as many as can be.
using TryRate = std::function<LossTrial(double rate)>;

struct NoDropRate {
    double rate = 0;  // frames a second that were sent in the trial that confirmed it; 0: something is lost at any
    double full = 0;  // that were sent in the first: where `rate` is as much, more might be forwarded
};

// The first trial is at full speed. Between a rate that holds and one that does not, the middle is tried until they are
// kRatePrecision apart; the lower one is tried once more, and only what holds again is told: else it is one that does
// not hold, and the search goes on below. A rate under a thousandth of the full one is none.
NoDropRate find_no_drop_rate(const TryRate& trial, double most_loss);

}  // namespace underpass::bench
