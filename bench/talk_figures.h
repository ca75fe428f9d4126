// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What talk.h measures, as figures of a report: each runs once, for the options' time after a warm-up, and adds its
// figures by `add`.
#pragma once

#include "bench/runner.h"
#include "bench/talk.h"

namespace underpass::bench {

void add_bulk(const Ends& ends, const RunOptions& options, const Add& add, std::uint32_t flows = 1);
void add_request_response(Protocol protocol, const Ends& ends, const RunOptions& options, const Add& add,
                          std::uint32_t flows = 1);
void add_small_frames(const Ends& ends, const RunOptions& options, const Add& add, std::uint32_t flows = 1);
void add_connections(const Ends& ends, const RunOptions& options, const Add& add);

}  // namespace underpass::bench
