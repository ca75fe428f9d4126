// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a profile is made of: a scenario's network, and the frames that go through it from wire to wire.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/topology.h"

namespace underpass::bench {

// Traffic of any kind.
class Frames {
public:
    virtual ~Frames() = default;
    virtual void learn() = 0;
    virtual Traffic::Passed forward(std::chrono::milliseconds time) = 0;
    // The bytes of one of those.
    virtual std::vector<unsigned char> frame() = 0;
};

struct ProfiledCase {
    std::string scenario, name;
    Side from;                  // the wire that the frames come in by
    std::optional<int> longer;  // bytes by which they leave longer, where that says that they go fast
    std::function<std::unique_ptr<Topology>()> build;
    std::function<std::unique_ptr<Frames>(const Topology&)> start;
};

// Those of the scenarios whose frames come from wires.
const std::vector<ProfiledCase>& profiled_cases();

}  // namespace underpass::bench
