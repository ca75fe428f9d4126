// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A bridge with four ports under Underpass, and a host at each: what the tests of time and life cycle are made on.
//
//   host A at port "a" ─┐         ┌─ host B at port "b"
//   host D at port "d" ─┴─ [br0] ─┴─ host C at port "c"
#pragma once

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "harness/frame_socket.h"
#include "harness/process.h"
#include "harness/test_net.h"
#include "model/host.h"

namespace underpass::test {

inline constexpr MacAddr kHostA = {{2, 0, 0, 0, 0xaa, 1}}, kHostB = {{2, 0, 0, 0, 0xaa, 2}},
                         kHostC = {{2, 0, 0, 0, 0xaa, 3}}, kHostD = {{2, 0, 0, 0, 0xaa, 4}};

// True where everything is slow (an emulated machine): times are told there, not judged.
bool is_emulated();

class Trial {
public:
    // `hook`: "tc", with local stacks behind the ports, or "xdp", with wires. Nothing is up yet.
    Trial(Net& net, const std::string& hook);

    void up() const;  // `underpass up br0 --hook HOOK`; throws its words if it fails

    const lab::Namespace& host() const { return host_; }
    // Of host "a" to "d"; its device there has the same name.
    const lab::Namespace& far(const std::string& name) const { return network_.space(name); }
    const std::string& hook() const { return hook_; }
    FrameSocket& a() { return a_; }
    FrameSocket& b() { return b_; }
    FrameSocket& c() { return c_; }
    FrameSocket& d() { return d_; }

    nlohmann::json ask(const std::string& operation) const;
    nlohmann::json status() const { return ask("status"); }
    pid_t daemon() const { return status().at("daemon").at("pid").get<pid_t>(); }
    void catch_up() const { ask("sync"); }

    // Frames at `at` from `source`, until it is believed to be there.
    void introduce(FrameSocket& at, const MacAddr& source);
    static constexpr std::uint16_t kNumberedPort = 4000;  // of UDP: those frames that have a number in them
    // A frame to `destination` with a number in it.
    static Frame numbered(const MacAddr& destination, std::uint32_t number, const MacAddr& source = kHostA);
    // The numbers of those frames of `source` that arrived, in their order.
    static std::vector<std::uint32_t> numbers(const std::vector<Frame>& frames, const MacAddr& source = kHostA);
    // All that arrives until `count` numbered frames of A have come, or the time is over.
    static std::vector<Frame> await(FrameSocket& at, std::size_t count, milliseconds time = milliseconds(1000));
    // Frames that came in by a port so far: by the fast path, because the heartbeat was old, and all. From the pinned
    // maps, so without a daemon too.
    struct Share {
        std::uint64_t fast = 0, stale = 0, all = 0;
    };
    Share share(const std::string& port = "a") const;

private:
    std::string hook_;
    const lab::Network& network_;
    const lab::Namespace& host_;
    FrameSocket a_, b_, c_, d_;
};

// Numbered frames at a steady rate, by a thread of its own, until stop().
class Stream {
public:
    using Clock = std::chrono::steady_clock;

    Stream(const FrameSocket& from, const MacAddr& source, const MacAddr& destination,
           std::chrono::microseconds interval);
    ~Stream() { stop(); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // The number of frames sent, or being sent: every later one has this number or a higher one.
    std::uint32_t begun() const { return begun_; }
    std::uint32_t stop();
    // Just before that one was sent.
    Clock::time_point time_of(std::uint32_t number) const { return times_[number]; }

private:
    std::vector<Clock::time_point> times_;  // never grows while the thread runs
    std::atomic<bool> ending_ = false;
    std::atomic<std::uint32_t> begun_ = 0;
    std::thread thread_;
};

// The calling thread stays on one CPU while this lives: frames that it sends one after another, also by different
// devices, are taken in that order.
class OnOneCpu {
public:
    OnOneCpu();
    ~OnOneCpu();
    OnOneCpu(const OnOneCpu&) = delete;
    OnOneCpu& operator=(const OnOneCpu&) = delete;

private:
    cpu_set_t before_;
};

// What the FDB map that is pinned for `host` has, and what the kernel's own FDB has.
std::set<FdbKey> map_fdb(const lab::Namespace& host);
std::set<FdbKey> kernel_fdb(const lab::Namespace& host);

// "min 0.1, median 0.2, 99th 0.9, max 1.0 ms"
std::string summary(const std::vector<double>& milliseconds_each);
double percentile(std::vector<double> values, double part);

}  // namespace underpass::test
