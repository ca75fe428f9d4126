// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A report as a file keeps it:
//   {format, complete, run: {command, version, kernel, cpu, time, seconds, repeat, generator, most_loss, busy,
//    versions, devices, mitigations},
//    notes: {scenario: text},
//    results: [{scenario, case, hook, metric, unit, kernel, underpass, limit, samples: {side: [...]}}]}
// and of a profile (bench --profile), in ns:
//    profiles: [{scenario, case, hook, stages: [{stage, what, ns, share, samples: [...]}],
//                sum, whole, traffic, empty: {ns, samples: [...]}}]
// kernel, underpass, limit: medians; null where the side was not measured. Where there is something to say: limit_tag,
// device, generator (frames, pktgen, iperf3, sockperf), and {baseline, to_baseline: {side: ratio}}. `complete` false:
// it was interrupted, or failed.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "bench/report.h"

namespace underpass::bench {

nlohmann::json to_json(const Report& report);
// Throws std::runtime_error, which says what is wrong, if it is none.
Report from_json(const nlohmann::json& json);
// Throws std::runtime_error with the file's name.
Report read_kept(const std::string& file);

}  // namespace underpass::bench
