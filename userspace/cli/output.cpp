// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/output.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace underpass {

namespace {

std::string scaled(std::uint64_t number, const std::string& unit) {
    constexpr std::array<const char*, 6> kPrefixes = {"", "k", "M", "G", "T", "P"};
    double value = static_cast<double>(number);
    std::size_t prefix = 0;
    while (value >= 1000 && prefix + 1 < kPrefixes.size()) {
        value /= 1000;
        prefix++;
    }
    const std::string suffix = kPrefixes[prefix] + unit;
    const std::string digits = prefix == 0 ? std::to_string(number) : fmt::format("{:.1f}", value);
    return suffix.empty() ? digits : digits + " " + suffix;
}

}  // namespace

void require_root() {
    if (geteuid() != 0) throw std::runtime_error("this needs root: run it with sudo");
}

void require_ok(const nlohmann::json& answer) {
    if (answer.contains("error")) throw std::runtime_error(answer.at("error").get<std::string>());
}

std::string count_text(std::uint64_t count) {
    return scaled(count, "");
}
std::string bytes_text(std::uint64_t bytes) {
    return scaled(bytes, "B");
}

void print_table(const std::vector<std::vector<std::string>>& rows, const std::string& indent) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], row[i].size());
    }
    for (const auto& row : rows) {
        std::string line = indent;
        for (std::size_t i = 0; i < row.size(); i++)
            line += i + 1 == row.size() ? row[i] : fmt::format("{:<{}}  ", row[i], widths[i]);
        fmt::print("{}\n", line);
    }
}

std::string vlan_aware_text(const nlohmann::json& bridge) {
    return bridge.contains("vlan_aware") ? "VLAN-aware, " + bridge.at("vlan_aware").get<std::string>() : "";
}

std::string bridging_text(const nlohmann::json& bridge) {
    const nlohmann::json& bridging = bridge.at("bridging");
    if (!bridging.contains("rules")) return "fast";
    return fmt::format("fast; IP as flows that rules accepted ({})",
                       fmt::join(bridging.at("rules").get<std::vector<std::string>>(), "; "));
}

std::string routing_text(const nlohmann::json& bridge) {
    const nlohmann::json& routing = bridge.at("routing");
    if (routing.at("state") != "fast") return "left to the kernel: " + routing.at("why").get<std::string>();
    const nlohmann::json& connections = routing.at("connections");
    const bool ipv4 = connections.at("ipv4").get<bool>(), ipv6 = connections.at("ipv6").get<bool>();
    if (!ipv4 && !ipv6) return "fast";
    return fmt::format("fast; {} as connections that rules accepted ({})",
                       ipv4 && ipv6 ? "all"
                       : ipv4       ? "IPv4"
                                    : "IPv6",
                       fmt::join(routing.at("rules").get<std::vector<std::string>>(), "; "));
}

void print_parts(const nlohmann::json& bridge) {
    if (bridge.contains("bridging")) fmt::print("  bridging: {}\n", bridging_text(bridge));
    fmt::print("  routing: {}\n", routing_text(bridge));
}

std::string hook_text(const nlohmann::json& port) {
    const auto hook = port.at("hook").get<std::string>();
    return port.contains("below") && hook != "kernel" ? hook + " by " + port.at("below").get<std::string>() : hook;
}

std::vector<std::string> vlan_refusals(const nlohmann::json& port) {
    const nlohmann::json refusals = port.value("vlan_refusals", nlohmann::json::object());
    std::vector<std::string> lines;
    for (const auto& [vlan, why] : refusals.items())
        lines.push_back(fmt::format("VLAN {}: left to the kernel: {}", vlan, why.get<std::string>()));
    return lines;
}

std::vector<std::string> vxlan_lines(const nlohmann::json& port) {
    if (!port.contains("vxlan") || port.at("hook") == "kernel") return {};
    const nlohmann::json& vxlan = port.at("vxlan");
    std::string tunnel = fmt::format("tunnel with VNI {}, UDP port {}", vxlan.at("vni").get<std::uint32_t>(),
                                     vxlan.at("port").get<std::uint32_t>());
    if (vxlan.contains("vteps")) {
        const auto vteps = vxlan.at("vteps").get<std::uint64_t>(),
                   addresses = vxlan.at("addresses").get<std::uint64_t>();
        tunnel += fmt::format(", {} address{} behind {} VTEP{}", addresses, addresses == 1 ? "" : "es", vteps,
                              vteps == 1 ? "" : "s");
    }
    if (const auto underlays = vxlan.at("underlays").get<std::vector<std::string>>(); !underlays.empty())
        tunnel += fmt::format(": fast, in one step by {}", fmt::join(underlays, ", "));
    else if (vxlan.contains("why"))
        tunnel += ": left to the kernel: " + vxlan.at("why").get<std::string>();
    std::vector<std::string> lines = {std::move(tunnel)};
    if (vxlan.contains("why_not_encapsulated"))
        lines.push_back("into the tunnel: left to the kernel: " + vxlan.at("why_not_encapsulated").get<std::string>());
    return lines;
}

void print_carried(const nlohmann::json& bridge) {
    if (!bridge.contains("carries")) return;
    std::vector<std::string> tunnels;
    for (const nlohmann::json& one : bridge.at("carries"))
        tunnels.push_back(
            fmt::format("{} (VNI {})", one.at("name").get<std::string>(), one.at("vni").get<std::uint32_t>()));
    fmt::print("  tunnels: fast: {}\n", fmt::join(tunnels, ", "));
}

void print_plan(const nlohmann::json& bridge) {
    const bool fast = bridge.at("state") == "fast";
    const std::string vlans = vlan_aware_text(bridge);
    fmt::print("{}{}: {}\n", bridge.at("name").get<std::string>(), vlans.empty() ? "" : " (" + vlans + ")",
               fast ? "can go fast" : "left to the kernel: " + bridge.at("why").get<std::string>());
    if (fast) print_parts(bridge);
    if (fast) print_carried(bridge);
    std::vector<std::vector<std::string>> rows;
    for (const auto& port : bridge.at("ports")) {
        rows.push_back({port.at("name").get<std::string>(), hook_text(port), port.at("why").get<std::string>()});
        for (const std::string& line : vxlan_lines(port)) rows.push_back({"", "", line});
        if (port.contains("cost")) rows.push_back({"", "", "cost: " + port.at("cost").get<std::string>()});
        if (port.contains("why_not_xdp") && port.at("hook") != "kernel")
            rows.push_back({"", "", "not XDP: " + port.at("why_not_xdp").get<std::string>()});
        for (const std::string& refusal : vlan_refusals(port)) rows.push_back({"", "", refusal});
    }
    print_table(rows, "  ");
}

}  // namespace underpass
