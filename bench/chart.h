// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Charts of a report's rows as inline SVG, 400 units wide, in the colours of the page's style sheet (classes kernel,
// underpass, limit, limit_tag). Pure. What they show is in tables beside them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/report.h"

namespace underpass::bench {

// What a bar is held against: the kernel; where that was not measured, the limit.
const char* reference_of(const Row& row);

// For each row a bar as long as the ratio to its reference (1.0 has a line), a mark for the limit, and a dot for each
// run, the first at the top.
std::string ratio_chart(const std::vector<Row>& rows, const std::string& title);
// For each row every run of every side, from zero on.
std::string run_chart(const std::vector<Row>& rows, const std::string& title);

// "flows-65536": 65536.
std::optional<double> size_of(const Row& row);
// The rows' sides by their sizes, on a logarithmic axis: medians joined, single runs as dots.
std::string scale_chart(const std::vector<Row>& rows, const std::string& title);

}  // namespace underpass::bench
