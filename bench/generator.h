// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames at millions per second from one CPU, and the count of those that came out at the other end.
//
// The kernel makes live frames (BPF_F_TEST_XDP_LIVE_FRAMES) and our program redirects them to a device, so they come
// in at the device's other end as from a wire. A veth's other end takes them only if it runs NAPI (GRO on, or an XDP
// program there); what it refuses is lost in silence, so only what the sink counts counts.
//
// Everything here belongs to a network namespace: make and use it in a thread that is there (see place.h).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bench/bpf/frame_template.h"
#include "loader/fd.h"
#include "pktgen/traffic.h"

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
    // Each frame begins a little later than the kernel made it. Linux 6.1 sends a frame that it has had back as the
    // driver left it, unless the program moves its head: virtio_net then sends headers with nothing behind them, until
    // QEMU stops the device.
    bool moved = false;
    std::uint32_t batch = 64;  // frames between two flushes; a veth's ring has 256 places
};

// Who makes the traffic: live frames or the kernel's packet generator, and what stacks say to each other as a part of
// it; or a program that talks between stacks, and nothing else.
enum class GeneratorKind { frames, pktgen, iperf3, sockperf };
inline constexpr std::array kGeneratorNames = {"frames", "pktgen", "iperf3", "sockperf"};

inline const char* name(GeneratorKind kind) {
    return kGeneratorNames.at(static_cast<std::size_t>(kind));
}
inline bool makes_frames(GeneratorKind kind) {
    return kind == GeneratorKind::frames || kind == GeneratorKind::pktgen;
}

struct Load {
    std::chrono::milliseconds time{};
    double rate = 0;  // frames a second; 0: as many as can be
    GeneratorKind by = GeneratorKind::frames;
};

struct Sent {
    std::uint64_t frames = 0;
    double seconds = 0;  // from the first frame on
};

class Generator {
public:
    // Throws std::system_error, std::invalid_argument.
    Generator(const GeneratorOptions& options, const std::vector<frame_template>& frames);

    // Both end early if the process was told to stop. send() returns how many it sent.
    std::uint64_t send(std::uint32_t frames);
    // By pktgen from the CPU that the caller is on. Throws std::runtime_error where pktgen cannot make these frames, or
    // what pktgen::Generator does.
    Sent send_for(const Load& load);
    // The bytes of the next frame, which counts as sent and goes nowhere.
    std::vector<unsigned char> frame();
    // When the first frame of the last send() was made, by CLOCK_MONOTONIC. The kernel prepares for some milliseconds
    // before, and cleans up after the last.
    std::uint64_t begun_ns() const;

private:
    void run(std::uint32_t repeat);
    Sent send_by_pktgen(const Load& load) const;

    GeneratorSkeleton skeleton_;
    GeneratorOptions options_;
    std::vector<unsigned char> body_;
    std::optional<pktgen::Traffic> ranges_;  // the same frames as pktgen is told of them
};

// What a sink counts, and what it does with the rest.
enum class Counts {
    bench_macs,  // frames to the bench's own MACs; it takes every frame
    marked,      // frames with the mark; all others go on
};

// Takes frames that come out of a device, and counts the bench's own. By XDP; gone with the object.
class Sink {
public:
    // Native, or, to count marked ones, generic where the driver has no XDP. Throws std::system_error (EBUSY: another
    // program is there).
    explicit Sink(std::uint32_t ifindex, Counts counts = Counts::bench_macs);

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
