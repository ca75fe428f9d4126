// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>

#include "bench/against.h"
#include "bench/facts.h"
#include "bench/kept.h"
#include "bench/page.h"
#include "bench/process.h"
#include "bench/profiler.h"
#include "bench/scenarios.h"
#include "lab/interrupt.h"
#include "loader/error.h"
#include "pktgen/generator.h"

namespace underpass::bench {

namespace {

// A file that can be written is known before the minutes of measuring; it is written after them.
class Output {
public:
    Output(std::string path, std::function<std::string(const Report&)> render)
        : path_(std::move(path)), render_(std::move(render)) {
        if (!path_.empty() && (file_.open(path_, std::ios::app), !file_)) fail();
        file_.close();
    }

    void write(const Report& report) {
        if (path_.empty()) return;
        file_.open(path_, std::ios::trunc);
        if (!(file_ << render_(report) << std::flush)) fail();
        file_.close();
    }

private:
    [[noreturn]] void fail() const { throw_errno(errno, "cannot write " + path_); }

    std::string path_;
    std::function<std::string(const Report&)> render_;
    std::ofstream file_;
};

void require_cases(const std::vector<Scenario>& scenarios, const std::vector<std::string>& cases) {
    for (const std::string& name : cases) {
        const auto has = [&](const Scenario& each) { return std::ranges::count(each.cases, name) > 0; };
        if (std::ranges::any_of(scenarios, has)) continue;
        std::string known;
        for (const Scenario& each : scenarios)
            for (const std::string& other : each.cases)
                if (known.find(other + ',') == std::string::npos) known += ' ' + other + ',';
        throw std::invalid_argument(
            fmt::format("there is no case '{}' there; there are:{}", name, known.substr(0, known.size() - 1)));
    }
}

// The rest of a choice that has some frames does as without.
void require_frames(const std::vector<Scenario>& scenarios, const RunOptions& options) {
    if (options.no_drop_rate && !makes_frames(options.generator))
        throw std::invalid_argument(
            fmt::format("--ndr is about frames between wires, and {} makes none", name(options.generator)));
    if (std::ranges::any_of(scenarios, &Scenario::has_frames)) return;
    const char* option = options.no_drop_rate                         ? "--ndr"
                         : options.generator == GeneratorKind::pktgen ? "--generator pktgen"
                                                                      : nullptr;
    if (option != nullptr)
        throw std::invalid_argument(fmt::format("{} is about frames of a generator, and {} has none: the stacks send",
                                                option, scenarios.front().name));
}

std::vector<std::string> cases_by(GeneratorKind generator, const Scenario& scenario) {
    if (makes_frames(generator)) return scenario.cases;
    std::vector<Talk> talks;
    std::ranges::copy_if(scenario.talks, std::back_inserter(talks),
                         [&](const Talk& talk) { return makes(generator, talk); });
    return names_of(talks);
}

// Of a generator that makes some cases only: those that it makes, where none is named.
std::vector<std::string> cases_of(const std::vector<Scenario>& scenarios, const Request& request) {
    const GeneratorKind generator = request.options.generator;
    const std::vector<std::string>& named = request.options.cases;
    if (makes_frames(generator)) return named;
    std::vector<std::string> made, makers;
    for (const Scenario& each : all_scenarios())
        if (!cases_by(generator, each).empty()) makers.push_back(each.name);
    for (const Scenario& each : scenarios) {
        const auto cases = cases_by(generator, each);
        if (cases.empty() && (!request.scenarios.empty() || request.devices))
            throw std::invalid_argument(fmt::format("{} makes no case of {}; it makes some of: {}", name(generator),
                                                    each.name, fmt::join(makers, ", ")));
        for (const std::string& one : cases)
            if (std::ranges::count(made, one) == 0) made.push_back(one);
    }
    for (const std::string& one : named)
        if (std::ranges::count(made, one) == 0)
            throw std::invalid_argument(fmt::format("{} does not make the case '{}'; it makes there: {}",
                                                    name(generator), one, fmt::join(made, ", ")));
    return named.empty() ? made : named;
}

// Known before minutes are spent on others.
void require_programs(const std::vector<Scenario>& scenarios, const RunOptions& options) {
    for (const Scenario& each : scenarios)
        for (const Talk& talk : each.talks) {
            const char* program = program_of(options.generator, talk);
            const bool wanted = options.cases.empty() || std::ranges::count(options.cases, talk.name) > 0;
            if (wanted && program != nullptr && !is_installed(program))
                throw std::runtime_error(
                    fmt::format("there is no {0}, by which {1} of {2} is measured: install the package {0}", program,
                                talk.name, each.name));
        }
}

// pktgen stays from the first run to the last.
std::unique_ptr<pktgen::Module> require_generator(GeneratorKind generator) try {
    return generator == GeneratorKind::pktgen ? std::make_unique<pktgen::Module>() : nullptr;
} catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("{}; `--generator frames` does without", error.what()));
}

