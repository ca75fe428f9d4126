// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the commands share: privilege, the daemon's answers, tables and units for people.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace underpass {

// Throws a sentence with the way out unless we are root.
void require_root();

// Throws the daemon's own sentence if `answer` is an error.
void require_ok(const nlohmann::json& answer);

// "12.3 k", "4.5 M"
std::string count_text(std::uint64_t count);
// "12.3 kB", "4.5 GB"
std::string bytes_text(std::uint64_t bytes);

// Rows of equal length as columns, each as wide as its widest cell; the last is not padded.
void print_table(const std::vector<std::vector<std::string>>& rows, const std::string& indent);

// Of a bridge or device as plan_json() gives it: "fast" and of which flows, or why packets are the kernel's to route.
std::string bridging_text(const nlohmann::json& bridge);
std::string routing_text(const nlohmann::json& bridge);
// A line for each of the two.
void print_parts(const nlohmann::json& bridge);
// "VLAN-aware, 802.1Q", or nothing. `bridge` as plan_json() makes it, as below.
std::string vlan_aware_text(const nlohmann::json& bridge);
// "tc", or "tc by eth0" of a VLAN device whose programs are there.
std::string hook_text(const nlohmann::json& port);
// "VLAN 5: left to the kernel: ..." each.
std::vector<std::string> vlan_refusals(const nlohmann::json& port);

// Of a VXLAN device: its VNI, and what is left to the kernel. Else nothing.
std::vector<std::string> vxlan_lines(const nlohmann::json& port);
// "carries vxlan7 (VNI 7)" of an underlay; else nothing.
void print_carried(const nlohmann::json& bridge);

// One line a port: where its frames go and why. `bridge` as plan_json() makes it.
void print_plan(const nlohmann::json& bridge);

}  // namespace underpass
