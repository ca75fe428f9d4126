// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where a piece of the bench runs: in which network namespace, on which CPU. A place belongs to a thread, so that the
// main thread stays where it is and starts its children anywhere.
#pragma once

#include <functional>

namespace underpass::bench {

struct Place {
    int netns = -1;  // a descriptor that its owner keeps open; -1: the caller's
    int cpu = -1;    // -1: any
};

// Moves the calling thread there for good. Throws std::system_error.
void move_to(const Place& place);
// Runs `work` in a thread of its own there and waits for it. Its exception is the caller's.
void run_at(const Place& place, const std::function<void()>& work);

// The CPUs that this process may use.
int usable_cpus();

}  // namespace underpass::bench
