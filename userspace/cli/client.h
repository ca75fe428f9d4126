// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The commands' side of the control socket.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace underpass {

// Asks the daemon of this network namespace; absent if none runs. If it ends with that, it has ended. Throws what it
// answers with if that is an error.
std::optional<nlohmann::json> ask(const nlohmann::json& request);
// Its answer to `status`; throws if none runs, and says what one that crashed has left.
nlohmann::json ask_status(bool vlans = false);

// `underpass up`, in the calling thread's network namespace: asks the daemon, which is started in the background if
// none runs; its answer. Throws its own sentence if it cannot start.
// `rxvlan_off`: devices that strip VLAN tags may be told not to.
nlohmann::json bring_up(const std::vector<std::string>& bridges, bool all, const std::string& hook,
                        bool rxvlan_off = false);
// `underpass down`, likewise; no bridges: all. Where a daemon has crashed, what it left is removed.
nlohmann::json take_down(const std::vector<std::string>& bridges);

}  // namespace underpass
