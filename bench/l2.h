// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The bench of bridge forwarding: Linux bridge, Underpass and the limit, in alternating runs.
//
//   frames-60, frames-1500   1,024 MAC pairs through the bridge on one CPU, by XDP and by TC, between wire-like ports
//   tcp-bulk                 one TCP stream between two containers (TC)
//   tcp-rr, udp-rr           one byte there, one back, one at a time (TC)
//   udp-small                64-byte UDP frames, as fast as one sender makes them (TC)
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "bench/report.h"

namespace underpass::bench {

struct L2Options {
    int runs = 5;  // of each side
    std::chrono::milliseconds time{1000};
    std::vector<std::string> cases;  // empty: all
    std::vector<std::string> hooks;  // empty: both
};

const std::vector<std::string>& l2_cases();

// Progress goes to standard error.
Report run_l2(const L2Options& options);

}  // namespace underpass::bench
