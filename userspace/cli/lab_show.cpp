// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/if.h>

#include <chrono>
#include <map>
#include <memory>

#include "cli/lab.h"
#include "cli/output.h"
#include "lab/guest.h"
#include "lab/look.h"
#include "lab/namespace.h"

namespace underpass {

namespace {

using Json = nlohmann::json;

const char* state_of(const underpass::Link& link) {
    if ((link.flags & IFF_UP) == 0) return "down";
    return link.carrier ? "up" : "no carrier";
}

const char* name_of(lab::NodeKind kind) {
    switch (kind) {
        case lab::NodeKind::space: return "namespace";
        case lab::NodeKind::tap: return "tap";
        case lab::NodeKind::guest: return "guest";
    }
    return "";
}

// What each end of a link is joined to.
std::map<lab::Endpoint, lab::Endpoint> joined(const lab::Spec& spec) {
    std::map<lab::Endpoint, lab::Endpoint> far;
    for (const lab::Link& link : spec.links) {
        far[link.ends[0]] = link.ends[1];
        far[link.ends[1]] = link.ends[0];
    }
    return far;
}

Json device_json(const lab::Device& device, const std::map<Ifindex, std::string>& names, const lab::Endpoint* far) {
    Json json = {{"name", device.link.name},      {"kind", device.link.kind}, {"state", state_of(device.link)},
                 {"mac", device.link.mac.text()}, {"mtu", device.link.mtu},   {"addresses", Json::array()}};
    for (const IpPrefix& address : device.addresses) json["addresses"].push_back(address.text());
    if (device.link.master && names.contains(*device.link.master)) json["master"] = names.at(*device.link.master);
    if (far != nullptr) json["joined_to"] = far->text();
    return json;
}

// How the bridges of a node go, and what it routes by: "fast", "left to the kernel"; all bridges alike where nobody
// makes them fast who should.
void add_fast_path(Json& devices, const lab::Node& node, const lab::Namespace& space) {
    const auto status = status_in(space);
    if (!status && !node.accelerate) return;
    for (Json& device : devices) {
        if (device.at("kind") == "bridge")
            device["fast_path"] = status ? "left to the kernel" : "no daemon makes it fast";
        if (!status) continue;
        for (const Json& taken : status->at("bridges"))
            if (taken.at("name") == device.at("name") && taken.at("state") == "fast") device["fast_path"] = "fast";
    }
}

Json space_json(const lab::Node& node, const std::string& space, const std::map<lab::Endpoint, lab::Endpoint>& far) {
    Json devices = Json::array();
    try {
        const auto there = lab::Namespace::open(space);
        const auto found = there.run([] { return lab::look(); });
        std::map<Ifindex, std::string> names;
        for (const lab::Device& device : found) names[device.link.index] = device.link.name;
        for (const lab::Device& device : found) {
            if (device.link.name == "lo") continue;
            const auto end = far.find({node.name, device.link.name});
            devices.push_back(device_json(device, names, end == far.end() ? nullptr : &end->second));
        }
        add_fast_path(devices, node, there);
    } catch (const std::system_error& error) {
        return {{"state", "gone"}, {"why", error.what()}, {"devices", devices}};
    }
    return {{"state", "up"}, {"namespace", space}, {"devices", devices}};
}

Json guest_json(const lab::Spec& spec, const lab::Node& node, const std::map<lab::Endpoint, lab::Endpoint>& far) {
    Json device = {{"name", "eth0"}, {"addresses", Json::array()}, {"joined_to", far.at({node.name, "eth0"}).text()}};
    for (const IpAddress& address : lab::addresses_of(node)) device["addresses"].push_back(address.text());
    const bool ours = node.kind == lab::NodeKind::guest;
    const bool runs = ours && lab::guest_runs(lab::directory_of(spec.name), node.name);
    return {{"state", !ours ? "a tap" : runs ? "up" : "gone"}, {"devices", Json::array({device})}};
}

Json lab_json(const lab::Record& record) {
    const lab::Spec spec = spec_of(record);
    const auto far = joined(spec);
    Json json = {{"name", spec.name},
                 {"about", spec.about},
                 {"source", record.source},
                 {"state", record.complete ? "up" : "unfinished"},
                 {"since", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(record.begun))},
                 {"nodes", Json::array()}};
    for (const lab::Node& node : spec.nodes) {
        Json entry = {{"name", node.name},
                      {"kind", name_of(node.kind)},
                      {"accelerate", node.accelerate ? name(*node.accelerate) : "false"}};
        entry.update(node.kind == lab::NodeKind::space
                         ? space_json(node, lab::namespace_name(spec.name, node.name), far)
                         : guest_json(spec, node, far));
        json["nodes"].push_back(std::move(entry));
    }
    return json;
}

void print_lab(const Json& lab) {
    fmt::print("{}: {}, {} nodes, of {}, since {}\n", lab.at("name").get<std::string>(),
               lab.at("state").get<std::string>(), lab.at("nodes").size(), lab.at("source").get<std::string>(),
               lab.at("since").get<std::string>());
    std::vector<std::vector<std::string>> rows = {{"NODE", "DEVICE", "KIND", "STATE", "MTU", "JOINED TO", "ADDRESSES"}};
    for (const Json& node : lab.at("nodes")) {
        auto name = node.at("name").get<std::string>();
        if (node.at("devices").empty()) rows.push_back({name, "-", node.at("kind"), node.at("state"), "-", "-", ""});
        for (const Json& device : node.at("devices")) {
            const std::string to = device.contains("joined_to") ? device.at("joined_to").get<std::string>() : "";
            const std::string master =
                device.contains("master") ? "port of " + device.at("master").get<std::string>() : "";
            rows.push_back({name, device.at("name"), device.value("kind", node.at("kind").get<std::string>()),
                            device.value("state", node.at("state").get<std::string>()) +
                                (device.contains("fast_path") ? ", " + device.at("fast_path").get<std::string>() : ""),
                            device.contains("mtu") ? std::to_string(device.at("mtu").get<int>()) : "-",
                            to.empty() && master.empty()
                                ? "-"
                                : fmt::format("{}{}{}", to, to.empty() || master.empty() ? "" : ", ", master),
                            fmt::format("{}", fmt::join(device.at("addresses").get<std::vector<std::string>>(), " "))});
            name.clear();
        }
    }
    print_table(rows, "  ");
}

void lab_show(const std::string& name, bool json) {
    require_root();
    std::vector<lab::Record> records;
    if (name.empty()) {
        for (auto& record : lab::read_records())
            if (record.this_boot) records.push_back(std::move(record));
    } else {
        records.push_back(find_lab(name));
    }
    Json labs = Json::array();
    for (const lab::Record& record : records) labs.push_back(lab_json(record));
    if (json) {
        fmt::print("{}\n", Json{{"labs", labs}}.dump(2));
        return;
    }
    if (labs.empty()) fmt::print("no lab is up (`underpass lab models` lists what could be)\n");
    for (const Json& lab : labs) print_lab(lab);
}

}  // namespace

void add_lab_show(CLI::App& lab) {
    struct Options {
        std::string name;
        bool json = false;
    };
    auto options = std::make_shared<Options>();
    CLI::App* command =
        lab.add_subcommand("show", "The labs that are up: devices, state, addresses, who is joined to whom");
    command->add_option("LAB", options->name, "Only this one (default: all)")->type_name("");
    command->add_flag("--json", options->json, "Print JSON");
    command->footer("Examples:\n  underpass lab show\n  underpass lab show nat --json");
    command->callback([options] { lab_show(options->name, options->json); });
}

}  // namespace underpass
