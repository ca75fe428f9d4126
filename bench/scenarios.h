// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// All that can be measured, by name.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"
#include "bench/talk_figures.h"

namespace underpass::bench {

struct Scenario {
    std::string name, description;
    std::vector<std::string> cases;
    // Adds to the report whatever it has, also when it throws.
    std::function<void(const RunOptions& options, Report& report)> run;
    std::vector<Talk> talks = {};  // of the cases those between stacks

    bool has_frames() const { return cases.size() > talks.size(); }
};

// In the order in which they run.
const std::vector<Scenario>& all_scenarios();

// These of `all`, in that order, each once; all if none is named. Throws std::invalid_argument with the names there
// are.
std::vector<Scenario> scenarios_named(const std::vector<std::string>& names,
                                      const std::vector<Scenario>& all = all_scenarios());

}  // namespace underpass::bench
