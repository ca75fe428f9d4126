// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// underpass: the command line. Exit status: 0 done, 1 failed, 2 wrong use, 130 interrupted. The one place that catches.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "lab/interrupt.h"
#include "loader/error.h"
#include "yaml/reader.h"

namespace {

constexpr int kFailed = 1;
constexpr int kWrongUse = 2;
constexpr int kInterrupted = 130;

constexpr const char* kAbout =
    "The fast path under a Linux bridge: takes known unicast between the ports of a bridge, and packets that the host\n"
    "routes, straight from one device to the other, in an XDP or TC program, and leaves everything else to the "
    "kernel.\n"
    "The host keeps its configuration as it is.";

constexpr const char* kExamples =
    "Examples:\n"
    "  underpass check            what could go fast here, and why the rest could not\n"
    "  underpass up br0           make br0 fast\n"
    "  underpass up br0 eth0      ... and what is routed between br0 and eth0\n"
    "  underpass status           what goes fast, and why the rest does not\n"
    "  underpass down             everything as it was before\n"
    "  underpass lab up nat       a network to try it on, in namespaces of its own\n"
    "  underpass bench --quick    how much faster it is on this machine\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong use, 130 interrupted. See underpass(8).";

// What to say of a command that `app` does not have; `path` is what leads to it, such as " lab".
std::string no_such_command(const CLI::App& app, const std::string& path, const std::string& word) {
    std::vector<std::string_view> known;
    for (const CLI::App* each : app.get_subcommands({})) known.push_back(each->get_name());
    const std::string before = path.empty() ? "" : path.substr(1) + ' ';
    return fmt::format("there is no command '{0}{1}' (nearest: '{0}{2}'; see `underpass{3} --help`)", before, word,
                       underpass::nearest(word, known), path);
}

// What to say of an option that `command`, which is `app`, does not have; empty: that is not what is wrong.
std::string no_such_option(const CLI::App& app, const std::string& command) {
    std::vector<std::string> known;
    for (const CLI::Option* each : app.get_options())
        for (const std::string& name : each->get_lnames()) known.push_back("--" + name);
    const std::vector<std::string_view> views(known.begin(), known.end());
    for (const std::string& word : app.remaining()) {
        const std::string option = word.substr(0, word.find('='));
        if (option.starts_with("--") && option.size() > 2)
            return fmt::format("there is no option '{0}' of `underpass{1}` (nearest: '{2}'; see `underpass{1} --help`)",
                               option, command, underpass::nearest(option, views));
    }
    return {};
}

// One line: what is wrong, and where the right use is told.
std::string wrong_use(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
    std::string command;
    const CLI::App* deepest = &app;
    int next = 1;
    for (; !deepest->get_subcommands().empty(); next++) {
        deepest = deepest->get_subcommands().front();
        command += ' ' + deepest->get_name();
    }
    const bool names_no_command = !deepest->get_subcommands({}).empty() && next < argc && argv[next][0] != '-';
    if (!command.empty() && names_no_command) return no_such_command(*deepest, command, argv[next]);
    if (!command.empty()) {
        const std::string option = no_such_option(*deepest, command);
        return option.empty() ? fmt::format("{} (see `underpass{} --help`)", error.what(), command) : option;
    }
    if (argc < 2)
        return "say what to do: check, up, down, status, flows, run, lab, bench or pktgen (see `underpass --help`)";
    if (argv[1][0] == '-')
        return fmt::format("there is no option '{}' before the command (see `underpass --help`)", argv[1]);
    return no_such_command(app, command, argv[1]);
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): what is thrown where words cannot even be printed ends the program
int main(int argc, char** argv) {
    CLI::App app{kAbout, "underpass"};
    app.set_version_flag("--version", "underpass " UNDERPASS_VERSION);
    app.require_subcommand(1);
    app.footer(kExamples);
    underpass::add_check(app);
    underpass::add_up(app);
    underpass::add_down(app);
    underpass::add_status(app);
    underpass::add_flows(app);
    underpass::add_run(app);
    underpass::add_lab(app);
    underpass::add_bench(app);
    underpass::add_pktgen(app);
    try {
        std::vector<std::string> words = underpass::mark_command({argv + 1, argv + argc});
        std::reverse(words.begin(), words.end());  // as CLI11 wants them
        app.parse(std::move(words));
        return 0;
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) return app.exit(error);
        fmt::print(stderr, "underpass: {}\n", wrong_use(app, error, argc, argv));
        return kWrongUse;
    } catch (const underpass::lab::Interrupted&) {
        fmt::print(stderr, "underpass: interrupted; what was begun is taken back\n");
        return kInterrupted;
    } catch (const underpass::VerifierError& error) {
        fmt::print(stderr, "underpass: {}\n{}\n", error.what(), error.log());
    } catch (const std::exception& error) {
        fmt::print(stderr, "underpass: {}\n", error.what());
    }
    return kFailed;
}
