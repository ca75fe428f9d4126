// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The scenario `route`: packets from a bridge to an uplink, by the host's routes alone, masqueraded, and masqueraded
// through a stateful filter. Each has its connections, which the far end has answered once; what is measured is one
// direction.
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"

namespace underpass::bench {

const std::vector<std::string>& route_cases();
Report run_route(const RunOptions& options);

}  // namespace underpass::bench
