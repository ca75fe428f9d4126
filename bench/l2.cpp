// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/l2.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>

#include "bench/side.h"
#include "bench/talk.h"
#include "bench/topology.h"
#include "lab/interrupt.h"

namespace underpass::bench {

namespace {

using std::chrono::milliseconds;

constexpr const char* kScenario = "l2";
constexpr std::uint16_t kPairs = 1024;
constexpr std::uint16_t kFlows = 4;
constexpr milliseconds kWarmUp(200);

bool chosen(const std::vector<std::string>& list, const std::string& name) {
    return list.empty() || std::find(list.begin(), list.end(), name) != list.end();
}

// One measurement of one side: adds its figures by `add(metric, unit, value)`.
using Add = std::function<void(const char* metric, const char* unit, double value)>;
using Measure = std::function<void(const Add& add)>;

class Runner {
public:
    explicit Runner(const L2Options& options) : options_(options) {}

    // Alternating, and beginning with another side each time, so that a drift of the machine falls on all of them.
    void run(const Topology& topology, Ports ports, const std::string& case_name, Hook hook, const Measure& measure) {
        if (!chosen(options_.cases, case_name) || !chosen(options_.hooks, name(hook))) return;
        for (int run = 0; run < options_.runs; run++)
            for (std::size_t i = 0; i < kSides.size(); i++) {
                const std::string& side = kSides[(i + static_cast<std::size_t>(run)) % kSides.size()];
                progress(fmt::format("{} {}: run {} of {}, {}", case_name, name(hook), run + 1, options_.runs, side));
                const Contender contender(topology, ports, side, hook);
                measure([&](const char* metric, const char* unit, double value) {
                    report_.add(kScenario, case_name, name(hook), metric, unit, side, value);
                });
                contender.require_fast();
            }
    }

    Report take() {
        progress({});
        return std::move(report_);
    }

private:
    static void progress(const std::string& text) {
        if (isatty(STDERR_FILENO) != 0)
            fmt::print(stderr, "\r\x1b[K{}", text);
        else if (!text.empty())
            fmt::print(stderr, "{}\n", text);
    }

    const L2Options& options_;
    Report report_;
};

void measure_frames(Runner& runner, const L2Options& options, const Topology& topology, std::uint16_t bytes) {
    const int cpu = usable_cpus() - 1;
    for (const Hook hook : {Hook::xdp, Hook::tc})
        runner.run(topology, Ports::wires, fmt::format("frames-{}", bytes), hook, [&](const Add& add) {
            Traffic traffic(topology, bytes, kPairs, kFlows, cpu);
            traffic.learn();
            traffic.forward(kWarmUp);
            const auto passed = traffic.forward(options.time);
            add("frames", "frames/s", static_cast<double>(passed.received) / passed.seconds);
            add("CPU per frame", "ns", passed.busy_seconds * 1e9 / static_cast<double>(passed.received));
        });
}

void measure_containers(Runner& runner, const L2Options& options) {
    const Topology topology(Ports::containers);
    const int last = usable_cpus() - 1;
    const Ends ends = {{topology.end(Ports::containers, Side::left).there.fd(), 0},
                       {topology.end(Ports::containers, Side::right).there.fd(), last},
                       Topology::address(Side::right)};
    runner.run(topology, Ports::containers, "tcp-bulk", Hook::tc, [&](const Add& add) {
        const Bulk bulk = measure_bulk(ends, options.time);
        const double bits = static_cast<double>(bulk.bytes) * 8;
        add("throughput", "bit/s", bits / bulk.seconds);
        add("CPU per kilobyte", "ns", bulk.busy_seconds * 1e9 / (static_cast<double>(bulk.bytes) / 1000));
    });
    for (const Protocol protocol : {Protocol::tcp, Protocol::udp})
        runner.run(topology, Ports::containers, protocol == Protocol::tcp ? "tcp-rr" : "udp-rr", Hook::tc,
                   [&](const Add& add) {
                       const auto done = measure_request_response(protocol, ends, kWarmUp, options.time);
                       add("transactions", "1/s", static_cast<double>(done.transactions) / done.seconds);
                       add("CPU per transaction", "ns",
                           done.busy_seconds * 1e9 / static_cast<double>(done.transactions));
                       add("latency, median", "us", done.p50_us);
                       add("latency, 99th", "us", done.p99_us);
                   });
    runner.run(topology, Ports::containers, "udp-small", Hook::tc, [&](const Add& add) {
        // One end only listens afterwards, and is believed to be where it is once it has spoken.
        measure_request_response(Protocol::udp, ends, milliseconds(0), kWarmUp);
        const SmallFrames frames = measure_small_frames(ends, kWarmUp, options.time);
        add("frames", "frames/s", static_cast<double>(frames.received) / frames.seconds);
        add("CPU per frame", "ns", frames.busy_seconds * 1e9 / static_cast<double>(frames.received));
    });
}

}  // namespace

const std::vector<std::string>& l2_cases() {
    static const std::vector<std::string> cases = {"frames-60", "frames-1500", "tcp-bulk",
                                                   "tcp-rr",    "udp-rr",      "udp-small"};
    return cases;
}

Report run_l2(const L2Options& options) {
    Runner runner(options);
    if (chosen(options.cases, "frames-60") || chosen(options.cases, "frames-1500")) {
        const Topology topology(Ports::wires);
        for (const std::uint16_t bytes : std::array<std::uint16_t, 2>{60, 1500})
            measure_frames(runner, options, topology, bytes);
    }
    measure_containers(runner, options);
    return runner.take();
}

}  // namespace underpass::bench
