// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/against.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace underpass::bench {

namespace {

constexpr double kTrimmed = 0.1;  // of the runs, at either end
constexpr double kOneRun = 1e-3;  // spread at least: below it figures are rounded

// A trimmed mean, the variance of its error, and the degrees of freedom of that.
struct Centre {
    double mean = 0, variance = 0, freedom = 0;
};

// Yuen (1974): the variance is of the winsorized values.
Centre centre_of(std::vector<double> values) {
    std::ranges::sort(values);
    const auto count = static_cast<double>(values.size());
    const auto cut = static_cast<std::size_t>(kTrimmed * count);
    const auto kept = static_cast<double>(values.size() - 2 * cut);
    Centre centre;
    for (std::size_t i = cut; i < values.size() - cut; i++) centre.mean += values[i] / kept;
    double winsorized = 0, squares = 0;
    const auto at = [&](std::size_t i) { return values[std::clamp(i, cut, values.size() - cut - 1)]; };
    for (std::size_t i = 0; i < values.size(); i++) winsorized += at(i) / count;
    for (std::size_t i = 0; i < values.size(); i++) squares += (at(i) - winsorized) * (at(i) - winsorized);
    centre.variance = std::max(squares, (count - 1) * kOneRun * kOneRun) / (kept * (kept - 1));
    centre.freedom = kept - 1;
    return centre;
}

// Student's t of so many degrees of freedom as a normal deviate of the same probability, and back (Wallace 1959).
double scale_of(double freedom) {
    return (8 * freedom + 1) / (8 * freedom + 3);
}
double normal_of(double t, double freedom) {
    return std::copysign(scale_of(freedom) * std::sqrt(freedom * std::log1p(t * t / freedom)), t);
}
double student_of(double normal, double freedom) {
    const double part = normal / scale_of(freedom);
    return std::copysign(std::sqrt(freedom * std::expm1(part * part / freedom)), normal);
}

double below(double normal) {
    return std::erfc(-normal / std::sqrt(2.0)) / 2;
}

// The deviate that is exceeded with this probability; by halving, 60 times.
double exceeded(double chance) {
    double low = 0, high = 40;
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        (below(-middle) > chance ? low : high) = middle;
    }
    return low;
}

std::vector<double> logarithms(std::vector<double> values) {
    std::erase_if(values, [](double value) { return !(value > 0) || !std::isfinite(value); });
    for (double& value : values) value = std::log(value);
    return values;
}

const Row* same_row(const Report& report, const Row& wanted) {
    for (const Row& row : report.rows)
        if (same_block(row, wanted) && row.metric == wanted.metric) return &row;
    return nullptr;
}

// Those that make what others make by default: of live frames and iperf3 it is the same, told or not.
bool is_another(const Row& row) {
    return row.generator == "pktgen" || row.generator == "sockperf";
}
// Beside a row of another generator.
std::string generator_text(const Row& row, const Row& beside) {
    if (is_another(row)) return row.generator;
    return beside.generator == "sockperf" ? "the bench's own sockets" : "live frames";
}

struct Pair {
    const Row* row;
    std::vector<double> before, now;
};

Comparison compare(const Pair& pair, std::size_t comparisons) {
    const Centre before = centre_of(pair.before), now = centre_of(pair.now);
    const double variance = before.variance + now.variance;
    const double freedom =
        variance * variance /
        (before.variance * before.variance / before.freedom + now.variance * now.variance / now.freedom);
    const double difference = now.mean - before.mean, error = std::sqrt(variance);
    const double each = kFalseAlarm / static_cast<double>(comparisons);
    Comparison result;
    result.scenario = pair.row->scenario;
    result.case_name = pair.row->case_name;
    result.hook = pair.row->hook;
    result.metric = pair.row->metric;
    result.runs_before = pair.before.size();
    result.runs_now = pair.now.size();
    result.before = std::exp(before.mean);
    result.now = std::exp(now.mean);
    result.change = std::expm1(difference);
    result.chance = below(normal_of(difference / error, freedom));
    result.finds =
        -std::expm1(-error * (student_of(exceeded(each), freedom) + student_of(exceeded(1 - kFindsOf), freedom)));
    result.slower = result.chance < each && result.change < -kNoMatter;
    return result;
}

