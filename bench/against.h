// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Whether something has become slower since an earlier report. Pure.
//
// Machines drift and differ, so figures are not held against each other: of each run the ratio of Underpass to the
// kernel is, both measured in the same seconds. The logarithms of these ratios are compared, old and new, by Yuen's
// test: Welch's t-test of trimmed means, so that one run that something disturbed moves neither the mean nor the
// spread. Of n comparisons each may err with the probability kFalseAlarm / n (Bonferroni), so that a report in which
// nothing has changed is told to be slower at most one time in ten, however many cases it has. (Far out, where so many
// comparisons look, trimmed means have a little fatter tails than Student's t: hence less than 0.1.)
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/report.h"

namespace underpass::bench {

inline constexpr double kFalseAlarm = 0.08;    // over a whole report
inline constexpr double kFindsOf = 0.9;        // what Comparison::finds is found with
inline constexpr double kNoMatter = 0.02;      // a smaller change is none, however certain
inline constexpr int kRunsToCompare = 37;      // of each side: a tenth slower is found nine times out of ten
inline constexpr std::size_t kFewestRuns = 3;  // of each side, else there is nothing to say

struct Comparison {
    std::string scenario, case_name, hook, metric;
    std::size_t runs_before = 0, runs_now = 0;
    double before = 0, now = 0;  // ratio to the kernel, trimmed geometric mean
    double change = 0;           // -0.1: a tenth slower
    double finds = 0;            // so much slower would have been found, with the probability kFindsOf
    double chance = 1;           // of this or worse, if nothing had changed
    bool slower = false;
};

struct Against {
    std::vector<Comparison> comparisons;
    std::vector<std::string> left_out;  // cases of the new report, each with why
    std::vector<std::string> remarks;   // what else differs: the kernel, the CPU
};

// Of rows that both have, those that are what a case is about (is_headline).
Against compare(const Report& before, const Report& now);
// For people at a terminal.
std::string table(const Against& against);

}  // namespace underpass::bench
