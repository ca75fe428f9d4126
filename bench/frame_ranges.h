// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The generator's frames as pktgen is told of them: ranges of addresses and ports. Pure.
//
// pktgen steps everything that is a range with each packet, the MACs from the first on and the IP addresses from the
// second, so MACs are in pairs as the frames have them, and IP addresses are, but a host has the IP address of the
// next. Hosts and ports step at once, too: all of their combinations come only where the numbers of them have no common
// divisor.
#pragma once

#include <optional>
#include <vector>

#include "bench/generator.h"

namespace underpass::bench {

// Absent where pktgen cannot make them: in a tunnel, to many ports, or of addresses that are not one after another.
std::optional<pktgen::Traffic> ranges_of(const GeneratorOptions& options, const std::vector<frame_template>& frames);

}  // namespace underpass::bench
