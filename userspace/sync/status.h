// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the daemon says of itself, as JSON: the same for `status --json` and for the tables that people read.
#pragma once

#include <nlohmann/json.hpp>

#include "sync/engine.h"

namespace underpass {

// The port's name and index and, of a VLAN device, its VID and the device that runs its programs.
nlohmann::json port_name_json(const Host& host, const PortPlan& port);
// Of an EtherType in host order: "802.1Q", "802.1ad".
std::string vlan_protocol_name(std::uint16_t protocol);

// {name, index, state: "fast" | "kernel", why, ports: [{name, index, hook, why, cost, ...}]}. Times in milliseconds.
// `host` is what the plan was made of.
nlohmann::json plan_json(const Host& host, const BridgePlan& plan);

// Bridges with their ports, frames and bytes by reason, and the state of maps and daemon. `vlans`: each bridge's VLANs
// too, as vlans_json() makes them.
nlohmann::json status_json(const Engine& engine, bool vlans);

}  // namespace underpass
