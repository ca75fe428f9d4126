// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The commands' side of the control socket.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

namespace underpass {

inline constexpr const char* kLeftBehind =
    "no daemon runs, but one has left its programs behind (they pass every frame to the kernel): "
    "`underpass down` without names removes them, `underpass up BRIDGE` takes them over";

// Asks the daemon of this network namespace; absent if none runs. If it ends with that, it has ended. Throws what it
// answers with if that is an error.
std::optional<nlohmann::json> ask(const nlohmann::json& request);

// Starts a daemon in the background and returns when it is ready, or another one runs (which may not answer yet, or may
// be about to end). Throws its own sentence if it cannot start.
void start_daemon();

}  // namespace underpass
