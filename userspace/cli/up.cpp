// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace underpass {

namespace {

struct UpOptions {
    std::vector<std::string> bridges;
    std::string hook = "auto";
    bool all = false;
    bool rxvlan_off = false;
    bool json = false;
};

// What is left to the kernel of it.
void print_port(const nlohmann::json& port) {
    const auto name = port.at("name").get<std::string>();
    if (port.at("hook") == "kernel")
        fmt::print("  {} is left to the kernel: {}\n", name, port.at("why").get<std::string>());
    else
        for (const std::string& refusal : vlan_refusals(port)) fmt::print("  {}: {}\n", name, refusal);
}

void up(const UpOptions& options) {
    require_root();
    const nlohmann::json answer = bring_up(options.bridges, options.all, options.hook, options.rxvlan_off);
    if (options.json) {
        fmt::print("{}\n", answer.dump(2));
        return;
    }
    for (const auto& bridge : answer.at("bridges")) {
        std::size_t fast = 0;
        for (const auto& port : bridge.at("ports")) fast += port.at("hook") == "kernel" ? 0 : 1;
        const auto name = bridge.at("name").get<std::string>();
        if (bridge.at("state") != "fast") {
            fmt::print("{}: left to the kernel: {}\n", name, bridge.at("why").get<std::string>());
            continue;
        }
        const std::string vlans = vlan_aware_text(bridge);
        const std::size_t ports = bridge.at("ports").size();
        if (bridge.at("kind") == "bridge")
            fmt::print("{}: {} ({}{})\n", name, bridging_text(bridge),
                       ports == 0 ? "no ports yet" : fmt::format("{} of {} ports", fast, ports),
                       vlans.empty() ? "" : "; " + vlans);
        fmt::print("{}: routing {}\n", name, routing_text(bridge));
        for (const auto& port : bridge.at("ports")) print_port(port);
    }
    if (options.all) fmt::print("whatever of that kind appears from now on is taken too\n");
}

}  // namespace

void add_up(CLI::App& app) {
    auto options = std::make_shared<UpOptions>();
    CLI::App* command =
        app.add_subcommand("up", "Make bridges, and routing between devices, fast; returns when frames go fast");
    auto* bridges = command
                        ->add_option("DEVICE", options->bridges,
                                     "Bridges to accelerate, and devices in no bridge that packets are routed by")
                        ->type_name("");
    command
        ->add_option("--hook", options->hook,
                     "auto: by what each device is; tc; xdp: refused where it would corrupt frames")
        ->check(CLI::IsMember({"auto", "tc", "xdp"}))
        ->capture_default_str();
    command->add_flag("--all", options->all, "Every bridge, and every device that packets are routed by, now and later")
        ->excludes(bridges);
    command->add_flag("--rxvlan-off", options->rxvlan_off,
                      "Where a NIC strips VLAN tags, turn that off until `down`, so that XDP sees them");
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "Examples:\n  underpass up br0\n  underpass up br0 eth0\n  underpass up br0 br1 --hook tc\n  underpass up br0 "
        "--rxvlan-off\n"
        "  underpass up --all");
    command->callback([options] {
        if (options->bridges.empty() && !options->all)
            throw CLI::ValidationError(
                "up", "name a bridge or a device, or say --all (`underpass check` lists the bridges there are)");
        up(*options);
    });
}

}  // namespace underpass
