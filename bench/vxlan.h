// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// VXLAN, measured: frames of one CPU out of a tunnel and into one, with UDP checksums and without; and traffic between
// the stacks of two containers behind two hosts that a tunnel joins.
//
// The limit redirects the same frames as they are: it takes nothing out and puts nothing on, and looks nothing up.
// Between hosts it is the limit at both, so that the containers' frames cross the underlay bare.
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"
#include "bench/talk_figures.h"

namespace underpass::bench {

const std::vector<std::string>& vxlan_cases();

void run_vxlan_decap(const RunOptions& options, Report& report);
void run_vxlan_encap(const RunOptions& options, Report& report);

// Between containers, for a scenario that has others of these, too.
std::vector<Talk> vxlan_talks();
void run_vxlan_talks(Runner& runner, const RunOptions& options);

}  // namespace underpass::bench
