// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The kernel's connection tracking, prepared for many connections.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace underpass::bench {

// Room for so many connections in a namespace. The kernel has one size for all of them: nf_conntrack_max and
// nf_conntrack_buckets of the calling thread's namespace are raised where they are lower, and put back with the object.
// The table has to be there (a rule that needs it loads it). Throws std::system_error where they cannot be written,
// which is in every namespace but the first.
class ConntrackRoom {
public:
    explicit ConntrackRoom(std::uint32_t connections);
    ConntrackRoom(ConntrackRoom&&) = delete;
    ~ConntrackRoom();

private:
    void put_back() noexcept;

    std::vector<std::pair<std::string, std::string>> before_;
};

// Connections that this namespace may have.
std::uint32_t conntrack_max();

// UDP connections of the calling thread's namespace stay for longer than any measurement takes.
void keep_udp_connections();

// All connections of the calling thread's namespace are forgotten. Throws NetlinkError.
void forget_connections();

}  // namespace underpass::bench
