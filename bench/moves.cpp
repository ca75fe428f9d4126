// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/moves.h"

#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <ctime>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "bench/frames.h"
#include "lab/interrupt.h"
#include "lab/link.h"
#include "loader/error.h"

namespace underpass::bench {

namespace {

using std::chrono::milliseconds;

constexpr std::uint16_t kBytes = 60;
constexpr std::uint16_t kMover = kHosts;  // behind those that others send to
constexpr std::uint32_t kGroup = 8;
constexpr std::uint32_t kPart = 32768;          // frames
constexpr milliseconds kCalm(3);                // behind a move: what is on its way comes out
constexpr std::uint64_t kMostNs = 10000000000;  // that a move may take
constexpr std::chrono::microseconds kPoll(20);
constexpr int kTries = 400;

std::uint64_t now_ns() {
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000000000 + static_cast<std::uint64_t>(now.tv_nsec);
}

MacAddr mac_of_mover() {
    MacAddr mac;
    std::ranges::copy(mac_of(Side::right, kMover), mac.bytes.begin());
    return mac;
}

std::string port_name(const Topology& topology, const Topology::End& end) {
    return topology.bridge().run([&] {
        char name[IF_NAMESIZE] = {};
        if (if_indextoname(end.port, name) == nullptr) throw_errno(errno, "name a device");
        return std::string(name);
    });
}

// Frames for the mover from the left, as long as it lives: in parts, between which the kernel has other things to do.
class Stream {
public:
    explicit Stream(const Topology& topology)
        : place_({topology.end(Ports::wires, Side::left).there.fd(), usable_cpus() - 1}) {
        run_at(place_, [&] {
            const auto all = udp_frames(Side::left, kMover + 1, kBytes);
            generator_.emplace(
                GeneratorOptions{
                    .ifindex = topology.end(Ports::wires, Side::left).device, .frame_bytes = kBytes, .batch = kGroup},
                std::vector<frame_template>{all.back()});
        });
        thread_ = std::jthread([this](const std::stop_token& stop) {
            try {
                run_at(place_, [&] {
                    for (; !stop.stop_requested() && !lab::is_interrupted(); part_++) {
                        begun_ns_ = now_ns();
                        generator_->send(kPart);
                    }
                });
            } catch (...) {
                failure_ = std::current_exception();
            }
        });
    }
    Stream(const Stream&) = delete;

    std::uint32_t part() const { return part_; }
    // When the part that is on its way was begun.
    std::uint64_t begun_ns() const { return begun_ns_; }
    // Throws what went wrong.
    void end() {
        thread_.request_stop();
        thread_.join();
        if (failure_) std::rethrow_exception(failure_);
    }

private:
    Place place_;
    std::optional<Generator> generator_;
    std::atomic<std::uint32_t> part_ = 0;
    std::atomic<std::uint64_t> begun_ns_ = 0;
    std::exception_ptr failure_;
    std::jthread thread_;
};

// Until frames of the part that is on its way come out there.
void wait_for_frames(const Stream& stream, const Sink& at) {
    for (const std::uint64_t start = now_ns(); now_ns() < start + kMostNs;) {
        lab::throw_if_interrupted();
        if (const std::uint64_t begun = stream.begun_ns(); begun != 0 && at.last_ns() > begun) return;
        std::this_thread::sleep_for(kPoll);
    }
    throw std::runtime_error("no frames come out for the MAC that is to be moved");
}

// Moves it, and waits for the first frame there.
double time_of_move(const std::string& port, Sink& to) {
    to.forget_first();
    const std::uint64_t start = now_ns();
    lab::set_fdb(port, mac_of_mover(), lab::FdbKind::sticky);
    while (now_ns() < start + kMostNs) {
        lab::throw_if_interrupted();
        const std::uint64_t first = to.first_ns();
        if (first >= start) return static_cast<double>(first - start) / 1000;
        if (first != 0) to.forget_first();  // was still on its way from before
        std::this_thread::sleep_for(kPoll);
    }
    throw std::runtime_error(fmt::format("no frame came out at {} within 10 s of the move", port));
}

}  // namespace

double percentile(std::vector<double> values, double share) {
    if (values.empty()) return 0;
    std::ranges::sort(values);
    const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(values.size())));
    return values[std::clamp<std::size_t>(rank, 1, values.size()) - 1];
}

std::vector<double> times_of_moves(const Topology& topology, std::size_t moves) {
    std::vector<double> times;
    std::array<std::optional<Sink>, 2> sinks;
    std::array<std::string, 2> ports;
    for (std::size_t i = 0; i < sinks.size(); i++) {
        const Topology::End& end = i == 0 ? topology.end(Ports::wires, Side::right) : topology.spare();
        end.there.run([&] { sinks[i].emplace(end.device); });
        sinks[i]->stamp(true);
        ports[i] = port_name(topology, end);
    }
    Stream stream(topology);
    run_at({topology.bridge().fd(), 0}, [&] {
        time_of_move(ports[0], *sinks[0]);
        std::size_t at = 0;
        for (int tries = 0; times.size() < moves && tries < kTries; tries++) {
            std::this_thread::sleep_for(kCalm);
            const std::uint32_t part = stream.part();
            wait_for_frames(stream, *sinks[at]);
            at = 1 - at;
            const double time = time_of_move(ports[at], *sinks[at]);
            // Between two parts no frame could come.
            if (stream.part() == part) times.push_back(time);
        }
        for (const std::string& port : ports) lab::delete_fdb(port, mac_of_mover());
    });
    stream.end();
    return times;
}

}  // namespace underpass::bench
