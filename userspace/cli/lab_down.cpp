// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "cli/lab.h"
#include "cli/output.h"
#include "lab/check.h"

namespace underpass {

namespace {

struct LabDownOptions {
    std::string lab;
    bool all = false;
    bool json = false;
};

// The lab that was built from this file or model.
std::string lab_of(const std::string& file_or_model) {
    const LabText wanted = read_lab_text(file_or_model);
    std::vector<std::string> names;
    for (const lab::Record& record : lab::read_records())
        if (record.text == wanted.text || record.source == wanted.source) names.push_back(record.lab);
    if (names.size() == 1) return names.front();
    if (names.empty()) throw std::runtime_error(fmt::format("no lab is up of {}", wanted.source));
    throw std::runtime_error(fmt::format("more than one lab is up of {}: {}", wanted.source, fmt::join(names, ", ")));
}

std::vector<std::string> labs_meant(const LabDownOptions& options) {
    std::vector<std::string> names;
    if (options.all) {
        for (const lab::Record& record : lab::read_records()) names.push_back(record.lab);
        return names;
    }
    // One of an earlier boot has only its files left, one that was killed early on only its directory.
    if (lab::is_name(options.lab) && std::filesystem::exists(lab::directory_of(options.lab))) return {options.lab};
    if (!options.lab.empty() && names_a_text(options.lab)) return {lab_of(options.lab)};
    return {find_lab(options.lab).lab};
}

void lab_down(const LabDownOptions& options) {
    require_root();
    nlohmann::json taken = nlohmann::json::array();
    for (const std::string& name : labs_meant(options)) {
        const auto start = std::chrono::steady_clock::now();
        const lab::LabDirectory directory(name);
        const auto record = directory.read();
        if (!record) {  // another command was first, or never began
            directory.remove();
            continue;
        }
        const auto told = take_away(directory, *record);
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        taken.push_back({{"lab", name}, {"namespaces", record->spaces.size()}, {"seconds", seconds}, {"told", told}});
        if (options.json) continue;
        fmt::print("{}: gone in {:.1f} s ({} namespaces)\n", name, seconds, record->spaces.size());
        for (const std::string& line : told) fmt::print("  {}\n", line);
    }
    if (options.json)
        fmt::print("{}\n", nlohmann::json{{"ok", true}, {"labs", taken}}.dump(2));
    else if (taken.empty())
        fmt::print("no lab is up\n");
}

}  // namespace

void add_lab_down(CLI::App& lab) {
    auto options = std::make_shared<LabDownOptions>();
    CLI::App* command =
        lab.add_subcommand("down", "Take a lab away: its namespaces with all that is in them, its guests, its daemons");
    auto* name =
        command->add_option("LAB", options->lab, "Its name, or the file or model that it is of (default: the only lab)")
            ->type_name("");
    command->add_flag("--all", options->all, "Every lab")->excludes(name);
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "Nothing else is touched. A process that somebody left running in a namespace is named, and not ended.\n\n"
        "Examples:\n  underpass lab down\n  underpass lab down nat");
    command->callback([options] { lab_down(*options); });
}

}  // namespace underpass
