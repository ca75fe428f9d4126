// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Changes of the control plane at a rate: entries of a bridge's FDB, neighbours, routes, VLANs of a port. They are
// added, changed and deleted in turns, by netlink, several in one message to the kernel, and none concerns the bench's
// frames.
#pragma once

#include <cstdint>
#include <stop_token>

#include "bench/topology.h"

struct nlmsghdr;

namespace underpass::bench {

enum class ChangeKind { fdb, neighbour, route, vlan };

// Makes changes as long as it is told to.
class Changes {
public:
    Changes(const Topology& topology, ChangeKind kind, std::uint32_t per_second);

    struct Done {
        std::uint64_t in_time = 0;  // the kernel has said so of each batch
        double seconds = 0;         // that this took
        std::uint64_t all = 0;      // with those by which nothing is left in the end
    };
    // At the bridge, on this CPU, until the token stops. Throws NetlinkError, std::system_error.
    Done run(const std::stop_token& stop, int cpu);

private:
    void put(nlmsghdr* message, std::uint64_t number) const;
    void put_fdb(nlmsghdr* message, std::uint64_t number) const;
    void put_neighbour(nlmsghdr* message, std::uint64_t number) const;
    void put_route(nlmsghdr* message, std::uint64_t number) const;
    void put_vlan(nlmsghdr* message, std::uint64_t number) const;

    const Topology& topology_;
    ChangeKind kind_;
    std::uint32_t per_second_;
    std::uint32_t bridge_;
    std::uint32_t left_, right_;  // ports
};

}  // namespace underpass::bench
