// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// underpass_bench: measures, side by side. Started by `./dev bench`.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/flow_scale.h"
#include "bench/l2.h"
#include "bench/route.h"
#include "bench/vlan.h"
#include "bench/vxlan.h"
#include "lab/interrupt.h"

namespace {

using namespace underpass::bench;
namespace lab = underpass::lab;

constexpr int kFailed = 1, kWrongUse = 2, kInterrupted = 130;

struct Scenario {
    std::string name, description;
    std::vector<std::string> cases;
    std::string footer;
    Report (*run)(const RunOptions& options);
};

const std::vector<Scenario>& scenarios() {
    static const std::vector<Scenario> all = {
        {"l2", "Bridge forwarding between two ports", l2_cases(),
         "Examples:\n  ./dev bench l2\n  ./dev bench l2 --case frames-60 --hook xdp --runs 11 --json l2.json\n"
         "Let nothing else run on the machine meanwhile.",
         run_l2},
        {"vlan", "VLAN tags put on, taken off and kept, each beside the same frames without VLANs (`untagged`)",
         vlan_cases(),
         "Examples:\n  ./dev bench vlan\n  ./dev bench vlan --case vlan-push --hook tc --runs 11 --json vlan.json\n"
         "`untagged` is always measured too, in the same alternating runs.\n"
         "Let nothing else run on the machine meanwhile.",
         run_vlan},
        {"route", "Routing from a bridge to an uplink: alone, masqueraded, and behind a stateful filter", route_cases(),
         "Examples:\n  ./dev bench route\n  ./dev bench route --case nat --hook xdp --runs 11 --json nat.json\n"
         "  ./dev bench route --case nat-tcp-crr --hook tc\n"
         "Let nothing else run on the machine meanwhile.",
         run_route},
        {"vxlan", "VXLAN: frames out of a tunnel and into one, and traffic between two hosts' tunnels", vxlan_cases(),
         "Examples:\n  ./dev bench vxlan\n  ./dev bench vxlan --case vxlan-decap --case vxlan-encap --hook xdp --runs "
         "11\n"
         "  ./dev bench vxlan --case tcp-bulk-8 --json vxlan.json\n"
         "Let nothing else run on the machine meanwhile.",
         run_vxlan},
        {"flow-scale", "Masquerading with 256, 65536 and 1000000 connections: frames, memory, and what a new one costs",
         flow_scale_cases(),
         "Examples:\n  ./dev bench flow-scale\n  ./dev bench flow-scale --case flows-65536 --hook tc --runs 3\n"
         "For the largest case nf_conntrack_max and nf_conntrack_buckets are raised meanwhile, and memory of some\n"
         "hundred bytes for each connection is needed. Let nothing else run on the machine meanwhile.",
         run_flow_scale}};
    return all;
}

void measure(const Scenario& scenario, const RunOptions& options, const std::string& json, const RunFacts& facts) {
    if (geteuid() != 0) throw std::runtime_error("this needs root: sudo ./dev bench " + scenario.name);
    // Before the minutes of measuring, not after them.
    std::ofstream file;
    if (!json.empty() && (file.open(json), !file)) throw std::runtime_error("cannot write " + json);
    const Report report = scenario.run(options);
    fmt::print("{}\n{}, {}; medians of {} alternating runs (lowest..highest)\n", report.table(), facts.kernel,
               facts.cpu, options.runs);
    if (!json.empty() && !(file << report.json(facts).dump(2) << '\n'))
        throw std::runtime_error("cannot write " + json);
}

// What the options write to; it lives until they are parsed.
struct Wanted {
    RunOptions options;
    std::string json;
    double seconds = 1;
};

void add_command(CLI::App& app, const Scenario& scenario, Wanted& wanted, const RunFacts& facts) {
    CLI::App* command = app.add_subcommand(scenario.name, scenario.description);
    command->add_option("--runs", wanted.options.runs, "Runs of each side")
        ->check(CLI::Range(1, 100))
        ->capture_default_str();
    command->add_option("--seconds", wanted.seconds, "Length of each run")
        ->check(CLI::Range(0.1, 60.0))
        ->capture_default_str();
    command->add_option("--case", wanted.options.cases, "Only these cases")->check(CLI::IsMember(scenario.cases));
    command->add_option("--hook", wanted.options.hooks, "Only this hook")->check(CLI::IsMember({"xdp", "tc"}));
    command->add_option("--json", wanted.json, "Write every sample to FILE")->type_name("FILE");
    command->footer(scenario.footer);
    command->callback([&scenario, &wanted, &facts] {
        wanted.options.time = std::chrono::milliseconds(static_cast<long>(wanted.seconds * 1000));
        measure(scenario, wanted.options, wanted.json, facts);
    });
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): what is thrown where words cannot even be printed ends the program
int main(int argc, char** argv) {
    CLI::App app("Measures forwarding: the kernel, Underpass and the limit, side by side", "./dev bench");
    app.require_subcommand(1);
    const RunFacts facts = facts_of_this_run(argc, argv);
    Wanted wanted;
    for (const Scenario& scenario : scenarios()) add_command(app, scenario, wanted, facts);
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
