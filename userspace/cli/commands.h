// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The subcommands, one file each. Each adds itself to the application; what it does is run after parsing, and throws
// where it fails.
#pragma once

#include <CLI/CLI.hpp>

namespace underpass {

void add_check(CLI::App& app);
void add_up(CLI::App& app);
void add_down(CLI::App& app);
void add_status(CLI::App& app);
void add_flows(CLI::App& app);
void add_run(CLI::App& app);
void add_lab(CLI::App& app);
void add_bench(CLI::App& app);
void add_pktgen(CLI::App& app);

// Words of a command line, with a `--` behind the node of `lab exec` where it was forgotten: all behind it is the
// command's, in its order.
std::vector<std::string> mark_command(std::vector<std::string> words);

}  // namespace underpass
