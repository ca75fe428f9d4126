// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The control socket: one JSON object a line, one answer a request. Root only, by the mode of its directory.
//
// The server never waits for a client: a slow or broken one keeps nothing but its own answer waiting.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "loader/fd.h"

namespace underpass {

class ControlServer {
public:
    using Handler = std::function<nlohmann::json(const nlohmann::json&)>;

    // Listens at `path`, replacing a socket that nobody listens at.
    ControlServer(const std::filesystem::path& path, Handler handler);

    struct Interest {
        int fd = -1;
        bool write = false;  // wants to know when it can be written to
    };
    // What to wait for now; changes with every call of on_ready().
    std::vector<Interest> interests() const;
    // `fd` is readable, writable or hung up. Does nothing if it is not the server's.
    void on_ready(int fd);

private:
    struct Client {
        Fd fd;
        std::string in;
        std::string out;
    };

    void accept_one();
    bool serve(Client& client);  // false: done with it

    Fd listener_;
    Handler handler_;
    std::map<int, Client> clients_;
};

// It ended after it was asked.
struct DaemonGone : std::runtime_error {
    using runtime_error::runtime_error;
};

// Asks the daemon at `path`. Absent: no daemon listens there. Throws std::runtime_error if it does not answer sensibly.
std::optional<nlohmann::json> control_request(const std::filesystem::path& path, const nlohmann::json& request);

}  // namespace underpass
