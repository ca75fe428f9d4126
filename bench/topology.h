// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is measured on: a namespace with a bridge, and on each side of it a namespace with one veth.
//
//   left ns                    bridge ns                    right ns
//   ubench-l ===== ubench-pl [ubench-br] ubench-pr ===== ubench-r
//
// Everything has names of its own and goes with the object; what a killed run left is removed first. Wire: the veths
// carry frames as a wire would, with the offloads off that break it, and whole frames go in and
// out by XDP. Containers: both ends have addresses and a stack with all its offloads, as containers do.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "bench/frames.h"
#include "bench/generator.h"
#include "lab/namespace.h"

namespace underpass::bench {

inline constexpr const char* kBridge = "ubench-br";

enum class Ports { wire, containers };

class Topology {
public:
    explicit Topology(Ports ports);

    const lab::Namespace& bridge() const { return bridge_; }
    const lab::Namespace& end(Side side) const { return side == Side::left ? left_ : right_; }
    // Of the bridge's port, in the bridge's namespace.
    std::uint32_t port(Side side) const { return side == Side::left ? left_port_ : right_port_; }
    // Of the device beyond it, in that side's namespace.
    std::uint32_t device(Side side) const { return side == Side::left ? left_device_ : right_device_; }
    // Of a container.
    static std::string address(Side side) { return side == Side::left ? "10.66.0.1" : "10.66.0.2"; }

private:
    void make_side(Side side, Ports ports);

    lab::Namespace left_, bridge_, right_;
    std::uint32_t left_port_ = 0, right_port_ = 0, left_device_ = 0, right_device_ = 0;
};

// Frames through a wire topology: a generator and a sink at either end. Every host of the bench is made known to the
// bridge (and whatever mirrors it) before a measurement.
class Traffic {
public:
    // Forward: from left to right, at `cpu`.
    Traffic(const Topology& topology, std::uint16_t frame_bytes, std::uint16_t pairs, std::uint16_t flows, int cpu);

    // One frame from every host of both sides, twice: the first makes the bridge learn it, and Underpass, which by then
    // has read the bridge's entry, believes it when the host has been seen once more.
    void learn();

    struct Passed {
        double seconds = 0;
        std::uint64_t sent = 0;
        std::uint64_t received = 0;  // at the right
        double busy_seconds = 0;     // of the generator's CPU
    };
    Passed forward(std::chrono::milliseconds time);

private:
    const Topology& topology_;
    std::uint16_t pairs_;
    int cpu_;
    std::optional<Sink> left_sink_, right_sink_;
    std::optional<Generator> from_left_, from_right_;
};

}  // namespace underpass::bench
