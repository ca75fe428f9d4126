// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the `lab` subcommands share: which lab is meant, and how it is taken away. One file per subcommand adds it.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lab/namespace.h"
#include "lab/record.h"
#include "lab/spec.h"

namespace underpass {

void add_lab_up(CLI::App& lab);
void add_lab_down(CLI::App& lab);
void add_lab_show(CLI::App& lab);
void add_lab_exec(CLI::App& lab);
void add_lab_test(CLI::App& lab);
void add_lab_graph(CLI::App& lab);
// models, init and schema
void add_lab_models(CLI::App& lab);

// The file of a model. Throws a sentence with the nearest name.
std::string model_text(const std::string& name);

// A lab's file, or a model's. A path (with a slash or a YAML suffix) is a file; else a model is preferred.
struct LabText {
    std::string source;  // for people: the file's path, "model nat"
    std::string text;
};
LabText read_lab_text(const std::string& file_or_model);
// Whether there may be one: it is a path, a model, or the name of a file.
bool names_a_text(const std::string& file_or_model);

// The lab of a record that nobody has made yet, or of one that is up: its text with what the command line said beside
// it. Throws FileError.
lab::Spec spec_of(const lab::Record& record);

// The lab of that name; by an empty one, the only lab there is. Throws a sentence that lists those there are.
lab::Record find_lab(const std::string& name);

// One that is up and meant by "NODE" (in the only lab that has it) or "LAB.NODE".
struct FoundNode {
    lab::Record record;
    lab::Spec spec;
    lab::Node node;
};
FoundNode find_node(const std::string& name);

// What the daemon in a node says of itself (`underpass status`); absent: there is none.
std::optional<nlohmann::json> status_in(const lab::Namespace& space);

// Takes away what the record names and nothing else: daemons, guests, namespaces; then the record. What still runs in a
// namespace keeps it alive without its name: told in one line each.
std::vector<std::string> take_away(const lab::LabDirectory& directory, const lab::Record& record);

}  // namespace underpass
