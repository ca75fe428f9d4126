// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the daemon says of itself, as JSON: the same for `status --json` and for the tables that people read.
#pragma once

#include <nlohmann/json.hpp>

#include "sync/engine.h"

namespace underpass {

// {name, index, state: "fast" | "kernel", why, ports: [{name, index, hook, why, cost, ...}]}. Times in milliseconds.
nlohmann::json plan_json(const BridgePlan& plan);

// Bridges with their ports, frames and bytes by reason, and the state of maps and daemon.
nlohmann::json status_json(const Engine& engine);

}  // namespace underpass
