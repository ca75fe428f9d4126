// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The scenarios of VLANs: frames from wire to wire through a VLAN-aware bridge, and the same frames through a bridge
// without VLANs, in the same alternating runs, so that what a tag costs is a ratio of one run.
//
//   vlan-push   from an access port to a trunk: the tag is put on
//   vlan-pop    from a trunk to an access port: the tag is taken off
//   vlan-keep   from a trunk to a trunk
//
// Their cases are `untagged`, 60-byte frames without VLANs, which is always measured, and `tagged`.
// A frame with its tag has 64 bytes. Beside the limit that leaves the tag alone there is one that changes it.
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"

namespace underpass::bench {

const std::vector<std::string>& vlan_cases();

// Where the kernel has no VLAN filtering, its own side is missing and Underpass is its programs alone: the report says
// so. Progress goes to standard error.
void run_vlan_push(const RunOptions& options, Report& report);
void run_vlan_pop(const RunOptions& options, Report& report);
void run_vlan_keep(const RunOptions& options, Report& report);

}  // namespace underpass::bench
