// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/goals.h"

#include <fmt/format.h>

#include <algorithm>

namespace underpass::bench {

namespace {

struct Goal {
    const char* scenario;
    const char* case_name;
    const char* hook;
    double to_kernel;
    double to_limit = 0;  // 0: none is set
};

constexpr double kNotSlower = 1;  // beyond the noise: it is missed where every run is slower

// On XDP they are of a CPU that does nothing but forward. (Where it makes the frames, too, even the limit may be less.)
constexpr Goal kGoals[] = {
    {"l2", "frames-60", "xdp", 2.4, 0.9},
    {"mac-scale", "macs-1024", "xdp", 2.4, 0.9},
    {"mac-scale", "macs-65536", "xdp", 2.4, 0.9},
    {"route", "frames-60", "xdp", 2.0},
    {"nat", "frames-60", "xdp", 3.2},
    {"nat-filter", "frames-60", "xdp", 2.8},
    {"vxlan-decap", "summed", "xdp", 3.6},
    {"vxlan-encap", "summed", "xdp", 3.0},
    {"nat", "frames-60", "tc", 1.2},
    {"nat-filter", "frames-60", "tc", 1.35},
    {"container-to-uplink", "route-tcp-bulk", "tc", kNotSlower},
    {"container-to-uplink", "route-tcp-rr", "tc", kNotSlower},
    {"container-to-uplink", "nat-tcp-bulk", "tc", kNotSlower},
    {"container-to-uplink", "nat-tcp-rr", "tc", kNotSlower},
    {"container-to-uplink", "nat-filter-tcp-bulk", "tc", kNotSlower},
    {"container-to-uplink", "nat-filter-tcp-rr", "tc", kNotSlower},
    {"container-to-container", "vxlan-udp-small", "tc", 1.3},
    {"container-to-container", "vxlan-tcp-bulk", "tc", 1.05},
    {"container-to-container", "vxlan-tcp-bulk-8", "tc", kNotSlower},
    {"container-to-container", "vxlan-tcp-rr", "tc", 1.1},
};

bool is_missed(const Goal& goal, const std::vector<double>& runs) {
    return (goal.to_kernel == kNotSlower ? *std::ranges::max_element(runs) : median(runs)) < goal.to_kernel;
}

std::string to_limit(const Goal& goal, const Row& row) {
    const auto runs = ratios(row, "underpass", "limit");
    std::string text = ratio_text(row, "underpass", "limit");
    if (goal.to_limit == 0 || runs.empty()) return text;
    return fmt::format("{} ({} wanted{})", text, goal.to_limit, median(runs) < goal.to_limit ? ", missed" : "");
}

std::string median_of(const Row& row, const std::string& side) {
    const auto* samples = row.of(side);
    return samples == nullptr ? "-" : human(median(*samples), row.unit);
}

}  // namespace

std::vector<std::vector<std::string>> goals_table(const Report& report) {
    std::vector<std::vector<std::string>> table;
    for (const Goal& goal : kGoals) {
        const auto row = std::ranges::find_if(report.rows, [&](const Row& each) {
            return each.scenario == goal.scenario && each.case_name == goal.case_name && each.hook == goal.hook &&
                   is_headline(each) && each.metric != kNoDropRate;
        });
        if (row == report.rows.end()) continue;
        const auto runs = ratios(*row, "underpass", "kernel");
        if (runs.empty()) continue;
        if (table.empty())
            table.push_back(
                {"what", "hook", "unit", "kernel", "Underpass", "limit", "to kernel", "wanted", "to limit"});
        table.push_back(
            {fmt::format("{}, {}", goal.scenario, goal.case_name), goal.hook, row->unit, median_of(*row, "kernel"),
             median_of(*row, "underpass"), median_of(*row, "limit"), figure(&runs, ""),
             fmt::format("{}{}", goal.to_kernel, is_missed(goal, runs) ? ", missed" : ""), to_limit(goal, *row)});
    }
    return table;
}

}  // namespace underpass::bench
