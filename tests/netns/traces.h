// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What Underpass could leave behind in a network namespace, as texts to compare: pins, notes, programs, qdiscs, and
// what is set at each device.
#pragma once

#include <map>
#include <string>

#include "lab/namespace.h"

namespace underpass::test {

using Traces = std::map<std::string, std::string>;  // by what it is

// Everything but what changes of itself (statistics, timers, addresses that were learnt).
Traces traces(const lab::Namespace& where);
// Line by line; empty if they are the same.
std::string difference(const Traces& before, const Traces& after);

// Nothing of Underpass is there now. Else what is.
std::string underpass_traces(const lab::Namespace& where);

}  // namespace underpass::test
