// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The scenario `mac-scale`: what many hosts cost. 60-byte frames from wire to wire, of so many MACs, half of them at
// either end, one after another.
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"

namespace underpass::bench {

const std::vector<std::string>& mac_scale_cases();

void run_mac_scale(const RunOptions& options, Report& report);

}  // namespace underpass::bench
