// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/runner.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include "bench/facts.h"
#include "bench/no_drop_rate.h"
#include "bench/place.h"

namespace underpass::bench {

namespace {

constexpr std::uint16_t kFlows = 4;
constexpr std::chrono::milliseconds kFramesWarmUp(200);

bool chosen(const std::vector<std::string>& list, const std::string& name) {
    return list.empty() || std::find(list.begin(), list.end(), name) != list.end();
}

struct Turn {
    const Job* job;
    std::string side;
};

// The devices that the frames come in by, once for each kind.
void describe(const Job& job, Report& report) {
    const char* kind = job.ports == Ports::wires ? "wires" : "containers";
    if (std::ranges::any_of(report.facts.devices, [&](const auto& known) { return known.first == kind; })) return;
    report.device(kind, device_text({job.topology.end(job.ports, Side::left).there.fd(), -1}, "eth0"));
}

// Side by side, so that the jobs of one follow each other: they are held against each other too.
std::vector<Turn> turns_of(const std::vector<Job>& jobs) {
    std::vector<Turn> turns;
    for (const std::string& side : all_sides())
        for (const Job& job : jobs)
            if (std::ranges::count(job.sides, side) > 0) turns.push_back({&job, side});
    return turns;
}

}  // namespace

Runner::Runner(std::string scenario, const RunOptions& options, Report& report)
    : scenario_(std::move(scenario)), options_(options), report_(report) {}

Runner::~Runner() {
    if (isatty(STDERR_FILENO) != 0) std::fputs("\r\x1b[K", stderr);
}

void Runner::tell(const std::string& text, bool begins) {
    if (isatty(STDERR_FILENO) != 0) {
        const auto passed = std::chrono::steady_clock::now() - start_;
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(passed).count();
        fmt::print(stderr, "\r\x1b[K{}{}:{:02}  {} {}", options_.progress, seconds / 60, seconds % 60, scenario_, text);
    } else if (begins) {
        fmt::print(stderr, "{}{} {}\n", options_.progress, scenario_, text);
    }
}

bool Runner::wants(const std::string& case_name) const {
    return chosen(options_.cases, case_name);
}

bool Runner::wants(Hook hook) const {
    return chosen(options_.hooks, name(hook));
}

void Runner::run(const std::vector<Job>& jobs, Hook hook) {
    if (!wants(hook)) return;
    const std::vector<Turn> turns = turns_of(jobs);
    for (int run = 0; run < options_.repeat; run++)
        for (std::size_t i = 0; i < turns.size(); i++) {
            const Turn& turn = turns[(i + static_cast<std::size_t>(run)) % turns.size()];
            run_once(*turn.job, turn.side, hook, run);
        }
}

void Runner::run_once(const Job& job, const std::string& side, Hook hook, int run) {
    tell(fmt::format("{} {}: run {} of {}, {}", job.case_name, name(hook), run + 1, options_.repeat, side),
         run == 0 && side == job.sides.front());
    describe(job, report_);
    const Contender contender(job.topology, job.ports, side, hook, job.flows);
    job.measure(side, [&](const char* metric, const char* unit, double value) {
        report_.add(scenario_, job.case_name, name(hook), metric, unit, side, value, job.generator);
    });
    contender.require_fast(job.fast_share);
}

void add_no_drop_rate(const Forward& forward, const RunOptions& options, const Add& add) {
    if (!options.no_drop_rate) return;
    const auto found = find_no_drop_rate(
        [&](double rate) {
            const auto passed = forward({options.time, rate, options.generator});
            const auto sent = static_cast<double>(passed.sent);
            const double lost = sent - std::min(sent, static_cast<double>(passed.received));
            return LossTrial{.rate = sent / passed.seconds, .loss = sent > 0 ? lost / sent : 1};
        },
        options.most_loss);
    add(kNoDropRate, "frames/s", found.rate);
    add("of full speed", "%", found.full > 0 ? 100 * found.rate / found.full : 0);
}

Traffic::Passed measure_forward(const Forward& forward, std::chrono::milliseconds warm_up, const RunOptions& options,
                                const Add& add) {
    forward({warm_up, 0, options.generator});
    const auto passed = forward({options.time, 0, options.generator});
    if (passed.received == 0) throw std::runtime_error("no frame came out");
    add("frames", "frames/s", passed.rate());
    add("CPU per frame", "ns", passed.busy_seconds * 1e9 / static_cast<double>(passed.received));
    add_no_drop_rate(forward, options, add);
    return passed;
}

Traffic::Passed measure_frames(const Topology& topology, std::uint16_t bytes, const RunOptions& options,
                               const Add& add) {
    Traffic traffic(topology, bytes, kHosts, kFlows, usable_cpus() - 1);
    traffic.learn();
    return measure_forward([&](const Load& load) { return traffic.forward(load); }, kFramesWarmUp, options, add);
}

}  // namespace underpass::bench
