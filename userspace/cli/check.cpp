// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/output.h"
#include "loader/probe.h"
#include "sync/status.h"
#include "sync/survey.h"

namespace underpass {

namespace {

using Json = nlohmann::json;

Json feature_json(const Feature& feature) {
    Json json = {{"present", feature.present}};
    if (!feature.present) json["why_not"] = feature.why_not;
    return json;
}

Json kernel_json(const KernelFeatures& features) {
    return {{"bpf", feature_json(features.bpf)},
            {"btf", feature_json(features.btf)},
            {"tcx", feature_json(features.tcx)},
            {"xdp_dispatcher", feature_json(features.xdp_dispatcher)},
            {"conntrack_kfuncs", feature_json(features.conntrack_kfuncs)},
            {"live_frames", feature_json(features.live_frames)}};
}

template <class Value>
Json optional_json(const std::optional<Value>& value) {
    return value ? Json(*value) : Json();
}

// Of the device that runs the port's programs.
void add_driver(Json& port, const Host& host, Ifindex device) {
    const auto driver = host.drivers.find(device);
    if (driver == host.drivers.end()) return;
    port["driver"] = {{"name", driver->second.driver},
                      {"native_xdp", optional_json(driver->second.native_xdp)},
                      {"xdp_target", optional_json(driver->second.xdp_target)},
                      {"strips_vlan", optional_json(driver->second.strips_vlan)}};
}

bool concerns(const Json& bridge, const std::vector<std::string>& devices) {
    const auto named = [&devices](const Json& device) {
        return std::ranges::count(devices, device.at("name").get<std::string>()) != 0 ||
               std::ranges::count(devices, device.value("below", "")) != 0;
    };
    return devices.empty() || named(bridge) || std::ranges::any_of(bridge.at("ports"), named);
}

void require_known(const Host& host, const std::vector<std::string>& devices) {
    for (const std::string& device : devices)
        if (std::ranges::none_of(host.links, [&device](const auto& link) { return link.second.name == device; }))
            throw std::runtime_error(no_such_device(device));
}

void print_feature(std::vector<std::vector<std::string>>& rows, const std::string& name, const Json& feature,
                   const std::string& with, const std::string& without) {
    const bool present = feature.at("present").get<bool>();
    rows.push_back(
        {name, present ? "yes" : "no",
         present ? with : fmt::format("{} (the kernel says: {})", without, feature.at("why_not").get<std::string>())});
}

void print_check(const Json& check) {
    const Json& kernel = check.at("kernel");
    std::vector<std::vector<std::string>> rows;
    print_feature(rows, "BPF programs", kernel.at("bpf"), "can be loaded", "cannot be loaded");
    print_feature(rows, "BTF", kernel.at("btf"), "types of the kernel are known", "conntrack cannot be read");
    print_feature(rows, "tcx", kernel.at("tcx"), "TC programs are links", "TC programs go into a clsact qdisc");
    print_feature(rows, "XDP dispatcher", kernel.at("xdp_dispatcher"), "XDP programs share a device",
                  "one XDP program a device; with others there Underpass uses TC");
    print_feature(rows, "conntrack kfuncs", kernel.at("conntrack_kfuncs"), "connections can be read",
                  "connections cannot be read");
    print_feature(rows, "XDP live frames", kernel.at("live_frames"), "the benchmark's generator works",
                  "the benchmark has no generator");
    fmt::print("kernel\n");
    print_table(rows, "  ");
    if (check.at("bridges").empty()) fmt::print("there is no bridge here\n");
    for (const Json& bridge : check.at("bridges")) print_plan(bridge);
}

void check(const std::vector<std::string>& devices, const std::string& hook, bool json) {
    require_root();
    const KernelFeatures features = probe_kernel();
    const Host host = Survey::take();
    require_known(host, devices);
    Selection selection{.all = parse_hook_choice(hook).value(), .bridges = {}, .except = {}};
    for (const std::string& device : devices)
        if (is_of_its_own(host, device)) selection.bridges[device] = *selection.all;
    const Plan plans = make_plan(host, selection, {});
    Json result = {{"kernel", kernel_json(features)}, {"bridges", Json::array()}};
    for (const auto& [index, plan] : plans) {
        Json bridge = plan_json(host, plan);
        for (std::size_t i = 0; i < plan.ports.size(); i++) add_driver(bridge["ports"][i], host, plan.ports[i].below);
        if (concerns(bridge, devices)) result["bridges"].push_back(std::move(bridge));
    }
    for (const std::string& device : devices)
        if (std::ranges::none_of(result["bridges"],
                                 [&device](const Json& bridge) { return concerns(bridge, {device}); }))
            throw std::runtime_error(device + " is neither a bridge nor a port of one");
    if (json)
        fmt::print("{}\n", result.dump(2));
    else
        print_check(result);
}

}  // namespace

void add_check(CLI::App& app) {
    struct Options {
        std::vector<std::string> devices;
        std::string hook = "auto";
        bool json = false;
    };
    auto options = std::make_shared<Options>();
    CLI::App* command =
        app.add_subcommand("check", "What could go fast here, by which hook, at what cost; changes nothing");
    command
        ->add_option("DEVICE", options->devices,
                     "Only these bridges, or the bridges of these ports or of VLAN devices on them")
        ->type_name("");
    command->add_option("--hook", options->hook, "Plan as `up --hook` would")
        ->check(CLI::IsMember({"auto", "tc", "xdp"}))
        ->capture_default_str();
    command->add_flag("--json", options->json, "Print JSON");
    command->footer("Examples:\n  underpass check\n  underpass check br0 --hook xdp\n  underpass check eth0");
    command->callback([options] { check(options->devices, options->hook, options->json); });
}

}  // namespace underpass
