// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace underpass {

namespace {

using Json = nlohmann::json;

std::string frames_text(const Json& counter) {
    return fmt::format("{} frames, {}", count_text(counter.at("packets").get<std::uint64_t>()),
                       bytes_text(counter.at("bytes").get<std::uint64_t>()));
}

void print_port(const Json& port) {
    std::string hook = hook_text(port);
    if (hook == "kernel") {
        hook += ": " + port.at("why").get<std::string>();
    } else if (port.contains("programs")) {
        const Json& programs = port.at("programs");
        hook += programs.contains("xdp") ? fmt::format(" ({}; {} behind it)", programs.at("xdp").get<std::string>(),
                                                       programs.at("tc").get<std::string>())
                                         : fmt::format(" ({})", programs.at("tc").get<std::string>());
    }
    if (!port.at("forwarding").get<bool>()) hook += ", not forwarding";
    if (port.contains("features_off"))
        hook +=
            fmt::format(", turned off: {}", fmt::join(port.at("features_off").get<std::vector<std::string>>(), ", "));
    fmt::print("  {}: {}\n", port.at("name").get<std::string>(), hook);
    for (const std::string& line : vxlan_lines(port)) fmt::print("    {}\n", line);
    for (const std::string& refusal : vlan_refusals(port)) fmt::print("    {}\n", refusal);
    if (!port.contains("fast")) return;
    const Json& share = port.at("share_fast");
    std::vector<std::vector<std::string>> rows = {
        {"fast", frames_text(port.at("fast")),
         share.is_null() ? "" : fmt::format("{:.1f} % of all", 100 * share.get<double>())}};
    for (const auto& [key, what] : {std::pair("ruled", "of those, bridged in flows that rules accepted"),
                                    {"routed", "of those"},
                                    {"filtered", "of those, in accepted connections"},
                                    {"translated", "of those, in connections with NAT"},
                                    {"decapsulated", "of those, taken out of a tunnel"},
                                    {"encapsulated", "of those, put into a tunnel"}})
        if (port.at(key).at("packets") != 0) rows.push_back({std::string("  ") + key, frames_text(port.at(key)), what});
    for (const auto& [reason, counter] : port.at("slow").items())
        rows.push_back({reason, frames_text(counter), counter.at("meaning").get<std::string>()});
    print_table(rows, "    ");
}

std::string vid_text(const Json& vlan) {
    const auto first = vlan.at("first").get<int>(), last = vlan.at("last").get<int>();
    return first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
}

// What the frames of a VLAN meet at a port. What a whole bridge is left for stands above.
std::string vlan_state_text(const Json& port, bool bridge_fast) {
    std::string text = port.at("state").get<std::string>();
    if (port.contains("why") && bridge_fast) text += ", left to the kernel: " + port.at("why").get<std::string>();
    if (port.contains("vlan_device")) text += "; a VLAN device takes its tagged frames";
    return text;
}

void print_vlans(const Json& bridge) {
    const Json& vlans = bridge.at("vlans");
    if (vlans.empty()) {
        fmt::print("  {}\n", bridge.contains("vlan_aware") ? "no port is in a VLAN" : "no VLANs");
        return;
    }
    const bool fast = bridge.at("state") == "fast";
    std::vector<std::vector<std::string>> rows = {{"VLAN", "port", "frames are", "hook", "fast", "slow", "state"}};
    for (const Json& vlan : vlans) {
        std::string vid = vid_text(vlan);
        for (const Json& port : vlan.at("ports")) {
            const std::string tags = port.at("tagged").get<bool>() ? "tagged" : "untagged";
            rows.push_back({std::exchange(vid, ""), port.at("name").get<std::string>(),
                            tags + (port.at("pvid").get<bool>() ? ", PVID" : ""), hook_text(port),
                            frames_text(port.at("fast")), frames_text(port.at("slow")), vlan_state_text(port, fast)});
        }
    }
    print_table(rows, "  ");
}

void print_bridge(const Json& bridge) {
    const bool fast = bridge.at("state") == "fast";
    const std::string vlan_aware = vlan_aware_text(bridge);
    fmt::print("{}{}: {}\n", bridge.at("name").get<std::string>(), vlan_aware.empty() ? "" : " (" + vlan_aware + ")",
               fast ? "fast" : "left to the kernel: " + bridge.at("why").get<std::string>());
    if (fast) print_parts(bridge);
    if (fast) print_carried(bridge);
    if (bridge.contains("vlans"))
        print_vlans(bridge);
    else
        for (const Json& port : bridge.at("ports")) print_port(port);
}

void print_status(const Json& status, bool vlans) {
    const Json& daemon = status.at("daemon");
    fmt::print("daemon: pid {}, version {}{}\n", daemon.at("pid").get<int>(), daemon.at("version").get<std::string>(),
               daemon.at("log").is_null() ? "" : ", log " + daemon.at("log").get<std::string>());
    if (status.at("bridges").empty()) fmt::print("no bridge is accelerated\n");
    const Json waiting = status.value("waiting", Json::object());
    for (const auto& [bridge, why] : waiting.items()) fmt::print("{}: waiting: {}\n", bridge, why.get<std::string>());
    for (const Json& bridge : status.at("bridges")) print_bridge(bridge);
    if (vlans || !status.contains("maps")) return;
    const Json& maps = status.at("maps");
    const Json& fdb = maps.at("fdb");
    const Json& sync = status.at("sync");
    const Json& flows = maps.at("flows");
    fmt::print("maps: fdb {} of {} entries{}, {} of {} flows, {} of {} devices; {:.1f} s old, read anew {:.1f} s ago\n",
               fdb.at("entries").get<std::uint64_t>(), fdb.at("size").get<std::uint64_t>(),
               fdb.at("left_out").get<std::uint64_t>() == 0
                   ? ""
                   : fmt::format(" ({} did not fit: raise fdb_size)", fdb.at("left_out").get<std::uint64_t>()),
               flows.at("entries").get<std::uint64_t>(), flows.at("size").get<std::uint64_t>(),
               maps.at("devices").at("entries").get<std::uint64_t>(),
               maps.at("devices").at("size").get<std::uint64_t>(), maps.at("age_ms").get<double>() / 1000,
               maps.at("resync_age_ms").get<double>() / 1000);
    fmt::print("sync: {} events, {} resyncs ({} after lost events), {} map updates, {} failed\n",
               sync.at("events").get<std::uint64_t>(), sync.at("resyncs").get<std::uint64_t>(),
               sync.at("overruns").get<std::uint64_t>(), sync.at("operations").get<std::uint64_t>(),
               sync.at("failures").get<std::uint64_t>());
}

void status(bool json, bool vlans) {
    require_root();
    const nlohmann::json answer = ask_status(vlans);
    if (json)
        fmt::print("{}\n", answer.dump(2));
    else
        print_status(answer, vlans);
}

}  // namespace

void add_status(CLI::App& app) {
    struct Options {
        bool json = false;
        bool vlans = false;
    };
    auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("status", "What goes fast, and why the rest does not");
    command->add_flag("--vlans", options->vlans,
                      "By VLAN: the ports that are in it, tagged or not, and what came in fast and slow");
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "Examples:\n  underpass status\n  underpass status --vlans\n  underpass status --json | jq '.bridges[].ports[] "
        "| {name, share_fast}'");
    command->callback([options] { status(options->json, options->vlans); });
}

}  // namespace underpass
