// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Addresses and routes of the calling thread's network namespace.
//
// Whatever the kernel refuses is a NetlinkError that names the address or the route.
#pragma once

#include <string>

#include "model/ip.h"

namespace underpass::lab {

struct Route;  // spec.h, which those who only add addresses do not need

// The host's address with the subnet it is in. IPv6 is usable at once: no duplicate address detection.
void add_address(const std::string& device, const IpPrefix& address);
// "10.1.0.1/24" or "fd00::1/64"; throws std::invalid_argument for anything else.
void add_address(const std::string& device, const std::string& address);

// A static route of the main table. `via` without `dev`: the kernel finds the device, so the gateway must be in a
// subnet that is there already. `dev` without `via`: what it leads to is on the link.
void add_route(const Route& route);

}  // namespace underpass::lab
