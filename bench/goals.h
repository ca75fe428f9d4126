// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What Underpass is built to reach, as ratios to the kernel, and how far it got: the table at the head of a report and
// in the README. Pure.
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"

namespace underpass::bench {

// A row for each goal that the report has measured; the first is the head. Empty: it has measured none of them.
std::vector<std::vector<std::string>> goals_table(const Report& report);

}  // namespace underpass::bench
