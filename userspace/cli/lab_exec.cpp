// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <system_error>

#include "cli/lab.h"
#include "cli/output.h"
#include "lab/guest.h"
#include "lab/namespace.h"
#include "loader/error.h"

namespace underpass {

namespace {

constexpr std::chrono::hours kGuestPatience(1);

struct LabExecOptions {
    std::string node;
    std::vector<std::string> command;
};

void exec_in_guest(const FoundNode& found, const std::vector<std::string>& command) {
    const auto answer = lab::run_in_guest(lab::directory_of(found.spec.name), found.node.name, command, kGuestPatience);
    fmt::print("{}", answer.output);
    if (answer.status == 0) return;
    std::fflush(stdout);
    std::exit(answer.status);
}

void lab_exec(const LabExecOptions& options) {
    require_root();
    const FoundNode found = find_node(options.node);
    if (found.node.kind == lab::NodeKind::guest) return exec_in_guest(found, options.command);
    if (found.node.kind == lab::NodeKind::tap)
        throw std::runtime_error(found.node.name + " is a tap for a guest of yours: nothing can be run in it");
    const auto there = lab::Namespace::open(lab::namespace_name(found.spec.name, found.node.name));
    // For good: what follows is another program. The mounts stay ours, so that /sys/fs/bpf is the same inside.
    if (setns(there.fd(), CLONE_NEWNET) != 0) throw_errno(errno, "enter " + there.name());
    std::vector<std::string> words = options.command;
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    // As a shell ends where there is no such command, or it cannot be run.
    const int code = errno;
    fmt::print(stderr, "underpass: run {}: {}\n", words[0], std::generic_category().message(code));
    std::exit(code == ENOENT ? 127 : 126);
}

}  // namespace

void add_lab_exec(CLI::App& lab) {
    auto options = std::make_shared<LabExecOptions>();
    CLI::App* command = lab.add_subcommand("exec", "Run a command in a node, and end as it ends");
    command
        ->add_option("NODE", options->node, "As `lab show` names it; LAB.NODE where more than one lab has such a node")
        ->required()
        ->type_name("");
    command->add_option("COMMAND", options->command, "The command and its words, behind `--`")
        ->required()
        ->type_name("");
    command->footer(
        "A node that is a namespace shares the machine's files and host names. A guest runs the command in its own "
        "shell,\n"
        "without input, for an hour at most; its output comes at the end.\n\n"
        "Examples:\n  underpass lab exec a -- ping -c 3 10.13.0.2\n  underpass lab exec nat.host -- underpass status");
    command->allow_extras();  // the `--` itself
    command->callback([options] { lab_exec(*options); });
}

std::vector<std::string> mark_command(std::vector<std::string> words) {
    if (words.size() < 2 || words[0] != "lab" || words[1] != "exec") return words;
    const auto node =
        std::find_if(words.begin() + 2, words.end(), [](const auto& word) { return !word.starts_with('-'); });
    if (std::distance(node, words.end()) < 2 || node[1] == "--") return words;
    const bool asks = node[1] == "--help" || node[1] == "-h";
    if (!asks) words.insert(node + 1, "--");
    return words;
}

}  // namespace underpass
