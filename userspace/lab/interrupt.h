// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Ctrl-C, SIGTERM and SIGHUP end long work in good order: they raise a flag, the next step throws Interrupted, and
// destructors take everything down on the way out.
#pragma once

#include <chrono>
#include <exception>

namespace underpass::lab {

struct Interrupted : std::exception {
    const char* what() const noexcept override { return "interrupted"; }
};

// Once, at the start of main.
void watch_for_interrupts();
bool is_interrupted();
void throw_if_interrupted();
// Sleeps in short steps; throws Interrupted.
void pause_for(std::chrono::milliseconds time);

}  // namespace underpass::lab
