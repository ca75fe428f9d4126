// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The scenario `flow-scale`: what many connections cost. 60-byte frames of so many UDP connections go through
// masquerade, from a bridge to an uplink, by the kernel and by Underpass.
//
// A connection is new when its first frame comes. When all have been answered, frames of all of them are measured, one
// after another, and frames of a few of them, while the others idle.
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"

namespace underpass::bench {

const std::vector<std::string>& flow_scale_cases();

// Where conntrack's size cannot be raised, the cases that need it are left out, and the report says so. Progress goes
// to standard error.
void run_flow_scale(const RunOptions& options, Report& report);

}  // namespace underpass::bench
