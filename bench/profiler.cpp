// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/profiler.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>

#include "bench/copies.h"
#include "bench/profile_frames.h"
#include "bench/run_statistics.h"
#include "bench/side.h"
#include "lab/interrupt.h"
#include "maps/abi.h"

namespace underpass::bench {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kWarmUp(200);
constexpr milliseconds kSettled(60);  // frames that the kernel has to see are no more on their way
constexpr int kTries = 60;
// Each copy runs so often, then the next one does, so often in a round: what disturbs the machine falls on all of them.
constexpr std::size_t kInARow = 25, kTurns = 40;
constexpr std::uint32_t kEmptyRuns = 20000;

// On one hook: the copies, and the program that is attached.
class Profiler {
public:
    Profiler(const Topology& topology, const ProfiledCase& each, Hook hook, Frames& frames)
        : topology_(topology),
          hook_(hook),
          port_(topology.end(Ports::wires, each.from).port),
          longer_(each.longer),
          frames_(frames),
          frame_(frames.frame()) {
        at_bridge([this] { load(); });
    }

    // Throws std::runtime_error if the frame does not go fast.
    void add_run(Profile& profile, milliseconds time) {
        const double traffic = in_traffic(time);
        std::vector<std::vector<double>> all(copies_.size());
        int tries = 0;
        for (std::size_t turns = 0; turns < kTurns; turns++) {
            if (turns == 0) lab::pause_for(kSettled);
            while (!add_turn(all, turns)) {
                lab::throw_if_interrupted();
                if (++tries == kTries) throw_slow();
                frames_.forward(kWarmUp);
                lab::pause_for(kSettled);
                // Of a flow whose frame the kernel has lost it takes the others for a second, too; all are alike.
                frame_ = frames_.frame();
            }
        }
        std::vector<double> ns(all.size());
        std::ranges::transform(all, ns.begin(), middle_mean);
        const double whole = ns.back();
        ns.pop_back();
        profile.add_run(ns, whole, traffic);
    }

private:
    template <class Work>
    void at_bridge(const Work& work) const {
        run_at({topology_.bridge().fd(), usable_cpus() - 1}, work);
    }

    [[noreturn]] void throw_slow() const {
        throw std::runtime_error(fmt::format("the kernel takes these frames itself, so there is nothing to profile{}",
                                             longer_ ? " (through tunnels none go fast without nf_conntrack: "
                                                       "modprobe nf_conntrack)"
                                                     : ""));
    }

    void load() {
        const PinDirectory pins = PinDirectory::of_this_namespace();
        for (std::uint32_t last = STAGE_NONE; last < STAGE_COUNT; last++)
            copies_.emplace_back(pins, hook_, static_cast<stage>(last));
        copies_.emplace_back(pins, hook_);
        if (hook_ == Hook::xdp) {
            attached_.push_back(xdp_program_of(port_));
            return;
        }
        const auto control = pins.open(MAP_CONTROL);
        if (control) attached_ = programs_on(PROGRAM_TC, control->get());
        if (attached_.empty()) throw std::runtime_error("Underpass's TC program is not attached");
    }

    RunTime attached_time() const {
        RunTime sum;
        for (const Fd& program : attached_) {
            const RunTime time = run_time_of(program.get());
            sum.ns += time.ns;
            sum.runs += time.runs;
        }
        return sum;
    }

    // Mean of the attached program, without what the reading of the clock makes of an empty one.
    double in_traffic(milliseconds time) {
        const RunStatistics statistics;
        const RunTime before = attached_time();
        const auto passed = frames_.forward(time);
        if (passed.received == 0) throw std::runtime_error("no frame came out");
        const double mean = attached_time().mean_since(before);
        const RunTime empty = run_time_of(copies_.front().fd());
        at_bridge([this] { copies_.front().run_in_a_row(frame_, port_, kEmptyRuns); });
        return mean - run_time_of(copies_.front().fd()).mean_since(empty);
    }

    // As far as that copy goes: the last two go all of the way.
    bool went_fast(std::size_t copy, const Copy::Ran& ran) const {
        if (ran.action != (copy >= STAGE_EMIT ? redirect_of(hook_) : PROFILE_STOPPED)) return false;
        // A redirect may be one to the VXLAN device.
        return copy < STAGE_REWRITE || !longer_ ||
               static_cast<int>(ran.bytes) - static_cast<int>(frame_.size()) == *longer_;
    }

    // What each copy takes; false, and nothing is added, if a run did not end where it should.
    bool add_turn(std::vector<std::vector<double>>& all, std::size_t turn) {
        std::vector<std::vector<double>> ns(copies_.size());
        bool fast = true;
        at_bridge([&] {
            for (std::size_t i = 0; i < copies_.size() && fast; i++) {
                const std::size_t copy = (i + turn) % copies_.size();
                for (std::size_t run = 0; run < kInARow && fast; run++) {
                    const Copy::Ran ran = copies_[copy].run(frame_, port_);
                    fast = went_fast(copy, ran);
                    ns[copy].push_back(ran.ns);
                }
            }
        });
        if (!fast) return false;
        for (std::size_t copy = 0; copy < ns.size(); copy++)
            all[copy].insert(all[copy].end(), ns[copy].begin(), ns[copy].end());
        return true;
    }

    const Topology& topology_;
    Hook hook_;
    std::uint32_t port_;
    std::optional<int> longer_;
    Frames& frames_;
    std::vector<unsigned char> frame_;
    std::vector<Copy> copies_;  // by their last stage, from none to all; then the daemon's own
    std::vector<Fd> attached_;
};

void profile_one(Runner& runner, const ProfiledCase& each, const Topology& topology, Hook hook,
                 const RunOptions& options) {
    const Contender contender(topology, Ports::wires, "underpass", hook);
    const std::unique_ptr<Frames> frames = each.start(topology);
    frames->learn();
    frames->forward(kWarmUp);
    Profiler profiler(topology, each, hook, *frames);
    Profile profile = empty_profile(each.scenario, each.name, name(hook));
    const auto keep = [&] {
        if (!profile.empty.empty()) runner.report().profiles.push_back(profile);
    };
    try {
        for (int run = 0; run < options.repeat; run++) {
            runner.tell(fmt::format("{} {}: profile, run {} of {}", each.name, name(hook), run + 1, options.repeat),
                        run == 0);
            profiler.add_run(profile, options.time);
        }
    } catch (...) {
        keep();
        throw;
    }
    keep();
}

void profile(const std::string& scenario, const RunOptions& options, Report& report) {
    Runner runner(scenario, options, report);
    for (const ProfiledCase& each : profiled_cases()) {
        if (each.scenario != scenario || !runner.wants(each.name)) continue;
        const std::unique_ptr<Topology> topology = each.build();
        for (const Hook hook : {Hook::xdp, Hook::tc})
            if (runner.wants(hook)) profile_one(runner, each, *topology, hook, options);
    }
}

}  // namespace

const std::vector<Scenario>& profiled_scenarios() {
    static const std::vector<Scenario> all = [] {
        std::vector<Scenario> scenarios;
        for (const ProfiledCase& each : profiled_cases()) {
            if (!scenarios.empty() && scenarios.back().name == each.scenario) {
                scenarios.back().cases.push_back(each.name);
                continue;
            }
            const std::string name = each.scenario;
            scenarios.push_back({.name = name,
                                 .description = {},
                                 .cases = {each.name},
                                 .run = [name](const auto& options, auto& report) { profile(name, options, report); }});
        }
        return scenarios;
    }();
    return all;
}

}  // namespace underpass::bench
