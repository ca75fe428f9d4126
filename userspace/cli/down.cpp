// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "sync/state.h"

namespace underpass {

namespace {

struct DownOptions {
    std::vector<std::string> bridges;
    bool json = false;
};

// What a daemon that is not there any more left behind.
nlohmann::json clean_up_after_a_crash(const std::vector<std::string>& bridges) {
    const RunDirectory run = RunDirectory::of_this_namespace();
    const PinDirectory pins = PinDirectory::of_this_namespace();
    std::optional<State> state;
    try {
        state = read_state(run);
    } catch (const std::runtime_error&) {
        // Damaged. What is attached is found without it.
        state.emplace();
    }
    for (const std::string& bridge : bridges)
        if (!(state && state->selection.bridges.contains(bridge))) require_device(bridge);
    if (!state && !pins.exists()) return {{"ok", true}, {"bridges", nlohmann::json::array()}};
    if (!bridges.empty()) throw std::runtime_error(kLeftBehind);
    clean_up(pins, state.value_or(State{}));
    run.remove();
    nlohmann::json taken = nlohmann::json::array();
    if (state)
        for (const auto& [bridge, hook] : state->selection.bridges) taken.push_back(bridge);
    return {{"ok", true}, {"bridges", taken}, {"after_crash", true}};
}

void down(const DownOptions& options) {
    require_root();
    auto answer = ask({{"operation", "down"}, {"bridges", options.bridges}});
    if (!answer) answer = clean_up_after_a_crash(options.bridges);
    if (options.json) {
        fmt::print("{}\n", answer->dump(2));
        return;
    }
    for (const auto& bridge : answer->at("bridges")) fmt::print("{}: as it was before\n", bridge.get<std::string>());
    if (answer->contains("after_crash"))
        fmt::print("what a daemon that is gone had left is removed\n");
    else if (answer->at("bridges").empty())
        fmt::print("nothing to take down{}\n", answer->value("ends", false) ? "; the daemon has ended" : "");
}

}  // namespace

void add_down(CLI::App& app) {
    auto options = std::make_shared<DownOptions>();
    CLI::App* command = app.add_subcommand("down", "Put bridges back as they were; nothing is left behind");
    command->add_option("BRIDGE", options->bridges, "Bridges to give back (default: all)")->type_name("");
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "Examples:\n  underpass down br0\n  underpass down          also cleans up after a daemon that crashed");
    command->callback([options] { down(*options); });
}

}  // namespace underpass
