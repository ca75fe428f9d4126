// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where the time of Underpass's programs goes, stage by stage: values, and the text that shows them. Pure.
//
// A program that ends behind stage n takes what the first n stages take, so the difference of two neighbours is what a
// stage takes. It is told by runs; figures are medians.
#pragma once

#include <string>
#include <vector>

namespace underpass::bench {

struct Profile {
    std::string scenario, case_name, hook;

    struct Stage {
        std::string name, what;
        std::vector<double> ns;  // of each run
    };
    std::vector<Stage> stages;
    std::vector<double> empty;    // ns that a program takes that does nothing, with the reading of the clock
    std::vector<double> whole;    // ns of the program as the daemon has it, without that
    std::vector<double> traffic;  // the same of real frames

    // Of one run: `prefixes` are what the programs took that end behind no stage, the first, ... the last.
    void add_run(const std::vector<double>& prefixes, double whole_ns, double traffic_ns);
    // All stages together, of each run.
    std::vector<double> sums() const;
    // Of the median of the sums.
    double share(const Stage& stage) const;
};

// With every stage of maps/stage.h, and no run yet.
Profile empty_profile(const std::string& scenario, const std::string& case_name, const std::string& hook);

// Of the middle half: what an interrupt has lengthened does not count. 0 for none.
double middle_mean(std::vector<double> values);

// "12.3".
std::string ns_figure(double ns);
// "12.3 (12.1..12.9)".
std::string ns_text(const std::vector<double>& runs);
// What stands in the rows of a table, stages and the lines below them.
struct ProfileLine {
    std::string name, ns, share, what;
};
std::vector<ProfileLine> lines_of(const Profile& profile);
// For people at a terminal.
std::string table(const Profile& profile);
// What the figures are; one paragraph.
extern const char* const kProfileMeaning;

}  // namespace underpass::bench
