// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace underpass {

namespace {

struct DownOptions {
    std::vector<std::string> bridges;
    bool json = false;
};

void down(const DownOptions& options) {
    require_root();
    const nlohmann::json answer = take_down(options.bridges);
    if (options.json) {
        fmt::print("{}\n", answer.dump(2));
        return;
    }
    for (const auto& bridge : answer.at("bridges")) fmt::print("{}: as it was before\n", bridge.get<std::string>());
    const auto gone = answer.value("gone", std::vector<std::string>());
    for (const std::string& bridge : gone) fmt::print("{}: gone before, and not waited for any more\n", bridge);
    if (answer.contains("after_crash"))
        fmt::print("what a daemon that is gone had left is removed\n");
    else if (answer.at("bridges").empty() && gone.empty())
        fmt::print("nothing to take down{}\n", answer.value("ends", false) ? "; the daemon has ended" : "");
}

}  // namespace

void add_down(CLI::App& app) {
    auto options = std::make_shared<DownOptions>();
    CLI::App* command = app.add_subcommand("down", "Put bridges and devices back as they were; nothing is left behind");
    command->add_option("DEVICE", options->bridges, "Bridges and devices to give back (default: all)")->type_name("");
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "Examples:\n  underpass down br0\n  underpass down          also cleans up after a daemon that crashed");
    command->callback([options] { down(*options); });
}

}  // namespace underpass
