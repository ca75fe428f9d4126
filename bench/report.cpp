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

std::string cell(const Row& row, const std::string& side) {
    const auto* samples = samples_of(row, side);
    if (samples == nullptr) return "-";
    const auto [low, high] = std::minmax_element(samples->begin(), samples->end());
    if (samples->size() == 1) return human(*low, row.unit);
    return fmt::format("{} ({}..{})", human(median(*samples), row.unit), human(*low, row.unit), human(*high, row.unit));
}

std::string ratio(const Row& row, const std::string& above, const std::string& below) {
    const auto* one = samples_of(row, above);
    const auto* two = samples_of(row, below);
    if (one == nullptr || two == nullptr || median(*two) == 0) return "-";
    return fmt::format("{:.2f}", median(*one) / median(*two));
}

}  // namespace

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

std::string Report::table() const {
    std::string text;
    std::vector<std::string> shown;
    for (const auto& first : rows_) {
        const std::string title = fmt::format("{}: {}, hook {}", first.scenario, first.case_name, first.hook);
        if (std::find(shown.begin(), shown.end(), title) != shown.end()) continue;
        shown.push_back(title);
        text += fmt::format("\n{}\n  {:<24} {:<10} {:<26} {:<26} {:<26} {:>9} {:>8}\n", title, "", "unit", "kernel",
                            "underpass", "limit", "up/kernel", "up/limit");
        for (const auto& row : rows_)
            if (row.scenario == first.scenario && row.case_name == first.case_name && row.hook == first.hook)
                text += fmt::format("  {:<24} {:<10} {:<26} {:<26} {:<26} {:>9} {:>8}\n", row.metric, row.unit,
                                    cell(row, "kernel"), cell(row, "underpass"), cell(row, "limit"),
                                    ratio(row, "underpass", "kernel"), ratio(row, "underpass", "limit"));
    }
    return text;
}

nlohmann::json Report::json(const RunFacts& facts) const {
    const nlohmann::json run = {
        {"command", facts.command}, {"kernel", facts.kernel}, {"cpu", facts.cpu}, {"time", facts.time}};
    nlohmann::json list = nlohmann::json::array();
    for (const auto& row : rows_) {
        nlohmann::json entry = {{"scenario", row.scenario}, {"case", row.case_name}, {"hook", row.hook},
                                {"metric", row.metric},     {"unit", row.unit},      {"run", run}};
        for (const auto& side : kSides) {
            const auto* samples = samples_of(row, side);
            entry[side] = samples != nullptr ? nlohmann::json(median(*samples)) : nlohmann::json();
            entry["samples"][side] = samples != nullptr ? nlohmann::json(*samples) : nlohmann::json::array();
        }
        list.push_back(std::move(entry));
    }
    return list;
}

}  // namespace underpass::bench
