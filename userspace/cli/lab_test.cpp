// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>

#include "cli/lab.h"
#include "cli/output.h"
#include "lab/guest.h"
#include "lab/interrupt.h"
#include "lab/network.h"
#include "lab/trial.h"

namespace underpass {

namespace {

using Json = nlohmann::json;

constexpr std::chrono::seconds kGuestCommand(60);

struct LabTestOptions {
    std::string lab;
    bool quiet = false;
    bool json = false;
};

std::string text_of(const lab::Try& each) {
    const std::string address = each.address.text();
    return fmt::format("{} {} {}{}", each.from, each.reach ? "reaches" : "is isolated from", each.to,
                       each.to == address ? "" : " (" + address + ")");
}

Json json_of(const lab::Outcome& outcome) {
    return {{"promise", outcome.what.reach ? "reach" : "isolate"},
            {"from", outcome.what.from},
            {"to", outcome.what.to},
            {"address", outcome.what.address.text()},
            {"held", outcome.held},
            {"told", outcome.told}};
}

// What the fast path of every node that has one has taken so far: {"host": {"fast": 812, "all": 1020}}.
Json shares(const lab::Spec& spec, const lab::Network& network) {
    Json nodes = Json::object();
    for (const lab::Node& node : spec.nodes) {
        if (node.kind != lab::NodeKind::space) continue;
        const auto status = status_in(network.space(node.name));
        if (!status) continue;
        std::uint64_t fast = 0, all = 0;
        for (const Json& bridge : status->at("bridges"))
            for (const Json& port : bridge.at("ports")) {
                if (!port.contains("fast")) continue;
                const auto packets = port["fast"]["packets"].get<std::uint64_t>();
                fast += packets;
                all += packets;
                for (const Json& slow : port["slow"]) all += slow["packets"].get<std::uint64_t>();
            }
        nodes[node.name] = {{"fast", fast}, {"all", all}};
    }
    return nodes;
}

void print_shares(const std::string& lab, const Json& before, const Json& after) {
    for (const auto& entry : after.items()) {
        const std::string& node = entry.key();
        const auto since = [&](const char* what) {
            const std::uint64_t then = before.contains(node) ? before.at(node).at(what).get<std::uint64_t>() : 0;
            return entry.value().at(what).get<std::uint64_t>() - then;
        };
        const std::uint64_t fast = since("fast"), all = since("all");
        fmt::print("{}: {} of {} frames went fast{}\n", node, count_text(fast), count_text(all),
                   fast > 0 ? ""
                            : fmt::format(" (why: underpass lab exec {} -- underpass status)",
                                          lab::namespace_name(lab, node)));
    }
}

void lab_test(const LabTestOptions& options) {
    require_root();
    lab::watch_for_interrupts();
    const lab::Record record = find_lab(options.lab);
    const lab::Spec spec = spec_of(record);
    if (!record.complete)
        throw std::runtime_error(
            fmt::format("the lab {} was never finished: `underpass lab down {}`", spec.name, spec.name));
    const auto tries = lab::tries(spec);
    if (tries.empty())
        throw std::runtime_error(
            fmt::format("the lab {} promises nothing that can be tried (keys reach and isolate, about nodes that have "
                        "addresses)",
                        spec.name));
    const auto network = lab::Network::open(spec);
    const lab::TrialWorld world = {
        .space = [&network](const std::string& node) -> const lab::Namespace& { return network.space(node); },
        .run_in_guest =
            [&spec](const std::string& node, const std::string& command) {
                return lab::run_in_guest(lab::directory_of(spec.name), node, {"sh", "-c", command}, kGuestCommand);
            }};
    const Json before = shares(spec, network);
    const bool progress = !options.quiet && !options.json && isatty(STDERR_FILENO) != 0;
    std::size_t done = 0;
    const auto outcomes = lab::run_tries(spec, tries, world, [&](const lab::Outcome&) {
        lab::throw_if_interrupted();
        done++;
        if (progress)
            fmt::print(stderr, "\r\x1b[K[{}/{}]{}", done, tries.size(), done == tries.size() ? "\r\x1b[K" : "");
    });
    const Json after = shares(spec, network);
    const auto broken = static_cast<std::size_t>(std::ranges::count(outcomes, false, &lab::Outcome::held));
    if (options.json) {
        Json list = Json::array();
        for (const lab::Outcome& outcome : outcomes) list.push_back(json_of(outcome));
        fmt::print("{}\n", Json{{"lab", spec.name}, {"ok", broken == 0}, {"tries", list}, {"frames", after}}.dump(2));
    } else {
        std::vector<std::vector<std::string>> rows;
        for (const lab::Outcome& outcome : outcomes)
            if (!options.quiet || !outcome.held)
                rows.push_back({outcome.held ? "ok" : "FAILED", text_of(outcome.what), outcome.told});
        print_table(rows, "");
        print_shares(spec.name, before, after);
    }
    if (broken > 0)
        throw std::runtime_error(
            fmt::format("{} of {} promises of the lab {} do not hold", broken, tries.size(), spec.name));
    if (!options.json) fmt::print("all {} promises of the lab {} hold\n", tries.size(), spec.name);
}

}  // namespace

void add_lab_test(CLI::App& lab) {
    auto options = std::make_shared<LabTestOptions>();
    CLI::App* command = lab.add_subcommand("test", "Try what a lab's file promises: who is reached, and who is not");
    command->add_option("LAB", options->lab, "Which one (default: the only one)")->type_name("");
    command->add_flag("--quiet", options->quiet, "Of the promises, only those that do not hold");
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "Who shall be reached must answer every echo (ping) and send back what TCP brings; who shall be isolated must "
        "do\n"
        "neither. Exit status 1 if one of the promises does not hold.\n\n"
        "Example:\n  underpass lab test nat");
    command->callback([options] { lab_test(*options); });
}

}  // namespace underpass