void remark(Against& against, const char* what, const std::string& before, const std::string& now) {
    if (before != now) against.remarks.push_back(fmt::format("{}: {} now, {} before", what, now, before));
}

}  // namespace

Against compare(const Report& before, const Report& now) {
    Against against;
    std::vector<Pair> pairs;
    for (const Row& row : now.rows) {
        if (!is_headline(row)) continue;
        const auto leave_out = [&](const std::string& why) {
            against.left_out.push_back(fmt::format("{} {}: {}", row.scenario, label_of(row), why));
        };
        const Row* old = same_row(before, row);
        // What every scenario measures to hold its cases against is a case of another one.
        if (const auto base = now.baselines.find(row.scenario);
            base != now.baselines.end() && base->second == row.case_name && row.case_name == "untagged")
            continue;
        if (old == nullptr) {
            leave_out("not measured before");
            continue;
        }
        if (is_another(*old) != is_another(row)) {
            leave_out(fmt::format("the frames are of different generators: {} now, {} before",
                                  generator_text(row, *old), generator_text(*old, row)));
            continue;
        }
        Pair pair = {&row, logarithms(ratios(*old, "underpass", "kernel")),
                     logarithms(ratios(row, "underpass", "kernel"))};
        if (row.of("kernel") == nullptr || old->of("kernel") == nullptr)
            leave_out("no kernel's side to hold it against");
        else if (std::min(pair.before.size(), pair.now.size()) < kFewestRuns)
            leave_out(fmt::format("fewer than {} runs", kFewestRuns));
        else
            pairs.push_back(std::move(pair));
    }
    for (const Pair& pair : pairs) against.comparisons.push_back(compare(pair, pairs.size()));
    remark(against, "kernel", before.facts.kernel, now.facts.kernel);
    remark(against, "CPU", before.facts.cpu, now.facts.cpu);
    if (!no_drop_text(before).empty() && !no_drop_text(now).empty())
        remark(against, "no-drop rate", no_drop_text(before), no_drop_text(now));
    if (before.facts.seconds != now.facts.seconds)
        remark(against, "length of a run", fmt::format("{} s", before.facts.seconds),
               fmt::format("{} s", now.facts.seconds));
    return against;
}

std::string table(const Against& against) {
    std::string text = fmt::format(
        "\nUnderpass to the kernel, {} comparisons of trimmed means\n  {:<24} {:<20} {:<5} {:<13} {:>7} {:>7} "
        "{:>8} {:>10}\n",
        against.comparisons.size(), "scenario", "case", "hook", "", "before", "now", "change", "seen from");
    for (const Comparison& each : against.comparisons)
        text +=
            fmt::format("  {:<24} {:<20} {:<5} {:<13} {:>7.3f} {:>7.3f} {:>+7.1f}% {:>9.1f}%{}\n", each.scenario,
                        each.case_name, each.hook, each.metric, each.before, each.now, 100 * each.change,
                        -100 * each.finds, each.slower ? fmt::format("  SLOWER (by chance: {:.1g})", each.chance) : "");
    for (const std::string& why : against.left_out) text += "  not compared: " + why + '\n';
    for (const std::string& what : against.remarks) text += "  differs: " + what + '\n';
    const auto coarse =
        std::ranges::count_if(against.comparisons, [](const Comparison& each) { return each.finds > 0.1; });
    if (coarse > 0)
        text += fmt::format(
            "  In {} of them a slowdown of a tenth could pass unseen: more runs in both reports show it.\n", coarse);
    return text;
}

}  // namespace underpass::bench
