// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/talk_figures.h"

#include <stdexcept>

#include "bench/sockperf.h"

namespace underpass::bench {

namespace {

constexpr std::chrono::milliseconds kWarmUp(400);  // what is right behind a pulse takes the longer way for 200 ms

void add_transactions(const RequestResponse& done, const char* what, const char* cost, const Add& add) {
    if (done.transactions == 0) throw std::runtime_error("no answer came");
    add(what, "1/s", static_cast<double>(done.transactions) / done.seconds);
    add(cost, "ns", done.busy_seconds * 1e9 / static_cast<double>(done.transactions));
    add("latency, median", "us", done.p50_us);
    add("latency, 99th", "us", done.p99_us);
}

void add_bulk(const Talk& talk, const Ends& ends, const RunOptions& options, const Add& add) {
    const Bulk bulk = measure_bulk(ends, options.time, talk.flows);
    const auto bytes = static_cast<double>(bulk.bytes);
    add("throughput", "bit/s", bytes * 8 / bulk.seconds);
    add("CPU per kilobyte", "ns", bulk.busy_seconds * 1e9 / (bytes / 1000));
}

void add_request_response(const Talk& talk, const Ends& ends, const RunOptions& options, const Add& add) {
    const Protocol protocol = talk.kind == TalkKind::tcp_transactions ? Protocol::tcp : Protocol::udp;
    add_transactions(options.generator == GeneratorKind::sockperf
                         ? sockperf_request_response(protocol, ends, options.time)
                         : measure_request_response(protocol, ends, kWarmUp, options.time, talk.flows),
                     "transactions", "CPU per transaction", add);
}

void add_small_frames(const Talk& talk, const Ends& ends, const RunOptions& options, const Add& add) {
    // One end only listens afterwards, and is believed to be where it is once it has spoken.
    measure_request_response(Protocol::udp, ends, std::chrono::milliseconds(0), kWarmUp);
    const SmallFrames frames = options.generator == GeneratorKind::sockperf
                                   ? sockperf_small_frames(ends, options.time)
                                   : measure_small_frames(ends, kWarmUp, options.time, talk.flows);
    if (frames.received == 0) throw std::runtime_error("no frame came");
    add("frames", "frames/s", static_cast<double>(frames.received) / frames.seconds);
    add("CPU per frame", "ns", frames.busy_seconds * 1e9 / static_cast<double>(frames.received));
}

}  // namespace

std::vector<std::string> names_of(const std::vector<Talk>& talks) {
    std::vector<std::string> names;
    names.reserve(talks.size());
    for (const Talk& talk : talks) names.push_back(talk.name);
    return names;
}

bool makes(GeneratorKind generator, const Talk& talk) {
    switch (generator) {
        case GeneratorKind::iperf3: return talk.kind == TalkKind::bulk;
        // Of several connections sockperf serves one after another, not all at once.
        case GeneratorKind::sockperf:
            return talk.kind != TalkKind::bulk && talk.kind != TalkKind::connections && talk.flows == 1;
        default: return true;
    }
}

const char* program_of(GeneratorKind generator, const Talk& talk) {
    if (talk.kind == TalkKind::bulk) return name(GeneratorKind::iperf3);
    return generator == GeneratorKind::sockperf ? name(generator) : nullptr;
}

std::string generator_of_talks(const RunOptions& options) {
    return makes_frames(options.generator) ? "" : generator_of(options);
}

void add_talk(const Talk& talk, const Ends& ends, const RunOptions& options, const Add& add) {
    switch (talk.kind) {
        case TalkKind::bulk: return add_bulk(talk, ends, options, add);
        case TalkKind::tcp_transactions:
        case TalkKind::udp_transactions: return add_request_response(talk, ends, options, add);
        case TalkKind::small_frames: return add_small_frames(talk, ends, options, add);
        case TalkKind::connections:
            return add_transactions(measure_connections(ends, kWarmUp, options.time), "connections",
                                    "CPU per connection", add);
    }
}

}  // namespace underpass::bench
