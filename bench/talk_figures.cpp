// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/talk_figures.h"

#include <stdexcept>

namespace underpass::bench {

namespace {

constexpr std::chrono::milliseconds kWarmUp(200);

void add_transactions(const RequestResponse& done, const char* what, const char* cost, const Add& add) {
    if (done.transactions == 0) throw std::runtime_error("no answer came");
    add(what, "1/s", static_cast<double>(done.transactions) / done.seconds);
    add(cost, "ns", done.busy_seconds * 1e9 / static_cast<double>(done.transactions));
    add("latency, median", "us", done.p50_us);
    add("latency, 99th", "us", done.p99_us);
}

}  // namespace

void add_bulk(const Ends& ends, const RunOptions& options, const Add& add, std::uint32_t flows) {
    const Bulk bulk = measure_bulk(ends, options.time, flows);
    const auto bytes = static_cast<double>(bulk.bytes);
    add("throughput", "bit/s", bytes * 8 / bulk.seconds);
    add("CPU per kilobyte", "ns", bulk.busy_seconds * 1e9 / (bytes / 1000));
}

void add_request_response(Protocol protocol, const Ends& ends, const RunOptions& options, const Add& add,
                          std::uint32_t flows) {
    add_transactions(measure_request_response(protocol, ends, kWarmUp, options.time, flows), "transactions",
                     "CPU per transaction", add);
}

void add_small_frames(const Ends& ends, const RunOptions& options, const Add& add, std::uint32_t flows) {
    // One end only listens afterwards, and is believed to be where it is once it has spoken.
    measure_request_response(Protocol::udp, ends, std::chrono::milliseconds(0), kWarmUp);
    const SmallFrames frames = measure_small_frames(ends, kWarmUp, options.time, flows);
    if (frames.received == 0) throw std::runtime_error("no frame came");
    add("frames", "frames/s", static_cast<double>(frames.received) / frames.seconds);
    add("CPU per frame", "ns", frames.busy_seconds * 1e9 / static_cast<double>(frames.received));
}

void add_connections(const Ends& ends, const RunOptions& options, const Add& add) {
    add_transactions(measure_connections(ends, kWarmUp, options.time), "connections", "CPU per connection", add);
}

}  // namespace underpass::bench
