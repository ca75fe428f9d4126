// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "loader/pin.h"

namespace underpass {

namespace {

using Json = nlohmann::json;

std::string frames_text(const Json& counter) {
    return fmt::format("{} frames, {}", count_text(counter.at("packets").get<std::uint64_t>()),
                       bytes_text(counter.at("bytes").get<std::uint64_t>()));
}

void print_port(const Json& port) {
    std::string hook = port.at("hook").get<std::string>();
    if (hook == "kernel") {
        hook += ": " + port.at("why").get<std::string>();
    } else if (port.contains("programs")) {
        const Json& programs = port.at("programs");
        hook += programs.contains("xdp") ? fmt::format(" ({}; {} behind it)", programs.at("xdp").get<std::string>(),
                                                       programs.at("tc").get<std::string>())
                                         : fmt::format(" ({})", programs.at("tc").get<std::string>());
    }
    if (!port.at("forwarding").get<bool>()) hook += ", not forwarding";
    fmt::print("  {}: {}\n", port.at("name").get<std::string>(), hook);
    if (!port.contains("fast")) return;
    const Json& share = port.at("share_fast");
    std::vector<std::vector<std::string>> rows = {
        {"fast", frames_text(port.at("fast")),
         share.is_null() ? "" : fmt::format("{:.1f} % of all", 100 * share.get<double>())}};
    for (const auto& [reason, counter] : port.at("slow").items())
        rows.push_back({reason, frames_text(counter), counter.at("meaning").get<std::string>()});
    print_table(rows, "    ");
}

void print_status(const Json& status) {
    const Json& daemon = status.at("daemon");
    fmt::print("daemon: pid {}, version {}{}\n", daemon.at("pid").get<int>(), daemon.at("version").get<std::string>(),
               daemon.at("log").is_null() ? "" : ", log " + daemon.at("log").get<std::string>());
    if (status.at("bridges").empty()) fmt::print("no bridge is accelerated\n");
    const Json waiting = status.value("waiting", Json::object());
    for (const auto& [bridge, why] : waiting.items()) fmt::print("{}: waiting: {}\n", bridge, why.get<std::string>());
    for (const Json& bridge : status.at("bridges")) {
        fmt::print(
            "{}: {}\n", bridge.at("name").get<std::string>(),
            bridge.at("state") == "fast" ? "fast" : "left to the kernel: " + bridge.at("why").get<std::string>());
        for (const Json& port : bridge.at("ports")) print_port(port);
    }
    if (!status.contains("maps")) return;
    const Json& maps = status.at("maps");
    const Json& fdb = maps.at("fdb");
    const Json& sync = status.at("sync");
    fmt::print("maps: fdb {} of {} entries{}, {} of {} devices; {:.1f} s old, read anew {:.1f} s ago\n",
               fdb.at("entries").get<std::uint64_t>(), fdb.at("size").get<std::uint64_t>(),
               fdb.at("left_out").get<std::uint64_t>() == 0
                   ? ""
                   : fmt::format(" ({} did not fit: raise fdb_size)", fdb.at("left_out").get<std::uint64_t>()),
               maps.at("devices").at("entries").get<std::uint64_t>(),
               maps.at("devices").at("size").get<std::uint64_t>(), maps.at("age_ms").get<double>() / 1000,
               maps.at("resync_age_ms").get<double>() / 1000);
    fmt::print("sync: {} events, {} resyncs ({} after lost events), {} map updates, {} failed\n",
               sync.at("events").get<std::uint64_t>(), sync.at("resyncs").get<std::uint64_t>(),
               sync.at("overruns").get<std::uint64_t>(), sync.at("operations").get<std::uint64_t>(),
               sync.at("failures").get<std::uint64_t>());
}

void status(bool json) {
    require_root();
    const auto answer = ask({{"operation", "status"}});
    if (!answer && PinDirectory::of_this_namespace().exists()) throw std::runtime_error(kLeftBehind);
    if (!answer) throw std::runtime_error("no daemon runs in this network namespace: `underpass up BRIDGE` starts one");
    if (json)
        fmt::print("{}\n", answer->dump(2));
    else
        print_status(*answer);
}

}  // namespace

void add_status(CLI::App& app) {
    auto json = std::make_shared<bool>(false);
    CLI::App* command = app.add_subcommand("status", "What goes fast, and why the rest does not");
    command->add_flag("--json", *json, "Print JSON");
    command->footer(
        "Examples:\n  underpass status\n  underpass status --json | jq '.bridges[].ports[] | {name, share_fast}'");
    command->callback([json] { status(*json); });
}

}  // namespace underpass
