// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What `underpass bench` does: measures, keeps, shows, compares.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/devices.h"
#include "bench/runner.h"

namespace underpass::bench {

struct Request {
    std::vector<std::string> scenarios;  // empty: all
    RunOptions options;
    bool profile = false;                  // where the time of Underpass's programs goes, in place of the sides
    std::optional<DeviceOptions> devices;  // these, in place of scenarios
    std::string show;                      // a kept report, in place of measuring
    std::string json, html, markdown;      // files to write; empty: none
    std::string against;                   // a kept report to compare with; empty: none
    std::string version;                   // of Underpass
};

// Prints a table. Whatever ends it early, what was measured is written to the files before that is thrown on:
// lab::Interrupted, std::runtime_error, also where something is slower than in `against`; std::invalid_argument for a
// scenario or a case that there is not, or that the generator does not make.
void perform(Request request);

}  // namespace underpass::bench
