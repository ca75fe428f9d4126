// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The scenario `route`: packets from a bridge to an uplink, by the host's routes alone (route), masqueraded (nat), and
// masqueraded through a stateful filter (nat-filter).
//
//   route, ...           60-byte frames of connections that the far end has answered once, in one direction
//   route-tcp-bulk, ...  one TCP stream between two stacks
//   route-tcp-rr, ...    one byte there, one back, one at a time, in one connection
//   route-tcp-crr, ...   the same in a new connection each time, which is closed then
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"

namespace underpass::bench {

const std::vector<std::string>& route_cases();
Report run_route(const RunOptions& options);

}  // namespace underpass::bench
