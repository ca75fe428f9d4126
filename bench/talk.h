// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Traffic between two local stacks: bulk TCP, request and response, new TCP connections, small UDP frames. Each end
// runs at its own place.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "bench/place.h"

namespace underpass::bench {

enum class Protocol { tcp, udp };

// Two ends and the address of the server's, IPv4 in text.
struct Ends {
    Place client;
    Place server;
    std::string server_address;
};

struct Bulk {
    double seconds = 0;
    std::uint64_t bytes = 0;  // that the receiver got
    double busy_seconds = 0;  // of all CPUs
};
// TCP streams by iperf3. Throws std::runtime_error with iperf3's own words.
Bulk measure_bulk(const Ends& ends, std::chrono::milliseconds time, std::uint32_t streams = 1);

struct RequestResponse {
    double seconds = 0;
    std::uint64_t transactions = 0;  // that were answered, UDP within 200 ms
    double p50_us = 0;
    double p99_us = 0;
    double busy_seconds = 0;
};
// One byte there, one byte back, one at a time on each connection, which have a thread each at either end. `warm_up`
// comes before and is not counted.
RequestResponse measure_request_response(Protocol protocol, const Ends& ends, std::chrono::milliseconds warm_up,
                                         std::chrono::milliseconds time, std::uint32_t connections = 1);
// A TCP connection for each: opened, one byte there, one byte back, and closed by the client, one at a time.
RequestResponse measure_connections(const Ends& ends, std::chrono::milliseconds warm_up,
                                    std::chrono::milliseconds time);

inline constexpr std::size_t kSmallPayload = 64 - 14 - 20 - 8;  // bytes, of UDP
struct SmallFrames {
    double seconds = 0;
    std::uint64_t received = 0;
    double busy_seconds = 0;
};
// UDP frames of 64 bytes (without FCS) as fast as one sender's sendmmsg makes them, of one socket after another.
SmallFrames measure_small_frames(const Ends& ends, std::chrono::milliseconds warm_up, std::chrono::milliseconds time,
                                 std::uint32_t sockets = 1);

}  // namespace underpass::bench
