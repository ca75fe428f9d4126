// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>

#include <memory>

#include "cli/lab.h"
#include "cli/output.h"
#include "lab/models.h"
#include "lab/parse.h"

namespace underpass {

namespace {

constexpr const char* kEditorLines =
    "# `underpass lab schema > lab.schema.json` beside this file lets editors complete and check it.\n"
    "# yaml-language-server: $schema=lab.schema.json\n";

void print_models(bool json) {
    nlohmann::json all = nlohmann::json::array();
    std::vector<std::vector<std::string>> rows;
    for (const auto& [name, text] : lab::models()) {
        const lab::Spec spec = lab::parse_spec(std::string(text), "model " + std::string(name));
        all.push_back({{"name", name}, {"about", spec.about}, {"nodes", spec.nodes.size()}});
        rows.push_back({std::string(name), spec.about});
    }
    if (json)
        fmt::print("{}\n", nlohmann::json{{"models", all}}.dump(2));
    else
        print_table(rows, "");
}

}  // namespace

void add_lab_models(CLI::App& lab) {
    auto json = std::make_shared<bool>(false);
    CLI::App* models = lab.add_subcommand("models", "The labs that come with the program");
    models->add_flag("--json", *json, "Print JSON");
    models->footer("Example:\n  underpass lab up tunnel");
    models->callback([json] { print_models(*json); });

    auto model = std::make_shared<std::string>();
    CLI::App* start = lab.add_subcommand("init", "Print a model's file, with comments, to start your own from");
    start->add_option("MODEL", *model, "One of `underpass lab models`")->required()->type_name("");
    start->footer("Example:\n  underpass lab init nat > my.yaml");
    start->callback([model] { fmt::print("{}{}", kEditorLines, model_text(*model)); });

    CLI::App* schema = lab.add_subcommand("schema", "Print the JSON Schema of a lab's file, for editors");
    schema->footer("Example:\n  underpass lab schema > lab.schema.json");
    schema->callback([] { fmt::print("{}", lab::schema()); });
}

}  // namespace underpass
