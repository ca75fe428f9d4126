// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The bench of bridge forwarding: Linux bridge, Underpass and the limit, in alternating runs.
//
//   frames-60, frames-1500   1,024 MAC pairs through the bridge on one CPU, by XDP and by TC, between wire-like ports
//   tcp-bulk                 one TCP stream between two containers (TC)
//   tcp-rr, udp-rr           one byte there, one back, one at a time (TC)
//   udp-small                64-byte UDP frames, as fast as one sender makes them (TC)
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"

namespace underpass::bench {

const std::vector<std::string>& l2_cases();

// Progress goes to standard error.
Report run_l2(const RunOptions& options);

}  // namespace underpass::bench
