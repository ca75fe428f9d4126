// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// UDP connections through the host of a routed topology: frames from the left, and answers from the right. Connection
// number n is of host n % hosts of either side; each host of the left has one partner at the right, so that
// masquerading finds every port free.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "bench/generator.h"
#include "bench/topology.h"

namespace underpass::bench {

struct Connections {
    std::uint16_t hosts = 1;
    std::uint16_t ports = 1;  // of each host
    bool translated = false;  // the right sees the router's address
    bool bridged = false;     // no router: from each host straight to its partner's MAC

    std::uint32_t count() const { return std::uint32_t{hosts} * ports; }
};

class RoutedTraffic {
public:
    RoutedTraffic(const Topology& topology, const Connections& connections, std::uint16_t frame_bytes,
                  std::uint16_t first_port = FLOW_PORT_BASE);

    struct Opened {
        double seconds = 0;  // from the first frame sent to the last one that came out
        std::uint64_t received = 0;
    };
    // One frame of every connection from the left, one after another.
    Opened open();
    // One of every connection from the right.
    void answer();
    // Each connection from either end, three times: the bridge learns, and conntrack has seen both directions.
    void learn();
    Traffic::Passed forward(const Load& load);
    // The bytes of one from the left.
    std::vector<unsigned char> frame() { return from_left_->frame(); }

private:
    void add(const Topology::End& end, Side side, const Connections& connections, std::uint16_t frame_bytes,
             std::uint16_t first_port);
    Place place(Side side) const;

    const Topology& topology_;
    std::uint32_t count_;
    int cpu_;
    std::optional<Sink> left_sink_, right_sink_;
    std::optional<Generator> from_left_, from_right_;
};

}  // namespace underpass::bench
