// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The bench of VLANs: frames from wire to wire through a VLAN-aware bridge, and the same frames through a bridge
// without VLANs, in the same alternating runs, so that what a tag costs is a ratio of one run.
//
//   untagged    60-byte frames, no VLANs; always measured
//   vlan-push   from an access port to a trunk: the tag is put on
//   vlan-pop    from a trunk to an access port: the tag is taken off
//   vlan-keep   from a trunk to a trunk
//
// A frame with its tag has 64 bytes. Beside the limit that leaves the tag alone there is one that changes it.
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"

namespace underpass::bench {

// Those that can be chosen.
const std::vector<std::string>& vlan_cases();

// Where the kernel has no VLAN filtering, its own side is missing and Underpass is its programs alone: the report says
// so. Progress goes to standard error.
Report run_vlan(const RunOptions& options);

}  // namespace underpass::bench
