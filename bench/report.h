// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What was measured, side by side: every sample is kept, medians and spread are worked out when it is shown. Plain
// values: where they come from (a run, a kept file) is others' matter, and so is how they are shown.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bench/profile.h"

namespace underpass::bench {

// The three sides of every figure, in the order in which they are shown.
inline const std::vector<std::string> kSides = {"kernel", "underpass", "limit"};
// Shown only where it was measured: the limit that changes the VLAN tag as the bridge has to.
inline constexpr const char* kTagLimit = "limit_tag";
// The only one of devices of which nobody says what is between them.
inline constexpr const char* kDevice = "device";
// A metric: see no_drop_rate.h.
inline constexpr const char* kNoDropRate = "no-drop rate";
// All sides, in that order.
const std::vector<std::string>& all_sides();

struct Row {
    std::string scenario, case_name, hook, metric, unit;
    std::map<std::string, std::vector<double>> samples;  // by side; number n of each is of the same run
    // Who made the traffic (generator.h); empty: the stacks, as they do without being told, or it was kept before there
    // was a choice.
    std::string generator = {};

    // Null if that side was not measured.
    const std::vector<double>* of(const std::string& side) const;
};

bool same_block(const Row& one, const Row& two);
// What a case is about, as opposed to what else was seen meanwhile (CPU time, latency): a rate, more is better.
bool is_headline(const Row& row);
// "frames-60", or "frames-60, no-drop rate" of that.
std::string case_text(const Row& row);
// That and the hook, if there is one.
std::string label_of(const Row& row);
// Of each run: `above` to `below`; empty if one of them was not measured.
std::vector<double> ratios(const Row& row, const std::string& above, const std::string& below);

// Where and how a run was made: no number without it.
struct Facts {
    std::string command, version, kernel, cpu, time;
    std::string generator = {};  // that was asked for
    double most_loss = 0;        // of the no-drop rate, as a share
    double seconds = 0;
    int repeat = 0;
    double busy = 0;  // share of the CPUs' time that others took, just before
    using Named = std::vector<std::pair<std::string, std::string>>;
    Named versions, devices, mitigations;
};

// Whether others took so much of the machine that the figures swing; and that as a sentence.
bool is_disturbed(const Facts& facts);
std::string disturbed_text(const Facts& facts);

class Report {
public:
    void add(const std::string& scenario, const std::string& case_name, const std::string& hook,
             const std::string& metric, const std::string& unit, const std::string& side, double value,
             const std::string& generator = {});

    // Every other case of the scenario is shown beside this one, as the ratio to it: of each pair of samples of a run.
    void compare_with(const std::string& scenario, const std::string& case_name) { baselines[scenario] = case_name; }
    // One paragraph on how the scenario's figures came about.
    void note(const std::string& scenario, const std::string& text) { notes[scenario] = text; }
    // A device as it was measured; the first word on it holds.
    void device(const std::string& name, const std::string& text);

    // In the order in which they were measured.
    std::vector<std::string> scenarios() const;
    // By side; empty for the baseline itself and what it has not.
    std::map<std::string, std::vector<double>> to_baseline(const Row& row) const;

    Facts facts;
    bool complete = false;  // false: it was interrupted, or failed
    std::vector<Row> rows;
    std::vector<Profile> profiles;
    std::map<std::string, std::string> baselines, notes;  // by scenario
};

double median(std::vector<double> values);
// A value for a person: 2.13 M, 15.1 G, by its unit.
std::string human(double value, const std::string& unit);
// "2.13 M (2.1 M..2.2 M)": the median, lowest and highest; "-" for null.
std::string figure(const std::vector<double>* samples, const std::string& unit);
// "2.34", the median of the ratios within each run; "-" if one of them was not measured.
std::string ratio_text(const Row& row, const std::string& above, const std::string& below);

// "pktgen (vxlan-decap: live frames)": what made the traffic, where that is told; empty: nowhere.
std::string generators_text(const Report& report);

// How the no-drop rates were found; empty: there are none.
std::string no_drop_text(const Report& report);

// For people at a terminal: one block per case and hook.
std::string table(const Report& report);

}  // namespace underpass::bench
