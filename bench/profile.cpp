// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "bench/report.h"
#include "maps/stage.h"

namespace underpass::bench {

const char* const kProfileMeaning =
    "A stage is the difference of two programs, one of which ends behind it and one before it, each run on a frame of "
    "the scenario, again and again: everything that it looks at is in the caches, and nothing else runs beside it. "
    "(A few ns more or less of neighbours mean nothing: compiler and CPU do not keep to the border between them.) "
    "Whole: the program as the daemon has it, in the same runs; it differs from the sum by what it costs to be able to "
    "end early. In traffic: the program's mean by the kernel's run time statistics while frames of all flows are "
    "forwarded, which is with what is not in the caches, with frames that the kernel has to see, and by XDP with "
    "libxdp's dispatcher where that is. All are without what a program takes that does nothing, and the reading of the "
    "clock: that is the last line.";

void Profile::add_run(const std::vector<double>& prefixes, double whole_ns, double traffic_ns) {
    if (prefixes.size() != stages.size() + 1) throw std::logic_error("a profile's run has another number of stages");
    for (std::size_t i = 0; i < stages.size(); i++) stages[i].ns.push_back(prefixes[i + 1] - prefixes[i]);
    empty.push_back(prefixes.front());
    whole.push_back(whole_ns - prefixes.front());
    traffic.push_back(traffic_ns);
}

std::vector<double> Profile::sums() const {
    std::vector<double> sums(empty.size());
    for (const Stage& stage : stages)
        for (std::size_t run = 0; run < std::min(sums.size(), stage.ns.size()); run++) sums[run] += stage.ns[run];
    return sums;
}

double Profile::share(const Stage& stage) const {
    const double all = median(sums());
    return all > 0 ? median(stage.ns) / all : 0;
}

Profile empty_profile(const std::string& scenario, const std::string& case_name, const std::string& hook) {
    Profile profile = {.scenario = scenario, .case_name = case_name, .hook = hook};
#define X(symbol, name, what) profile.stages.push_back({name, what, {}});
    STAGES(X)
#undef X
    return profile;
}

double middle_mean(std::vector<double> values) {
    if (values.empty()) return 0;
    std::ranges::sort(values);
    const std::size_t left_out = values.size() / 4;
    double sum = 0;
    for (std::size_t i = left_out; i < values.size() - left_out; i++) sum += values[i];
    return sum / static_cast<double>(values.size() - 2 * left_out);
}

// Without a sign before zero.
std::string ns_figure(double ns) {
    const double rounded = std::round(ns * 10) / 10;
    return fmt::format("{:.1f}", rounded == 0 ? 0 : rounded);
}

std::string ns_text(const std::vector<double>& runs) {
    if (runs.empty()) return "-";
    const auto [low, high] = std::ranges::minmax(runs);
    return fmt::format("{} ({}..{})", ns_figure(median(runs)), ns_figure(low), ns_figure(high));
}

std::vector<ProfileLine> lines_of(const Profile& profile) {
    std::vector<ProfileLine> lines;
    for (const Profile::Stage& stage : profile.stages)
        lines.push_back(
            {stage.name, ns_text(stage.ns), fmt::format("{} %", std::lround(100 * profile.share(stage))), stage.what});
    lines.push_back({"sum", ns_text(profile.sums()), "", "all stages"});
    lines.push_back({"whole", ns_text(profile.whole), "", "the program as the daemon has it"});
    lines.push_back({"in traffic", ns_text(profile.traffic), "", "the same, of real frames"});
    lines.push_back(
        {"empty", ns_text(profile.empty), "", "a program that does nothing, and the clock; in none of these"});
    return lines;
}

std::string table(const Profile& profile) {
    std::string text = fmt::format("\nprofile of {}: {}, hook {}\n", profile.scenario, profile.case_name, profile.hook);
    text += fmt::format("  {:<10}  {:<24}  {:>5}  {}\n", "stage", "ns", "share", "what it does");
    for (const ProfileLine& line : lines_of(profile))
        text += fmt::format("  {:<10}  {:<24}  {:>5}  {}\n", line.name, line.ns, line.share, line.what);
    return text;
}

}  // namespace underpass::bench
