// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The scenario `container-to-container`: between the stacks of two containers with all their offloads, by TC.
//
//   tcp-bulk         one TCP stream
//   tcp-rr, udp-rr   one byte there, one back, one at a time
//   udp-small        64-byte UDP frames, as fast as one sender makes them
//   vxlan-...        the same behind two hosts that a VXLAN tunnel joins; -8: eight at once
#pragma once

#include <vector>

#include "bench/report.h"
#include "bench/runner.h"
#include "bench/talk_figures.h"

namespace underpass::bench {

std::vector<Talk> container_to_container_talks();

void run_container_to_container(const RunOptions& options, Report& report);

}  // namespace underpass::bench
