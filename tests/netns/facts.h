// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What Underpass could leave behind in a network namespace, as text by name: every device's attributes, offloads and
// MTU limits, qdiscs, filters and programs, and, for a namespace that it may run in, pins, run-time files and
// processes. Read by other ways than those that Underpass takes where there are others (ip, tc).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lab/namespace.h"

namespace underpass::test {

using Facts = std::map<std::string, std::string>;

// Of the namespace, and of others that the ports lead to. What changes by itself (timers, counters, FDB) is left out.
Facts facts_of(const lab::Namespace& host, const std::vector<const lab::Namespace*>& far = {});

// "+" and "-" lines; empty if they are equal.
std::string changes(const Facts& before, const Facts& after);

// Waits a moment for what ends in the background (a daemon, programs that the kernel frees later) to be gone.
std::string lasting_changes(const Facts& before, const lab::Namespace& host,
                            const std::vector<const lab::Namespace*>& far = {});

}  // namespace underpass::test
