// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/kept.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace underpass::bench {

namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;

Json named_json(const Facts::Named& named) {
    Json list = Json::array();
    for (const auto& [name, text] : named) list.push_back({{"name", name}, {"text", text}});
    return list;
}

Facts::Named named_of(const Json& list) {
    Facts::Named named;
    for (const Json& each : list)
        named.emplace_back(each.at("name").get<std::string>(), each.at("text").get<std::string>());
    return named;
}

Json facts_json(const Facts& facts) {
    return {{"command", facts.command},
            {"version", facts.version},
            {"kernel", facts.kernel},
            {"cpu", facts.cpu},
            {"time", facts.time},
            {"seconds", facts.seconds},
            {"repeat", facts.repeat},
            {"generator", facts.generator},
            {"most_loss", facts.most_loss},
            {"busy", facts.busy},
            {"versions", named_json(facts.versions)},
            {"devices", named_json(facts.devices)},
            {"mitigations", named_json(facts.mitigations)}};
}

Facts facts_of(const Json& run) {
    return {.command = run.at("command").get<std::string>(),
            .version = run.at("version").get<std::string>(),
            .kernel = run.at("kernel").get<std::string>(),
            .cpu = run.at("cpu").get<std::string>(),
            .time = run.at("time").get<std::string>(),
            .generator = run.value("generator", ""),
            .most_loss = run.value("most_loss", 0.0),
            .seconds = run.at("seconds").get<double>(),
            .repeat = run.at("repeat").get<int>(),
            .busy = run.value("busy", 0.0),
            .versions = named_of(run.at("versions")),
            .devices = named_of(run.at("devices")),
            .mitigations = named_of(run.at("mitigations"))};
}

Json row_json(const Report& report, const Row& row) {
    Json entry = {{"scenario", row.scenario},
                  {"case", row.case_name},
                  {"hook", row.hook},
                  {"metric", row.metric},
                  {"unit", row.unit}};
    if (!row.generator.empty()) entry["generator"] = row.generator;
    for (const std::string& side : all_sides()) {
        const auto* samples = row.of(side);
        if (samples == nullptr && std::ranges::count(kSides, side) == 0) continue;
        entry[side] = samples != nullptr ? Json(median(*samples)) : Json();
        entry["samples"][side] = samples != nullptr ? Json(*samples) : Json::array();
    }
    for (const auto& [side, ratios] : report.to_baseline(row)) {
        entry["baseline"] = report.baselines.at(row.scenario);
        entry["to_baseline"][side] = median(ratios);
    }
    return entry;
}

Json figure_json(const std::vector<double>& samples) {
    return {{"ns", median(samples)}, {"samples", samples}};
}

Json profile_json(const Profile& profile) {
    Json stages = Json::array();
    for (const Profile::Stage& stage : profile.stages) {
        Json entry = figure_json(stage.ns);
        entry["stage"] = stage.name;
        entry["share"] = profile.share(stage);
        entry["what"] = stage.what;
        stages.push_back(std::move(entry));
    }
    return {{"scenario", profile.scenario},
            {"case", profile.case_name},
            {"hook", profile.hook},
            {"stages", std::move(stages)},
            {"sum", figure_json(profile.sums())},
            {"whole", figure_json(profile.whole)},
            {"traffic", figure_json(profile.traffic)},
            {"empty", figure_json(profile.empty)}};
}

Profile profile_of(const Json& entry) {
    const auto samples = [](const Json& of) { return of.at("samples").get<std::vector<double>>(); };
    Profile profile = {.scenario = entry.at("scenario").get<std::string>(),
                       .case_name = entry.at("case").get<std::string>(),
                       .hook = entry.at("hook").get<std::string>(),
                       .stages = {},
                       .empty = samples(entry.at("empty")),
                       .whole = samples(entry.at("whole")),
                       .traffic = samples(entry.at("traffic"))};
    for (const Json& stage : entry.at("stages"))
        profile.stages.push_back(
            {stage.at("stage").get<std::string>(), stage.at("what").get<std::string>(), samples(stage)});
    return profile;
}

Row row_of(const Json& entry) {
    Row row = {.scenario = entry.at("scenario").get<std::string>(),
               .case_name = entry.at("case").get<std::string>(),
               .hook = entry.at("hook").get<std::string>(),
               .metric = entry.at("metric").get<std::string>(),
               .unit = entry.at("unit").get<std::string>(),
               .samples = {},
               .generator = entry.value("generator", "")};
    for (const auto& [side, samples] : entry.at("samples").items())
        row.samples[side] = samples.get<std::vector<double>>();
    return row;
}

}  // namespace

Json to_json(const Report& report) {
    Json results = Json::array();
    for (const Row& row : report.rows) results.push_back(row_json(report, row));
    Json json = {{"format", kFormat},
                 {"complete", report.complete},
                 {"run", facts_json(report.facts)},
                 {"notes", report.notes},
                 {"results", std::move(results)}};
    for (const Profile& profile : report.profiles) json["profiles"].push_back(profile_json(profile));
    return json;
}

Report from_json(const Json& json) {
    if (!json.is_object() || json.value("format", 0) != kFormat)
        throw std::runtime_error(fmt::format(
            "this is no report that `underpass bench --json` of this version has written (format {})", kFormat));
    try {
        Report report;
        report.complete = json.at("complete").get<bool>();
        report.facts = facts_of(json.at("run"));
        report.notes = json.at("notes").get<std::map<std::string, std::string>>();
        for (const Json& entry : json.at("results")) {
            report.rows.push_back(row_of(entry));
            if (entry.contains("baseline"))
                report.baselines[report.rows.back().scenario] = entry["baseline"].get<std::string>();
        }
        if (json.contains("profiles"))
            for (const Json& entry : json["profiles"]) report.profiles.push_back(profile_of(entry));
        return report;
    } catch (const Json::exception& error) {
        throw std::runtime_error(fmt::format("this report is broken: {}", error.what()));
    }
}

Report read_kept(const std::string& file) {
    std::ifstream stream(file);
    if (!stream) throw std::runtime_error(fmt::format("cannot read {}: {}", file, std::strerror(errno)));
    Json json;
    try {
        json = Json::parse(stream);
    } catch (const Json::parse_error& error) {
        throw std::runtime_error(fmt::format(
            "{}: this is no JSON, at byte {}: it has to be a file of `underpass bench --json`", file, error.byte));
    }
    try {
        return from_json(json);
    } catch (const std::runtime_error& error) {
        throw std::runtime_error(fmt::format("{}: {}", file, error.what()));
    }
}

}  // namespace underpass::bench
