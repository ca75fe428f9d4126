// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What was measured, side by side: every sample is kept, medians and spread are worked out when it is shown.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace underpass::bench {

// The three sides of every figure, in the order in which they are shown.
inline const std::vector<std::string> kSides = {"kernel", "underpass", "limit"};
// Shown only where it was measured: the limit that changes the VLAN tag as the bridge has to.
inline constexpr const char* kTagLimit = "limit_tag";
// Both, in that order.
const std::vector<std::string>& all_sides();

struct Row {
    std::string scenario, case_name, hook, metric, unit;
    std::map<std::string, std::vector<double>> samples;  // by side
};

// Where and how a run was made: no number without it.
struct RunFacts {
    std::string command, kernel, cpu, time;
};
RunFacts facts_of_this_run(int argc, char** argv);

class Report {
public:
    void add(const std::string& scenario, const std::string& case_name, const std::string& hook,
             const std::string& metric, const std::string& unit, const std::string& side, double value);

    // Every other case is shown beside this one, as the ratio to it: of each pair of samples of one run.
    void compare_with(const std::string& case_name) { baseline_ = case_name; }
    // One paragraph on how the figures came about.
    void note(const std::string& text) { note_ = text; }

    bool empty() const { return rows_.empty(); }
    const std::vector<Row>& rows() const { return rows_; }
    // For people: one block per case and hook.
    std::string table() const;
    // [{scenario, case, hook, metric, unit, kernel, underpass, limit, samples, run}]; a side not measured is null.
    // Where there is something to say: limit_tag, and {baseline, to_baseline: {side: ratio}}; `run` has the note.
    nlohmann::json json(const RunFacts& facts) const;

private:
    std::string block(const Row& first) const;
    // By side; empty for the baseline itself and what it has not.
    std::map<std::string, std::vector<double>> to_baseline(const Row& row) const;

    std::string baseline_, note_;
    std::vector<Row> rows_;
};

double median(std::vector<double> values);
// A value for a person: 2.13 M, 15.1 G, by its unit.
std::string human(double value, const std::string& unit);

}  // namespace underpass::bench
