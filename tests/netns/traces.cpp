// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "traces.h"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "harness/process.h"
#include "loader/pin.h"
#include "netlink/dump.h"
#include "sync/state.h"

namespace underpass::test {

namespace {

std::string answer_of(const lab::Namespace& where, const std::vector<std::string>& command) {
    const Finished finished = run(where, command);
    if (!finished.ok()) throw std::runtime_error(command.front() + ": " + finished.text());
    return finished.out;
}

std::string files_in(const std::filesystem::path& directory) {
    if (!std::filesystem::exists(directory)) return {};
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) names.push_back(entry.path().filename());
    std::ranges::sort(names);
    std::string text = directory.string() + ":\n";
    for (const auto& name : names) text += name + "\n";
    return text;
}

std::vector<std::string> devices_of(const lab::Namespace& where) {
    std::vector<std::string> names;
    where.run([&names] {
        NetlinkSocket route(NETLINK_ROUTE);
        dump_links(route, [&names](Event&& event) { names.push_back(std::get<LinkChanged>(event).link.name); });
    });
    return names;
}

// Lines that are in one and not in the other.
std::string lines_missing(const std::string& from, const std::string& in, const std::string& mark) {
    std::string result;
    std::istringstream lines(from);
    for (std::string line; std::getline(lines, line);)
        if (("\n" + in).find("\n" + line + "\n") == std::string::npos) result += mark + line + "\n";
    return result;
}

}  // namespace

Traces traces(const lab::Namespace& where) {
    Traces all;
    where.run([&all] {
        all["pins"] = files_in(PinDirectory::of_this_namespace().path());
        all["notes"] = files_in(RunDirectory::of_this_namespace().path);
    });
    all["programs"] = answer_of(where, {"bpftool", "net", "show"});
    all["qdiscs"] = answer_of(where, {"tc", "qdisc", "show"});
    all["links"] = answer_of(where, {"ip", "link", "show"});
    for (const std::string& device : devices_of(where))
        all["features of " + device] = answer_of(where, {"ethtool", "-k", device});
    return all;
}

std::string difference(const Traces& before, const Traces& after) {
    std::string result;
    Traces all = before;
    all.insert(after.begin(), after.end());
    for (const auto& [what, ignored] : all) {
        const auto text = [&](const Traces& traces) {
            const auto found = traces.find(what);
            return found == traces.end() ? std::string() : found->second;
        };
        if (text(before) == text(after)) continue;
        result += what + ":\n" + lines_missing(text(before), text(after), "- ") +
                  lines_missing(text(after), text(before), "+ ");
    }
    return result;
}

std::string underpass_traces(const lab::Namespace& where) {
    const Traces now = traces(where);
    std::string result = now.at("pins") + now.at("notes");
    if (now.at("programs").find("underpass") != std::string::npos) result += now.at("programs");
    if (now.at("qdiscs").find("clsact") != std::string::npos) result += now.at("qdiscs");
    return result;
}

}  // namespace underpass::test
