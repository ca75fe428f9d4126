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

    bool empty() const { return rows_.empty(); }
    const std::vector<Row>& rows() const { return rows_; }
    // For people: one block per case and hook.
    std::string table() const;
    // [{scenario, case, hook, metric, unit, kernel, underpass, limit, samples, run}]; a side not measured is null.
    nlohmann::json json(const RunFacts& facts) const;

private:
    std::vector<Row> rows_;
};

double median(std::vector<double> values);
// A value for a person: 2.13 M, 15.1 G, by its unit.
std::string human(double value, const std::string& unit);

}  // namespace underpass::bench
