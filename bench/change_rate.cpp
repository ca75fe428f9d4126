// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/change_rate.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <thread>

#include "bench/changes.h"
#include "bench/daemon.h"
#include "bench/moves.h"
#include "lab/interrupt.h"

namespace underpass::bench {

namespace {

using std::chrono::milliseconds;

constexpr const char* kScenario = "change-rate";
constexpr std::uint16_t kBytes = 60;
constexpr std::uint16_t kFlows = 4;
constexpr milliseconds kWarmUp(400);
constexpr milliseconds kMirrored(200);  // the daemon has taken in what has changed
constexpr std::size_t kMoves = 40;

struct Case {
    const char* name;
    ChangeKind kind;
    std::uint32_t per_second;
    bool quick;
};

const std::vector<Case>& cases() {
    static const std::vector<Case> all = {
        {"fdb-100", ChangeKind::fdb, 100, false},       {"fdb-1000", ChangeKind::fdb, 1000, true},
        {"fdb-10000", ChangeKind::fdb, 10000, true},    {"neigh-1000", ChangeKind::neighbour, 1000, false},
        {"route-1000", ChangeKind::route, 1000, false}, {"vlan-1000", ChangeKind::vlan, 1000, false}};
    return all;
}

// Changes in a thread of their own, on the CPU that the frames leave free.
class Churn {
public:
    Churn(const Topology& topology, const Case& each)
        : changes_(topology, each.kind, each.per_second), thread_([this](const std::stop_token& stop) {
              try {
                  done_ = changes_.run(stop, 0);
              } catch (...) {
                  failure_ = std::current_exception();
              }
          }) {}
    Churn(const Churn&) = delete;

    // Throws what went wrong.
    Changes::Done end() {
        thread_.request_stop();
        thread_.join();
        if (failure_) std::rethrow_exception(failure_);
        return done_;
    }

private:
    Changes changes_;
    Changes::Done done_;
    std::exception_ptr failure_;
    std::jthread thread_;  // last: it uses the others
};

// What the daemon has done since: its CPU time, and the frames that went without the kernel.
class Watch {
public:
    explicit Watch(const Topology& topology)
        : topology_(topology),
          before_(counted_by_daemon(topology)),
          pid_(pid_of_daemon(topology)),
          cpu_(cpu_ns_of(pid_)) {}

    double cpu_ns() const { return static_cast<double>(cpu_ns_of(pid_) - cpu_); }
    double fast_percent() const {
        const FastAndSlow now = counted_by_daemon(topology_);
        return 100.0 * static_cast<double>(now.fast - before_.fast) / static_cast<double>(now.all() - before_.all());
    }

private:
    const Topology& topology_;
    FastAndSlow before_;
    int pid_;
    std::uint64_t cpu_;
};

struct Phase {
    Traffic::Passed passed;
    double daemon_ns = 0;  // until it has taken in all
    double fast_percent = 0;
    Changes::Done changes;

    double rate() const { return static_cast<double>(passed.received) / passed.seconds; }
};

// Frames of that load; with changes, if a case is told.
Phase forward(const Topology& topology, Traffic& traffic, const Case* each, bool underpass, const Load& load) {
    Phase phase;
    std::optional<Watch> watch;
    if (underpass) watch.emplace(topology);
    std::optional<Churn> churn;
    if (each != nullptr) churn.emplace(topology, *each);
    phase.passed = traffic.forward(load);
    if (churn) phase.changes = churn->end();
    lab::pause_for(kMirrored);
    if (watch) {
        phase.daemon_ns = watch->cpu_ns();
        phase.fast_percent = watch->fast_percent();
    }
    if (phase.passed.received == 0) throw std::runtime_error("no frame came out");
    return phase;
}

void measure(const Topology& topology, const Case& each, const std::string& side, const RunOptions& options,
             const Add& add) {
    const bool underpass = side == "underpass";
    {
        Traffic traffic(topology, kBytes, kHosts, kFlows, usable_cpus() - 1);
        traffic.learn();
        traffic.forward({kWarmUp, 0, options.generator});
        const Load load = {options.time, 0, options.generator};
        const Phase calm = forward(topology, traffic, nullptr, underpass, load);
        const Phase phase = forward(topology, traffic, &each, underpass, load);
        add("frames", "frames/s", phase.rate());
        add("CPU per frame", "ns", phase.passed.busy_seconds * 1e9 / static_cast<double>(phase.passed.received));
        add("frames, to none", "%", 100.0 * phase.rate() / calm.rate());
        add("changes done", "changes/s", static_cast<double>(phase.changes.in_time) / phase.changes.seconds);
        if (underpass) {
            add("daemon, per change", "ns",
                (phase.daemon_ns - calm.daemon_ns) / static_cast<double>(phase.changes.all));
            add("went fast", "%", phase.fast_percent);
        }
    }
    if (side == "limit") return;  // it goes by no FDB
    Churn churn(topology, each);
    const std::vector<double> times = times_of_moves(topology, kMoves);
    churn.end();
    add("MAC moved, median", "us", percentile(times, 0.5));
    add("MAC moved, 99th", "us", percentile(times, 0.99));
}

}  // namespace

const std::vector<std::string>& change_rate_cases() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const Case& each : cases()) all.emplace_back(each.name);
        return all;
    }();
    return names;
}

void run_change_rate(const RunOptions& options, Report& report) {
    Runner runner(kScenario, options, report);
    std::string left_out;
    const bool vlans = kernel_filters_vlans();
    std::vector<Case> wanted = cases();
    std::erase_if(wanted, [&](const Case& each) {
        if (!runner.wants(each.name)) return true;
        if (each.kind == ChangeKind::vlan && !vlans)
            left_out += fmt::format(" {} is left out: this kernel has no VLAN filtering.", each.name);
        else if (options.quick && options.cases.empty() && !each.quick)
            left_out += fmt::format(" {} is left out by --quick.", each.name);
        else
            return false;
        return true;
    });
    report.note(
        kScenario,
        fmt::format("Frames of {} bytes of {} pairs of hosts, while other things are added, changed and deleted "
                    "in turns, so many a second. To none: the same frames without, just before. Daemon: its CPU "
                    "time for each, above what it takes without. MAC moved: {} moves from port to port in a "
                    "run, meanwhile, until the first frame comes out there.{}",
                    kBytes, kHosts, kMoves, left_out));
    const Topology topology("ubench-change", Spare{});
    std::vector<Job> jobs;
    jobs.reserve(wanted.size());
    for (const Case& each : wanted)
        jobs.push_back(
            {.topology = topology,
             .ports = Ports::wires,
             .case_name = each.name,
             .sides = kSides,
             .measure = [&](const std::string& side, const Add& add) { measure(topology, each, side, options, add); },
             .fast_share = 0,
             .generator = generator_of(options)});
    for (const Hook hook : {Hook::xdp, Hook::tc}) runner.run(jobs, hook);
}

}  // namespace underpass::bench
