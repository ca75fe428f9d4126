// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// ICMP and ICMPv6 echoes from the calling thread's network namespace.
//
// An answer counts if it is whole: from the address that was asked, with our identifier, a sequence number that was
// sent, and the payload as it was. That nobody answers is a result, with the reason that the network gave.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "model/ip.h"

namespace underpass::lab {

struct PingOptions {
    // Several: the first frames of a flow may go another way than those that follow.
    std::size_t count = 5;
    std::chrono::milliseconds interval{10};
    std::chrono::milliseconds timeout{1000};  // from the last echo on
    std::size_t payload = 56;                 // bytes
};

struct PingResult {
    // Of each echo, in the order in which they were sent, how long its answer took; absent: there was none.
    std::vector<std::optional<std::chrono::nanoseconds>> echoes;
    std::string reason;  // why not all are answered; empty: they are

    std::size_t answered() const;
    bool all_answered() const { return answered() == echoes.size(); }
    // The shortest time; absent: no echo was answered.
    std::optional<std::chrono::nanoseconds> best() const;
};

// Needs CAP_NET_RAW. Ends early once all are answered, and soon after a router or this host said that the address
// cannot be reached. Throws std::system_error without a socket, Interrupted (interrupt.h).
PingResult ping(const IpAddress& to, const PingOptions& options = {});

}  // namespace underpass::lab
