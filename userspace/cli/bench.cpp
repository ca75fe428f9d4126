// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

#include "bench/command.h"
#include "bench/scenarios.h"
#include "cli/commands.h"
#include "lab/interrupt.h"

namespace underpass {

namespace {

constexpr double kQuickSeconds = 0.3;
constexpr int kQuickRepeat = 3;
constexpr double kProfileSeconds = 0.1;
constexpr int kProfileRepeat = 11;

std::string footer() {
    std::string text = "Scenarios:\n";
    for (const bench::Scenario& each : bench::all_scenarios())
        text += fmt::format("  {:<24}{}\n", each.name, each.description);
    return text +
           "\nExamples:\n"
           "  underpass bench --quick                     all of it in some minutes, as a first look\n"
           "  underpass bench l2 nat --json today.json --html today.html\n"
           "  underpass bench l2 --against last-week.json exit status 1 if something is slower than it was\n"
           "  underpass bench l2 nat --profile            what each stage of the programs takes, in ns\n"
           "  underpass bench --from today.json --markdown today.md\n"
           "\n"
           "Builds networks in namespaces of its own and takes them away. Let nothing else run meanwhile.";
}

}  // namespace

void add_bench(CLI::App& app) {
    struct Options {
        bench::Request request;
        double seconds = 0.5;
    };
    auto options = std::make_shared<Options>();
    options->request.version = UNDERPASS_VERSION;
    bench::Request& request = options->request;
    CLI::App* command =
        app.add_subcommand("bench", "Measure forwarding on this machine: the kernel, Underpass and the limit");
    command->add_option("SCENARIO", request.scenarios, "Only these; else all")->type_name("");
    CLI::Option* seconds = command->add_option("--seconds", options->seconds, "Length of each run")
                               ->check(CLI::Range(0.1, 60.0))
                               ->capture_default_str();
    CLI::Option* repeat = command->add_option("--repeat", request.options.repeat, "Runs of each side")
                              ->check(CLI::Range(1, 100))
                              ->capture_default_str();
    command->add_option("--hook", request.options.hooks, "Only this hook")
        ->check(CLI::IsMember({"tc", "xdp"}))
        ->allow_extra_args(false);
    command->add_option("--case", request.options.cases, "Only this case of the scenarios; may be repeated")
        ->type_name("CASE")
        ->allow_extra_args(false);
    command->add_flag("--quick", request.options.quick,
                      fmt::format("{} runs of {} s, without what takes minutes", kQuickRepeat, kQuickSeconds));
    command->add_flag(
        "--profile", request.profile,
        fmt::format("What Underpass's own programs take: stage by stage, of one frame again and again, so "
                    "without cache misses; and in traffic, with them; {} runs unless told",
                    kProfileRepeat));
    command->add_option("--json", request.json, "Write every sample to FILE")->type_name("FILE");
    command->add_option("--html", request.html, "Write a page with charts to FILE")->type_name("FILE");
    command->add_option("--markdown", request.markdown, "Write tables to FILE, as Markdown")->type_name("FILE");
    command
        ->add_option("--against", request.against,
                     "Compare with what `--json` has kept in FILE; exit status 1 if something is slower")
        ->type_name("FILE");
    command->add_option("--from", request.from, "Measure nothing: show what `--json` has kept in FILE")
        ->type_name("FILE");
    command->footer(footer());
    command->callback([options, command, seconds, repeat] {
        if (command->count("--from") > 0)
            for (const char* other : {"SCENARIO", "--seconds", "--repeat", "--hook", "--case", "--quick", "--profile"})
                if (command->count(other) > 0)
                    throw CLI::ValidationError(fmt::format("{} says how to measure, and --from not to", other));
        if (options->request.profile && command->count("--against") > 0)
            throw CLI::ValidationError("--against compares rates, of which --profile measures none");
        bench::RunOptions& run = options->request.options;
        if (options->request.profile && seconds->count() == 0) options->seconds = kProfileSeconds;
        if (options->request.profile && repeat->count() == 0) run.repeat = run.quick ? kQuickRepeat : kProfileRepeat;
        if (run.quick && !options->request.profile && seconds->count() == 0) options->seconds = kQuickSeconds;
        if (run.quick && repeat->count() == 0) run.repeat = kQuickRepeat;
        run.time = std::chrono::milliseconds(static_cast<long>(options->seconds * 1000));
        lab::watch_for_interrupts();
        try {
            bench::perform(options->request);
        } catch (const std::invalid_argument& error) {
            throw CLI::ValidationError(error.what());
        }
    });
}

}  // namespace underpass
