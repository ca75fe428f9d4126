// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where a run is made: this machine, as far as it decides what comes out.
#pragma once

#include <string>

#include "bench/place.h"
#include "bench/report.h"

namespace underpass::bench {

// All but the devices. `version`: of Underpass.
Facts facts_of_this_run(const std::string& version);
// Of a device there: its driver, and the offloads that are on.
std::string device_text(const Place& there, const std::string& device);

}  // namespace underpass::bench
