// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// underpass_bench: measures, side by side. Started by `./dev bench`.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "bench/l2.h"
#include "lab/interrupt.h"

namespace {

using namespace underpass::bench;
namespace lab = underpass::lab;

constexpr int kFailed = 1, kWrongUse = 2, kInterrupted = 130;

void l2(const L2Options& options, const std::string& json, const RunFacts& facts) {
    if (geteuid() != 0) throw std::runtime_error("this needs root: sudo ./dev bench l2");
    // Before the minutes of measuring, not after them.
    std::ofstream file;
    if (!json.empty() && (file.open(json), !file)) throw std::runtime_error("cannot write " + json);
    const Report report = run_l2(options);
    fmt::print("{}\n{}, {}; medians of {} alternating runs (lowest..highest)\n", report.table(), facts.kernel,
               facts.cpu, options.runs);
    if (!json.empty() && !(file << report.json(facts).dump(2) << '\n'))
        throw std::runtime_error("cannot write " + json);
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): what is thrown where words cannot even be printed ends the program
int main(int argc, char** argv) {
    CLI::App app("Measures forwarding: the kernel, Underpass and the limit, side by side", "./dev bench");
    app.require_subcommand(1);
    L2Options options;
    std::string json;
    double seconds = 1;
    CLI::App* command = app.add_subcommand("l2", "Bridge forwarding between two ports");
    command->add_option("--runs", options.runs, "Runs of each side")->check(CLI::Range(1, 100))->capture_default_str();
    command->add_option("--seconds", seconds, "Length of each run")
        ->check(CLI::Range(0.1, 60.0))
        ->capture_default_str();
    command->add_option("--case", options.cases, "Only these cases")->check(CLI::IsMember(l2_cases()));
    command->add_option("--hook", options.hooks, "Only this hook")->check(CLI::IsMember({"xdp", "tc"}));
    command->add_option("--json", json, "Write every sample to FILE")->type_name("FILE");
    command->footer(
        "Examples:\n  ./dev bench l2\n  ./dev bench l2 --case frames-60 --hook xdp --runs 11 --json l2.json\n"
        "Let nothing else run on the machine meanwhile.");
    command->callback([&] {
        options.time = std::chrono::milliseconds(static_cast<long>(seconds * 1000));
        l2(options, json, facts_of_this_run(argc, argv));
    });
    lab::watch_for_interrupts();
    try {
        app.parse(argc, argv);
        return 0;
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : kWrongUse;
    } catch (const lab::Interrupted&) {
        fmt::print(stderr, "\nbench: interrupted; everything is taken away\n");
        return kInterrupted;
    } catch (const std::exception& error) {
        fmt::print(stderr, "\nbench: {}\n", error.what());
        return kFailed;
    }
}
