// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames at millions per second from one CPU, and the count of those that came out at the other end.
//
// The kernel makes live frames (BPF_F_TEST_XDP_LIVE_FRAMES) and our program redirects them to a device, so they come
// in at the device's other end as from a wire. A veth's other end takes them only if it runs NAPI (GRO on, or an XDP
// program there); what it refuses is lost in silence, so only what the sink counts counts.
//
// Everything here belongs to a network namespace: make and use it in a thread that is there (see place.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "bench/bpf/frame_template.h"
#include "loader/fd.h"

struct bench_generator;

namespace underpass::bench {

struct SkeletonDeleter {
    void operator()(bench_generator* skeleton) const noexcept;
};
using GeneratorSkeleton = std::unique_ptr<bench_generator, SkeletonDeleter>;

struct GeneratorOptions {
    std::uint32_t ifindex = 0;       // where the frames leave
    std::uint16_t frame_bytes = 60;  // the tag included
    bool tagged = false;             // the templates have a VLAN tag
    std::uint16_t flows = 1;         // UDP source ports, one more at each round of the templates
    std::uint16_t first_port = FLOW_PORT_BASE;
    bool answers = false;       // the flows are the destination ports
    outer_template outer = {};  // present: each frame is in a tunnel; `frame_bytes` without it
    std::uint32_t batch = 64;   // frames between two flushes; a veth's ring has 256 places
};

class Generator {
public:
    // Throws std::system_error, std::invalid_argument.
    Generator(const GeneratorOptions& options, const std::vector<frame_template>& frames);

    // Both return the frames sent. They end early if the process was told to stop.
    std::uint64_t send(std::uint32_t frames);
    std::uint64_t send_for(std::chrono::nanoseconds time);
    // The bytes of the next frame, which counts as sent and goes nowhere.
    std::vector<unsigned char> frame();
    // When the first frame of the last send() was made, by CLOCK_MONOTONIC. The kernel prepares for some milliseconds
    // before, and cleans up after the last.
    std::uint64_t begun_ns() const;

private:
    void run(std::uint32_t repeat);

    GeneratorSkeleton skeleton_;
    GeneratorOptions options_;
    std::vector<unsigned char> body_;
};

// Takes every frame that comes out of a device, and counts the bench's own. Native XDP; gone with the object.
class Sink {
public:
    explicit Sink(std::uint32_t ifindex);

    sink_count count() const;
    // When the last frame came while this was on, by CLOCK_MONOTONIC.
    void stamp(bool on);
    std::uint64_t last_ns() const;
    // When the first one came since forget_first(), while this was on; 0: none.
    std::uint64_t first_ns() const;
    void forget_first();

private:
    GeneratorSkeleton skeleton_;
    Fd link_;  // the program stays on the device as long as this is open
};

}  // namespace underpass::bench
