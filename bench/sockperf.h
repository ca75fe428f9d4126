// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The same as talk.h measures, by sockperf: requests and responses of 14 bytes, its least, and small UDP frames, each
// of one connection. It warms up by itself, and runs for whole seconds.
#pragma once

#include <chrono>
#include <string>

#include "bench/talk.h"

namespace underpass::bench {

// Both throw std::runtime_error with sockperf's own words.
RequestResponse sockperf_request_response(Protocol protocol, const Ends& ends, std::chrono::milliseconds time);
SmallFrames sockperf_small_frames(const Ends& ends, std::chrono::milliseconds time);

// What `sockperf ping-pong --full-rtt` (3.7) has printed, of its valid duration; busy_seconds is not told. Throws
// std::runtime_error where that is not all there, or of half round trips.
RequestResponse request_response_of(const std::string& output);

}  // namespace underpass::bench
