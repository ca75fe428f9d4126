// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The bench of bridge forwarding: Linux bridge, Underpass and the limit, in alternating runs.
//
//   frames-60, frames-1500   1,024 MAC pairs through the bridge on one CPU, by XDP and by TC, between wire-like ports
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"

namespace underpass::bench {

const std::vector<std::string>& l2_cases();

// Progress goes to standard error.
void run_l2(const RunOptions& options, Report& report);

}  // namespace underpass::bench
