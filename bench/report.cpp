// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench/place.h"

namespace underpass::bench {

namespace {

std::string cpu_model() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("model name"))
            if (const auto colon = line.find(": "); colon != std::string::npos) return line.substr(colon + 2);
    return "unknown CPU";
}

const std::vector<double>* samples_of(const Row& row, const std::string& side) {
    const auto found = row.samples.find(side);
    return found == row.samples.end() || found->second.empty() ? nullptr : &found->second;
}

std::string cell(const std::vector<double>* samples, const std::string& unit) {
    if (samples == nullptr) return "-";
    const auto [low, high] = std::minmax_element(samples->begin(), samples->end());
    if (samples->size() == 1) return human(*low, unit);
    return fmt::format("{} ({}..{})", human(median(*samples), unit), human(*low, unit), human(*high, unit));
}

std::string ratio(const Row& row, const std::string& above, const std::string& below) {
    const auto* one = samples_of(row, above);
    const auto* two = samples_of(row, below);
    if (one == nullptr || two == nullptr || median(*two) == 0) return "-";
    return fmt::format("{:.2f}", median(*one) / median(*two));
}

bool same_block(const Row& one, const Row& two) {
    return one.scenario == two.scenario && one.case_name == two.case_name && one.hook == two.hook;
}

bool has_tag_limit(const std::vector<Row>& rows, const Row& block) {
    return std::ranges::any_of(
        rows, [&](const Row& row) { return same_block(row, block) && samples_of(row, kTagLimit) != nullptr; });
}

// Figures of the sides, then the ratios between them; `last` are those of the limit that changes the tag.
std::string line(const std::vector<std::string>& columns, const std::vector<std::string>& last) {
    std::string text = fmt::format("  {:<24} {:<10} {:<26} {:<26} {:<26} {:>9} {:>8}", columns[0], columns[1],
                                   columns[2], columns[3], columns[4], columns[5], columns[6]);
    if (!last.empty()) text += fmt::format("   {:<26} {:>12}", last[0], last[1]);
    text.erase(text.find_last_not_of(' ') + 1);
    return text + '\n';
}

}  // namespace

const std::vector<std::string>& all_sides() {
    static const std::vector<std::string> sides = [] {
        std::vector<std::string> all = kSides;
        all.emplace_back(kTagLimit);
        return all;
    }();
    return sides;
}

RunFacts facts_of_this_run(int argc, char** argv) {
    RunFacts facts;
    for (int i = 0; i < argc; i++) facts.command += (i > 0 ? " " : "") + std::string(argv[i]);
    utsname kernel = {};
    ::uname(&kernel);
    facts.kernel = kernel.release;
    facts.cpu = fmt::format("{}, {} CPUs", cpu_model(), usable_cpus());
    facts.time = fmt::format("{:%FT%TZ}", fmt::gmtime(std::chrono::system_clock::now()));
    return facts;
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

void Report::add(const std::string& scenario, const std::string& case_name, const std::string& hook,
                 const std::string& metric, const std::string& unit, const std::string& side, double value) {
    const auto same = [&](const Row& row) {
        return row.scenario == scenario && row.case_name == case_name && row.hook == hook && row.metric == metric;
    };
    auto row = std::find_if(rows_.begin(), rows_.end(), same);
    if (row == rows_.end()) row = rows_.insert(rows_.end(), Row{scenario, case_name, hook, metric, unit, {}});
    row->samples[side].push_back(value);
}

std::map<std::string, std::vector<double>> Report::to_baseline(const Row& row) const {
    std::map<std::string, std::vector<double>> ratios;
    if (row.case_name == baseline_) return ratios;
    const auto base = std::ranges::find_if(rows_, [&](const Row& other) {
        return other.case_name == baseline_ && other.scenario == row.scenario && other.hook == row.hook &&
               other.metric == row.metric;
    });
    if (base == rows_.end()) return ratios;
    for (const auto& [side, samples] : row.samples) {
        // Without a tag to change there is one limit.
        const auto* below = samples_of(*base, side == kTagLimit ? "limit" : side);
        if (below == nullptr) continue;
        for (std::size_t i = 0; i < std::min(samples.size(), below->size()); i++)
            if ((*below)[i] != 0) ratios[side].push_back(samples[i] / (*below)[i]);
    }
    return ratios;
}

std::string Report::block(const Row& first) const {
    const bool tag = has_tag_limit(rows_, first);
    using Columns = std::vector<std::string>;
    const auto last = [&](const std::string& figure, const std::string& ratio) {
        return tag ? Columns{figure, ratio} : Columns{};
    };
    std::string text = fmt::format("\n{}: {}, hook {}\n", first.scenario, first.case_name, first.hook);
    text += line({"", "unit", "kernel", "underpass", "limit", "up/kernel", "up/limit"},
                 last("limit, tag changed", "up/limit,tag"));
    for (const auto& row : rows_) {
        if (!same_block(row, first)) continue;
        const auto figure = [&](const std::string& side) { return cell(samples_of(row, side), row.unit); };
        text += line({row.metric, row.unit, figure("kernel"), figure("underpass"), figure("limit"),
                      ratio(row, "underpass", "kernel"), ratio(row, "underpass", "limit")},
                     last(figure(kTagLimit), ratio(row, "underpass", kTagLimit)));
        const auto ratios = to_baseline(row);
        if (ratios.empty()) continue;
        const auto to = [&](const std::string& side) {
            const auto found = ratios.find(side);
            return cell(found == ratios.end() ? nullptr : &found->second, {});
        };
        text += line({"  to " + baseline_, "ratio", to("kernel"), to("underpass"), to("limit"), "", ""},
                     last(to(kTagLimit), ""));
    }
    return text;
}

std::string Report::table() const {
    std::string text;
    for (auto row = rows_.begin(); row != rows_.end(); ++row)
        if (std::none_of(rows_.begin(), row, [&](const Row& before) { return same_block(before, *row); }))
            text += block(*row);
    if (!note_.empty()) text += fmt::format("\n{}\n", note_);
    return text;
}

nlohmann::json Report::json(const RunFacts& facts) const {
    nlohmann::json run = {
        {"command", facts.command}, {"kernel", facts.kernel}, {"cpu", facts.cpu}, {"time", facts.time}};
    if (!note_.empty()) run["note"] = note_;
    nlohmann::json list = nlohmann::json::array();
    for (const auto& row : rows_) {
        nlohmann::json entry = {{"scenario", row.scenario}, {"case", row.case_name}, {"hook", row.hook},
                                {"metric", row.metric},     {"unit", row.unit},      {"run", run}};
        for (const auto& side : all_sides()) {
            const auto* samples = samples_of(row, side);
            if (samples == nullptr && side == kTagLimit) continue;
            entry[side] = samples != nullptr ? nlohmann::json(median(*samples)) : nlohmann::json();
            entry["samples"][side] = samples != nullptr ? nlohmann::json(*samples) : nlohmann::json::array();
        }
        for (const auto& [side, ratios] : to_baseline(row)) {
            entry["baseline"] = baseline_;
            entry["to_baseline"][side] = median(ratios);
        }
        list.push_back(std::move(entry));
    }
    return list;
}

}  // namespace underpass::bench
