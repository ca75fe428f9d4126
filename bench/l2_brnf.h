// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The scenario `l2-brnf`: a bridge whose frames br_netfilter shows to the rules of IP, as on a host with Docker.
//
//   no-rules   60-byte frames; the hooks are called, and there is nobody
//   stateful   the same, of UDP connections that a stateful filter has accepted
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"

namespace underpass::bench {

const std::vector<std::string>& l2_brnf_cases();

// Throws where the kernel has no br_netfilter.
void run_l2_brnf(const RunOptions& options, Report& report);

}  // namespace underpass::bench
