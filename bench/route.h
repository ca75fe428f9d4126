// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Packets from a bridge to an uplink, by the host's routes alone (route), masqueraded (nat), and masqueraded through a
// stateful filter (nat-filter).
//
//   frames-60   60-byte frames of connections that the far end has answered once, in one direction
//   tcp-bulk    one TCP stream between two stacks
//   tcp-rr      one byte there, one back, one at a time, in one connection
//   tcp-crr     the same in a new connection each time, which is closed then
//
// TCP over wires by XDP; container-to-uplink is the same between containers with their offloads, by TC.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/report.h"
#include "bench/runner.h"
#include "bench/talk_figures.h"

namespace underpass::bench {

struct RouteCase {
    const char* name;  // of the scenario
    bool translated;
    std::string rules;
};
// route, nat, nat-filter.
const std::vector<RouteCase>& routes();
inline constexpr std::uint16_t kRouteConnections = 1024;

std::vector<std::string> route_cases();
std::vector<Talk> route_talks();  // of them those between stacks
std::vector<Talk> container_to_uplink_talks();

void run_route(const RunOptions& options, Report& report);
void run_nat(const RunOptions& options, Report& report);
void run_nat_filter(const RunOptions& options, Report& report);
void run_container_to_uplink(const RunOptions& options, Report& report);

}  // namespace underpass::bench
