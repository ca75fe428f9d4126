// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "facts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "harness/process.h"
#include "lab/link.h"
#include "loader/attach.h"
#include "loader/pin.h"
#include "netlink/ethtool.h"
#include "netlink/netdev.h"
#include "sync/state.h"

namespace underpass::test {

namespace {

using Json = nlohmann::json;

Json by_tool(const lab::Namespace& where, const std::vector<std::string>& command) {
    const Finished finished = run(where, command);
    if (!finished.ok()) throw std::runtime_error(command.front() + ": " + finished.text());
    return finished.out.empty() ? Json::array() : Json::parse(finished.out);
}

// What changes by itself: a bridge counts time in its attributes, and the kernel looks at the operational state of a
// link (operstate, and among the flags NO-CARRIER) once a second at most. The carrier itself, LOWER_UP, stays.
void strip(Json& value) {
    if (value.is_object()) {
        for (auto entry = value.begin(); entry != value.end();)
            if (entry.key().ends_with("_timer") || entry.key().starts_with("topology_change") ||
                entry.key() == "operstate")
                entry = value.erase(entry);
            else
                strip(*entry++);
    } else if (value.is_array()) {
        if (const auto told = std::ranges::find(value, "NO-CARRIER"); told != value.end()) value.erase(told);
        for (Json& each : value) strip(each);
    }
}

void add_devices(Facts& facts, const lab::Namespace& where, const std::string& prefix) {
    std::set<std::string> with_filters;  // others can have none, and a tool is slow where all is emulated
    for (const Json& qdisc : by_tool(where, {"tc", "-j", "qdisc", "show"})) {
        const auto kind = qdisc.value("kind", "?");
        facts[fmt::format("{}{} qdisc {}", prefix, qdisc.value("dev", "?"), kind)] = "there";
        if (kind == "clsact" || kind == "ingress") with_filters.insert(qdisc.value("dev", "?"));
    }
    for (Json& link : by_tool(where, {"ip", "-d", "-j", "link", "show"})) {
        const auto name = link.at("ifname").get<std::string>();
        const std::string device = prefix + name + " ";
        strip(link);
        for (const auto& [key, value] : link.items()) facts[device + key] = value.dump();
        for (const char* parent : {"ingress", "egress"}) {
            if (!with_filters.contains(name)) break;
            Json filters = by_tool(where, {"tc", "-j", "filter", "show", "dev", name, parent});
            if (!filters.empty()) facts[device + "filters " + parent] = filters.dump();
        }
        where.run([&] {
            const Ifindex index = lab::ifindex(name);
            for (const bool ingress : {true, false})
                if (const auto programs = tcx_programs(number(index), ingress); !programs.empty())
                    facts[device + (ingress ? "tcx ingress" : "tcx egress")] =
                        fmt::format("{}", fmt::join(programs, " "));
            for (const auto& [feature, on] : Ethtool(name).features()) facts[device + feature] = on ? "on" : "off";
            if (const auto xdp = xdp_features(index))
                facts[device + "XDP"] = fmt::format("redirects {}, target {}", xdp->redirects, xdp->target);
            if (const auto napi = runs_napi(index)) facts[device + "NAPI"] = *napi ? "runs" : "does not run";
        });
    }
}

std::string contents(const std::filesystem::path& directory) {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, ignored))
        names.push_back(std::filesystem::relative(entry.path(), directory));
    std::ranges::sort(names);
    return fmt::format("{}", fmt::join(names, " "));
}

void add_processes(Facts& facts, const lab::Namespace& host) {
    struct stat wanted = {};
    if (::fstat(host.fd(), &wanted) != 0) throw std::runtime_error("the namespace cannot be looked at");
    std::error_code ignored;
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
        struct stat net = {};
        if (::stat((entry.path() / "ns/net").c_str(), &net) == 0 && net.st_ino == wanted.st_ino) count++;
    }
    facts["processes"] = std::to_string(count);
}

}  // namespace

Facts facts_of(const lab::Namespace& host, const std::vector<const lab::Namespace*>& far) {
    Facts facts;
    add_devices(facts, host, "");
    for (std::size_t i = 0; i < far.size(); i++) add_devices(facts, *far[i], fmt::format("far {} ", i));
    add_processes(facts, host);
    host.run([&facts] {
        for (const auto& [what, path] : {std::pair("pins", PinDirectory::of_this_namespace().path()),
                                         std::pair("run-time files", RunDirectory::of_this_namespace().path)})
            if (std::filesystem::exists(path)) facts[what] = "there: " + contents(path);
    });
    return facts;
}

std::string changes(const Facts& before, const Facts& after) {
    std::string text;
    for (const auto& [key, value] : before)
        if (const auto now = after.find(key); now == after.end() || now->second != value)
            text += fmt::format("- {}: {}\n", key, value);
    for (const auto& [key, value] : after)
        if (const auto then = before.find(key); then == before.end() || then->second != value)
            text += fmt::format("+ {}: {}\n", key, value);
    return text;
}

std::string lasting_changes(const Facts& before, const lab::Namespace& host,
                            const std::vector<const lab::Namespace*>& far) {
    std::string text;
    for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);;) {
        text = changes(before, facts_of(host, far));
        if (text.empty() || std::chrono::steady_clock::now() > end) return text;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

}  // namespace underpass::test
