// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames from one device of this host to another, by the calling process's network namespace. They have a mark, so what
// else arrives there is nobody's count, and goes on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "bench/devices.h"
#include "bench/generator.h"
#include "bench/topology.h"

namespace underpass::bench {

// Both throw std::runtime_error, a sentence, if there is no such device, or it is down. Its index.
std::uint32_t require_device(const std::string& name);
std::uint32_t require_up(const std::string& name);

// Sinks at both devices, as long as this lives.
class DeviceSinks {
public:
    // Throws std::runtime_error: as require_up() does, and where a device has another XDP program or no carrier.
    DeviceSinks(const std::string& from, const std::string& to);

    std::uint32_t from() const { return from_; }
    std::uint32_t to() const { return to_; }
    // Frames that have come to `to`: asked for until no more come.
    std::uint64_t settled() const;

private:
    std::uint32_t from_, to_;
    std::optional<Sink> at_from_, at_to_;
};

class DeviceTraffic {
public:
    DeviceTraffic(const DeviceOptions& options, const DeviceSinks& sinks, std::uint16_t frame_bytes, int cpu);

    // Some frames each way, so that who is between the devices learns where they are.
    void learn();
    Traffic::Passed forward(const Load& load);

private:
    const DeviceSinks& sinks_;
    int cpu_;
    frame_template there_, back_;  // to be learnt by
    Generator generator_;
};

}  // namespace underpass::bench
