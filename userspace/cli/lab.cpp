// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/lab.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <thread>

#include "cli/client.h"
#include "cli/commands.h"
#include "lab/guest.h"
#include "lab/models.h"
#include "lab/namespace.h"
#include "lab/parse.h"
#include "sync/control.h"
#include "sync/state.h"
#include "yaml/reader.h"

namespace underpass {

namespace {

// "net:[4026532000]" as the kernel shows a process's namespace.
constexpr std::string_view kNetLink = "net:[";

// How long a daemon may take from its start until it listens, where everything is slow.
constexpr std::chrono::seconds kDaemonStart(30);

struct Process {
    std::string told;   // "sleep (pid 17)"
    bool ours = false;  // of this program
};

// By the network namespace that they are in. Without this one.
std::map<std::uint64_t, std::vector<Process>> processes_by_namespace() {
    std::map<std::uint64_t, std::vector<Process>> processes;
    std::error_code ignored;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", ignored);
    for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
        const std::string pid = entry.path().filename();
        if (!std::ranges::all_of(pid, [](unsigned char c) { return std::isdigit(c) != 0; })) continue;
        const auto link = std::filesystem::read_symlink(entry.path() / "ns/net", ignored).string();
        if (!link.starts_with(kNetLink) || pid == std::to_string(getpid())) continue;
        std::string name;
        std::getline(std::ifstream(entry.path() / "comm"), name);
        const bool ours = std::filesystem::read_symlink(entry.path() / "exe", ignored) == self;
        processes[std::stoull(link.substr(kNetLink.size()))].push_back({fmt::format("{} (pid {})", name, pid), ours});
    }
    return processes;
}

// Whether the name still means what was recorded; one that was about to be made may be there or not.
bool is_recorded(const lab::Record::Space& space) {
    try {
        return !space.identity || lab::identity_of(lab::Namespace::open(space.name)) == *space.identity;
    } catch (const std::system_error&) {
        return false;
    }
}

// True: it was there, and has taken everything down.
bool daemon_answers() {
    try {
        return ask({{"operation", "down"}, {"bridges", nlohmann::json::array()}}).has_value();
    } catch (const DaemonGone&) {
        return false;
    }
}

// Whoever started it, a daemon would hold the namespace. One that an `up` had only just started, which was ended then,
// does not listen yet.
void end_daemon(const lab::Namespace& space) {
    const std::uint64_t inode = space.inode();
    const auto starts = [&] { return std::ranges::any_of(processes_by_namespace()[inode], &Process::ours); };
    for (const auto end = std::chrono::steady_clock::now() + kDaemonStart; std::chrono::steady_clock::now() < end;) {
        if (space.run(daemon_answers) || !starts()) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    space.run([] {
        if (std::filesystem::exists(RunDirectory::of_this_namespace().path)) take_down({});
    });
}

bool is_path(const std::string& text) {
    return text.find('/') != std::string::npos || text.ends_with(".yaml") || text.ends_with(".yml");
}

}  // namespace

std::string model_text(const std::string& name) {
    const auto model = lab::models().find(name);
    if (model != lab::models().end()) return std::string(model->second);
    std::vector<std::string_view> names;
    for (const auto& [each, text] : lab::models()) names.push_back(each);
    throw std::runtime_error(fmt::format("there is no model '{}' (nearest: '{}'; `underpass lab models` lists them)",
                                         name, nearest(name, names)));
}

bool names_a_text(const std::string& file_or_model) {
    return is_path(file_or_model) || lab::models().contains(file_or_model) || std::filesystem::exists(file_or_model);
}

LabText read_lab_text(const std::string& file_or_model) {
    const bool is_model = !is_path(file_or_model) && lab::models().contains(file_or_model);
    // What is neither is more likely a model that was mistyped.
    if (is_model || !names_a_text(file_or_model)) return {"model " + file_or_model, model_text(file_or_model)};
    return {file_or_model, read_text(file_or_model)};
}

lab::Spec spec_of(const lab::Record& record) {
    lab::Spec spec = lab::parse_spec(record.text, record.source);
    if (!record.name_override.empty()) spec.name = record.name_override;
    if (!record.accelerate_override.empty())
        for (lab::Node& node : spec.nodes) node.accelerate = parse_hook_choice(record.accelerate_override);
    return spec;
}

lab::Record find_lab(const std::string& name) {
    auto records = lab::read_records();
    std::erase_if(records, [](const lab::Record& record) { return !record.this_boot; });
    std::vector<std::string> names;
    for (const lab::Record& record : records) {
        if (record.lab == name || (name.empty() && records.size() == 1)) return record;
        names.push_back(record.lab);
    }
    if (names.empty())
        throw std::runtime_error(
            name.empty() ? "no lab is up (`underpass lab up MODEL` builds one)"
                         : fmt::format("no lab {} is up, nor any other (`underpass lab up MODEL` builds one)", name));
    if (name.empty()) throw std::runtime_error(fmt::format("say which lab: {}", fmt::join(names, ", ")));
    throw std::runtime_error(fmt::format("no lab {} is up; up: {}", name, fmt::join(names, ", ")));
}

FoundNode find_node(const std::string& name) {
    const std::size_t dot = name.find('.');
    std::vector<FoundNode> found;
    std::vector<std::string> all;
    for (const lab::Record& record : lab::read_records()) {
        if (!record.this_boot) continue;
        const lab::Spec spec = spec_of(record);
        for (const lab::Node& node : spec.nodes) {
            const bool whole = lab::namespace_name(spec.name, node.name) == name;
            if (whole || (dot == std::string::npos && node.name == name)) found.push_back({record, spec, node});
            all.push_back(lab::namespace_name(spec.name, node.name));
        }
    }
    if (found.size() == 1) return found.front();
    if (all.empty()) throw std::runtime_error("no lab is up (`underpass lab up MODEL` builds one)");
    if (found.empty()) {
        const std::vector<std::string_view> views(all.begin(), all.end());
        throw std::runtime_error(fmt::format("there is no node {} (nearest: {})", name, nearest(name, views)));
    }
    throw std::runtime_error(fmt::format("more than one lab has a node {}: say {} or {}", name,
                                         lab::namespace_name(found[0].spec.name, name),
                                         lab::namespace_name(found[1].spec.name, name)));
}

std::optional<nlohmann::json> status_in(const lab::Namespace& space) {
    return space.run([]() -> std::optional<nlohmann::json> {
        if (!std::filesystem::exists(RunDirectory::of_this_namespace().path)) return std::nullopt;
        return ask({{"operation", "status"}});
    });
}

std::vector<std::string> take_away(const lab::LabDirectory& directory, const lab::Record& record) {
    std::vector<std::string> told;
    if (record.this_boot) {
        for (const std::string& guest : lab::guests_in(directory.path())) lab::stop_guest(directory.path(), guest);
        std::vector<lab::Record::Space> ours;
        std::ranges::copy_if(record.spaces, std::back_inserter(ours), is_recorded);
        auto processes = processes_by_namespace();
        for (const lab::Record::Space& space : ours) {
            if (!space.identity) continue;
            const auto there = lab::Namespace::open(space.name);
            const bool left = there.run([] { return std::filesystem::exists(RunDirectory::of_this_namespace().path); });
            if (left || processes.contains(there.inode())) end_daemon(there);
        }
        processes = processes_by_namespace();
        for (const lab::Record::Space& space : ours) {
            std::vector<std::string> inside;
            if (space.identity)
                for (const Process& each : processes[lab::Namespace::open(space.name).inode()])
                    inside.push_back(each.told);
            lab::Namespace::remove(space.name);
            if (!inside.empty())
                told.push_back(
                    fmt::format("{} stays without its name until these end: {}", space.name, fmt::join(inside, ", ")));
        }
    }
    directory.remove();
    return told;
}

void add_lab(CLI::App& app) {
    CLI::App* command = app.add_subcommand("lab", "Build networks of namespaces to try things on, from a short file");
    command->require_subcommand(1);
    command->footer(
        "Examples:\n"
        "  underpass lab models                    the networks that come with the program\n"
        "  underpass lab up nat                    build one\n"
        "  underpass lab test                      try what it promises\n"
        "  underpass lab exec a -- ip address      run a command in one of its nodes\n"
        "  underpass lab down                      all of it gone\n"
        "  underpass lab init nat > my.yaml        a file of your own; underpass lab up my.yaml\n"
        "\n"
        "Those that build or look at what is built need root. The file's format is in underpass-lab(5).");
    add_lab_up(*command);
    add_lab_down(*command);
    add_lab_show(*command);
    add_lab_exec(*command);
    add_lab_test(*command);
    add_lab_graph(*command);
    add_lab_models(*command);
}

}  // namespace underpass
