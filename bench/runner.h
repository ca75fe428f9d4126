// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What every bench has in common: sides measured in alternating runs on one or more topologies, and the one measurement
// that several make, frames from wire to wire.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/bare.h"
#include "bench/report.h"
#include "bench/side.h"
#include "bench/topology.h"

namespace underpass::bench {

struct RunOptions {
    int repeat = 37;  // runs of each side: kRunsToCompare
    std::chrono::milliseconds time{500};
    std::vector<std::string> cases;  // empty: all
    std::vector<std::string> hooks;  // empty: both
    bool quick = false;              // cases that take minutes are left out
    GeneratorKind generator = GeneratorKind::frames;
    bool no_drop_rate = false;  // search it, too
    double most_loss = 0;       // of it: a share
    std::string progress;       // stands before the progress: which scenario of how many
};

// Says which generator a job's traffic is of, in its report.
inline std::string generator_of(const RunOptions& options) {
    return name(options.generator);
}

// One measurement of one side: adds its figures by `add(metric, unit, value)`.
using Add = std::function<void(const char* metric, const char* unit, double value)>;
using Measure = std::function<void(const std::string& side, const Add& add)>;

// A case and what it is measured on.
struct Job {
    const Topology& topology;
    Ports ports;
    std::string case_name;
    std::vector<std::string> sides;
    Measure measure;
    std::uint32_t flows = 0;         // that Underpass has room for; 0: as many as without being told
    double fast_share = kFastShare;  // of the frames, at least; below the default the measurement itself tells it
    std::string generator = {};      // empty: the stacks send as they do without being told
};

class Runner {
public:
    // Both stay with the caller: whatever ends a run, what was measured before is there.
    Runner(std::string scenario, const RunOptions& options, Report& report);
    ~Runner();
    Runner(Runner&&) = delete;

    bool wants(const std::string& case_name) const;
    bool wants(Hook hook) const;
    // All of them in each run, one side of every job after another, and beginning with another each time, so that a
    // drift of the machine falls on all of them. Progress goes to standard error.
    void run(const std::vector<Job>& jobs, Hook hook);
    Report& report() { return report_; }
    // On a terminal one line that changes; else a line for each that `begins`.
    void tell(const std::string& text, bool begins);

private:
    void run_once(const Job& job, const std::string& side, Hook hook, int run);

    std::string scenario_;
    const RunOptions& options_;
    Report& report_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// What a load brings to the other end.
using Forward = std::function<Traffic::Passed(const Load& load)>;
// After a warm-up: what comes out and what that costs, at full speed, and the no-drop rate if it is wanted. Throws
// std::runtime_error if nothing comes out.
Traffic::Passed measure_forward(const Forward& forward, std::chrono::milliseconds warm_up, const RunOptions& options,
                                const Add& add);
// For other measurements than that: the no-drop rate alone, if it is wanted.
void add_no_drop_rate(const Forward& forward, const RunOptions& options, const Add& add);

// Frames of this length (without a tag) between kHosts pairs of hosts on one CPU, after a warm-up. What came out, and
// its figures by `add`.
Traffic::Passed measure_frames(const Topology& topology, std::uint16_t bytes, const RunOptions& options,
                               const Add& add);

}  // namespace underpass::bench