// Throws where the request cannot be done, before anything is. What the request leaves open is settled in it.
std::vector<Scenario> require_possible(Request& request) {
    std::vector<Scenario> scenarios =
        request.devices ? std::vector{devices_scenario(*request.devices)}
                        : scenarios_named(request.scenarios, request.profile ? profiled_scenarios() : all_scenarios());
    std::vector<std::string>& cases = request.options.cases;
    require_frames(scenarios, request.options);
    require_cases(scenarios, cases);
    cases = cases_of(scenarios, request);
    if (geteuid() != 0) throw std::runtime_error("measuring needs root: sudo underpass bench ...");
    if (!cases.empty())
        std::erase_if(scenarios, [&](const Scenario& each) {
            return std::ranges::none_of(each.cases,
                                        [&](const std::string& name) { return std::ranges::count(cases, name) > 0; });
        });
    require_programs(scenarios, request.options);
    return scenarios;
}

void measure(const std::vector<Scenario>& scenarios, const Request& request, Report& report) {
    report.facts = facts_of_this_run(request.version);
    report.facts.seconds = static_cast<double>(request.options.time.count()) / 1000;
    report.facts.repeat = request.options.repeat;
    report.facts.generator = name(request.options.generator);
    report.facts.most_loss = request.options.most_loss;
    if (is_disturbed(report.facts)) fmt::print(stderr, "underpass bench: {}\n", disturbed_text(report.facts));
    // What one scenario needs and this machine has not is no reason to leave out the others.
    std::string failed;
    for (std::size_t i = 0; i < scenarios.size(); i++) {
        RunOptions options = request.options;
        if (scenarios.size() > 1) options.progress = fmt::format("[{}/{}] ", i + 1, scenarios.size());
        lab::throw_if_interrupted();
        try {
            scenarios[i].run(options, report);
        } catch (const std::runtime_error& error) {
            failed += fmt::format("{}{}: {}", failed.empty() ? "" : "\n", scenarios[i].name, error.what());
        }
    }
    if (!failed.empty()) throw std::runtime_error(failed);
    report.complete = true;
}

void print(const Report& report) {
    for (const Profile& profile : report.profiles) fmt::print("{}", table(profile));
    if (!report.profiles.empty()) fmt::print("\n{}\n", kProfileMeaning);
    const std::string by = generators_text(report), rate = no_drop_text(report);
    fmt::print("{}\n{}, {}; medians of {} alternating runs of {} s (lowest..highest){}{}{}{}{}\n", table(report),
               report.facts.kernel, report.facts.cpu, report.facts.repeat, report.facts.seconds,
               by.empty() ? "" : "; generator: ", by, rate.empty() ? "" : "; no-drop rate: ", rate,
               report.complete ? "" : "; INCOMPLETE");
}

void require_no_slower(const Report& before, const Report& now, const std::string& file) {
    const Against against = compare(before, now);
    fmt::print("{}", table(against));
    if (against.comparisons.empty()) throw std::runtime_error("there is nothing to compare with in " + file);
    const auto slower = std::ranges::count_if(against.comparisons, &Comparison::slower);
    if (slower > 0)
        throw std::runtime_error(
            fmt::format("{} of {} are slower than in {}", slower, against.comparisons.size(), file));
}

}  // namespace

void perform(Request request) {
    Report report;
    std::vector<Scenario> scenarios;
    std::optional<Report> before;
    if (request.show.empty())
        scenarios = require_possible(request);
    else
        report = read_kept(request.show);
    if (!request.against.empty()) before = read_kept(request.against);
    const auto generator = request.show.empty() ? require_generator(request.options.generator) : nullptr;
    std::vector<Output> outputs;
    outputs.emplace_back(request.json, [](const Report& of) { return to_json(of).dump(2) + '\n'; });
    outputs.emplace_back(request.html, html_page);
    outputs.emplace_back(request.markdown, markdown_page);
    const auto show = [&] {
        for (Output& output : outputs) output.write(report);
        print(report);
    };
    if (request.show.empty()) try {
            measure(scenarios, request, report);
        } catch (...) {
            show();
            throw;
        }
    show();
    if (before) require_no_slower(*before, report, request.against);
}

}  // namespace underpass::bench
