// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The scenario `devices`: frames out of one device of this host, counted where they arrive at another. What is measured
// is whatever is between them: a host with two NICs, a switch, or a cable.
//
//   frames-N   frames of N bytes: how many come, how many are lost
//
// A command, run before each run, may change what is between them from side to side.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"
#include "bench/scenarios.h"
#include "model/ip.h"
#include "model/types.h"

namespace underpass::bench {

struct DeviceOptions {
    std::string from, to;  // in the network namespace of this process
    // For the shell, which gets the side as the last word and as UNDERPASS_SIDE; empty: there is one side.
    std::string sides = {};
    std::vector<std::uint16_t> sizes = {60, 1500};          // without FCS
    std::optional<MacAddr> destination_mac = std::nullopt;  // else that of `to`
    IpAddress source, destination;                          // IPv4
    std::uint16_t flows = 256;                              // UDP source ports
};

// Throws std::invalid_argument for what cannot be, std::runtime_error where a device is not there, or down.
Scenario devices_scenario(const DeviceOptions& options);

}  // namespace underpass::bench
