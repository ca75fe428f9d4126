// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How long a move of a MAC takes to be followed. Its FDB entry, sticky, so that its frames go fast at either port
// without a word from it, goes from one port to another by netlink while frames for it come in; the time is from before
// the request to the first frame at the new port. Frames come in groups of few, by which it may be too long.
#pragma once

#include <vector>

#include "bench/topology.h"

namespace underpass::bench {

// Microseconds, of each move. On a topology with a spare wire, between that and the right one. Throws
// std::runtime_error if one is not followed within 10 s.
std::vector<double> times_of_moves(const Topology& topology, std::size_t moves);

// Nearest rank; 0 for none.
double percentile(std::vector<double> values, double share);

}  // namespace underpass::bench
