// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// change-rate: the control plane under load. Frames go through a bridge at full rate while so many things a second are
// added, changed and deleted that are not theirs: static FDB entries (fdb-N), neighbours, routes, VLANs of a port.
//
// Of each side: frames and their CPU time meanwhile, beside the same without changes, and the changes that were done.
// Of Underpass: the daemon's CPU time for each. And how long a MAC that is moved meanwhile takes to be followed.
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"

namespace underpass::bench {

const std::vector<std::string>& change_rate_cases();

void run_change_rate(const RunOptions& options, Report& report);

}  // namespace underpass::bench
