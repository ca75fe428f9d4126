// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "bench/no_drop_rate.h"

namespace underpass::bench {

namespace {

bool has_side(const std::vector<Row>& rows, const Row& block, const char* side) {
    return std::ranges::any_of(rows, [&](const Row& row) { return same_block(row, block) && row.of(side) != nullptr; });
}

// "l2: frames-60, hook xdp"; of devices nobody says a hook.
std::string title_of(const Row& block) {
    return fmt::format("\n{}: {}{}{}\n", block.scenario, block.case_name, block.hook.empty() ? "" : ", hook ",
                       block.hook);
}

// Of one side there is nothing to compare.
std::string device_block(const Report& report, const Row& first) {
    std::string text = title_of(first) + fmt::format("  {:<24} {:<10} {}\n", "", "unit", kDevice);
    for (const Row& row : report.rows)
        if (same_block(row, first))
            text += fmt::format("  {:<24} {:<10} {}\n", row.metric, row.unit, figure(row.of(kDevice), row.unit));
    return text;
}

// Figures of the sides, then the ratios between them; `last` are those of the limit that changes the tag.
std::string line(const std::vector<std::string>& columns, const std::vector<std::string>& last) {
    std::string text = fmt::format("  {:<24} {:<10} {:<26} {:<26} {:<26} {:>9} {:>8}", columns[0], columns[1],
                                   columns[2], columns[3], columns[4], columns[5], columns[6]);
    if (!last.empty()) text += fmt::format("   {:<26} {:>12}", last[0], last[1]);
    text.erase(text.find_last_not_of(' ') + 1);
    return text + '\n';
}

std::string block(const Report& report, const Row& first) {
    const bool tag = has_side(report.rows, first, kTagLimit);
    if (has_side(report.rows, first, kDevice)) return device_block(report, first);
    using Columns = std::vector<std::string>;
    const auto last = [&](const std::string& value, const std::string& ratio) {
        return tag ? Columns{value, ratio} : Columns{};
    };
    std::string text = title_of(first);
    text += line({"", "unit", "kernel", "underpass", "limit", "up/kernel", "up/limit"},
                 last("limit, tag changed", "up/limit,tag"));
    for (const Row& row : report.rows) {
        if (!same_block(row, first)) continue;
        const auto value = [&](const std::string& side) { return figure(row.of(side), row.unit); };
        text += line({row.metric, row.unit, value("kernel"), value("underpass"), value("limit"),
                      ratio_text(row, "underpass", "kernel"), ratio_text(row, "underpass", "limit")},
                     last(value(kTagLimit), ratio_text(row, "underpass", kTagLimit)));
        const auto to_baseline = report.to_baseline(row);
        if (to_baseline.empty()) continue;
        const auto to = [&](const std::string& side) {
            const auto found = to_baseline.find(side);
            return figure(found == to_baseline.end() ? nullptr : &found->second, {});
        };
        text += line(
            {"  to " + report.baselines.at(row.scenario), "ratio", to("kernel"), to("underpass"), to("limit"), "", ""},
            last(to(kTagLimit), ""));
    }
    return text;
}

}  // namespace

const std::vector<std::string>& all_sides() {
    static const std::vector<std::string> sides = [] {
        std::vector<std::string> all = kSides;
        all.emplace_back(kTagLimit);
        all.emplace_back(kDevice);
        return all;
    }();
    return sides;
}

const std::vector<double>* Row::of(const std::string& side) const {
    const auto found = samples.find(side);
    return found == samples.end() || found->second.empty() ? nullptr : &found->second;
}

bool same_block(const Row& one, const Row& two) {
    return one.scenario == two.scenario && one.case_name == two.case_name && one.hook == two.hook;
}

bool is_headline(const Row& row) {
    static const std::set<std::string> metrics = {"frames", "throughput", "transactions", "connections", kNoDropRate};
    return metrics.contains(row.metric);
}

std::string case_text(const Row& row) {
    return row.metric == kNoDropRate ? fmt::format("{}, {}", row.case_name, row.metric) : row.case_name;
}

std::string label_of(const Row& row) {
    return fmt::format("{}{}{}", case_text(row), row.hook.empty() ? "" : ", ", row.hook);
}

std::vector<double> ratios(const Row& row, const std::string& above, const std::string& below) {
    std::vector<double> all;
    const auto* one = row.of(above);
    const auto* two = row.of(below);
    if (one == nullptr || two == nullptr) return all;
    for (std::size_t i = 0; i < std::min(one->size(), two->size()); i++)
        if ((*two)[i] != 0) all.push_back((*one)[i] / (*two)[i]);
    return all;
}

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string human(double value, const std::string& unit) {
    if (unit.ends_with("/s")) {
        for (const auto& [scale, letter] : {std::pair{1e9, "G"}, std::pair{1e6, "M"}, std::pair{1e3, "k"}})
            if (std::abs(value) >= scale) return fmt::format("{:.3g} {}", value / scale, letter);
    }
    return std::abs(value) >= 1000 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

std::string figure(const std::vector<double>* samples, const std::string& unit) {
    if (samples == nullptr) return "-";
    const auto [low, high] = std::minmax_element(samples->begin(), samples->end());
    if (samples->size() == 1) return human(*low, unit);
    return fmt::format("{} ({}..{})", human(median(*samples), unit), human(*low, unit), human(*high, unit));
}

std::string ratio_text(const Row& row, const std::string& above, const std::string& below) {
    const auto all = ratios(row, above, below);
    return all.empty() ? "-" : fmt::format("{:.2f}", median(all));
}

bool is_disturbed(const Facts& facts) {
    return facts.busy > 0.1;
}

std::string disturbed_text(const Facts& facts) {
    return fmt::format(
        "others took {:.0f} % of the CPUs' time just before, and the figures swing with that: end them, or measure "
        "longer (--repeat, --seconds)",
        100 * facts.busy);
}

void Report::add(const std::string& scenario, const std::string& case_name, const std::string& hook,
                 const std::string& metric, const std::string& unit, const std::string& side, double value,
                 const std::string& generator) {
    const auto same = [&](const Row& row) {
        return row.scenario == scenario && row.case_name == case_name && row.hook == hook && row.metric == metric;
    };
    auto row = std::find_if(rows.begin(), rows.end(), same);
    if (row == rows.end()) row = rows.insert(rows.end(), Row{scenario, case_name, hook, metric, unit, {}, generator});
    row->samples[side].push_back(value);
}

void Report::device(const std::string& name, const std::string& text) {
    if (std::ranges::none_of(facts.devices, [&](const auto& known) { return known.first == name; }))
        facts.devices.emplace_back(name, text);
}

std::vector<std::string> Report::scenarios() const {
    std::vector<std::string> names;
    for (const Row& row : rows)
        if (std::ranges::count(names, row.scenario) == 0) names.push_back(row.scenario);
    return names;
}

std::map<std::string, std::vector<double>> Report::to_baseline(const Row& row) const {
    std::map<std::string, std::vector<double>> of_sides;
    const auto baseline = baselines.find(row.scenario);
    if (baseline == baselines.end() || row.case_name == baseline->second) return of_sides;
    const auto base = std::ranges::find_if(rows, [&](const Row& other) {
        return other.case_name == baseline->second && other.scenario == row.scenario && other.hook == row.hook &&
               other.metric == row.metric;
    });
    if (base == rows.end()) return of_sides;
    for (const auto& [side, samples] : row.samples) {
        // Without a tag to change there is one limit.
        const auto* below = base->of(side == kTagLimit ? "limit" : side);
        if (below == nullptr) continue;
        for (std::size_t i = 0; i < std::min(samples.size(), below->size()); i++)
            if ((*below)[i] != 0) of_sides[side].push_back(samples[i] / (*below)[i]);
    }
    return of_sides;
}

std::string generators_text(const Report& report) {
    const auto words = [](const std::string& generator) { return generator == "frames" ? "live frames" : generator; };
    std::string text, others;
    for (const Row& row : report.rows) {
        if (row.generator.empty()) continue;
        if (row.generator == report.facts.generator)
            text = words(row.generator);
        else if (others.find(row.scenario + ',') == std::string::npos)
            others += fmt::format("{}, ", row.scenario);
    }
    if (others.empty()) return text;
    others.resize(others.size() - 2);
    const std::string other = words(report.facts.generator == "pktgen" ? "frames" : "pktgen");
    return text.empty() ? other : fmt::format("{} ({}: {})", text, others, other);
}

std::string no_drop_text(const Report& report) {
    if (std::ranges::none_of(report.rows, [](const Row& row) { return row.metric == kNoDropRate; })) return "";
    return fmt::format("the highest rate of which at most {:g} % is lost, within {:g} %, tried twice",
                       100 * report.facts.most_loss, 100 * kRatePrecision);
}

std::string table(const Report& report) {
    std::string text;
    for (auto row = report.rows.begin(); row != report.rows.end(); ++row)
        if (std::none_of(report.rows.begin(), row, [&](const Row& before) { return same_block(before, *row); }))
            text += block(report, *row);
    for (const std::string& scenario : report.scenarios())
        if (const auto note = report.notes.find(scenario); note != report.notes.end())
            text += fmt::format("\n{}: {}\n", scenario, note->second);
    return text;
}

}  // namespace underpass::bench
