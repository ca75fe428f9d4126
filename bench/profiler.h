// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `underpass bench --profile`: measures what the stages of Underpass's programs take.
//
// A scenario's network is built, Underpass begins, and traffic makes everything known. Then copies of the program that
// the daemon has on that hook, each of which ends behind another stage, run on the daemon's own maps, attached to
// nothing, by BPF_PROG_TEST_RUN. What a run makes of a frame stays for the next one of the same call, so each run is a
// call of its own. Every run's answer is looked at: a frame that did not get as far as it should, since a pulse was
// due, is no measure, and what was measured just before it is measured again.
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"
#include "bench/scenarios.h"

namespace underpass::bench {

// What can be profiled; their run() adds to report.profiles.
const std::vector<Scenario>& profiled_scenarios();

}  // namespace underpass::bench
