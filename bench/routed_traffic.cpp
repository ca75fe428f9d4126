// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/routed_traffic.h"

#include <vector>

#include "bench/frames.h"
#include "lab/interrupt.h"

namespace underpass::bench {

namespace {

std::uint32_t destination(Side from, std::uint16_t host, bool translated) {
    if (from == Side::left) return address_of(Side::right, host);
    return translated ? Topology::router_address(Side::right) : address_of(Side::left, host);
}

}  // namespace

RoutedTraffic::RoutedTraffic(const Topology& topology, const Connections& connections, std::uint16_t frame_bytes,
                             std::uint16_t first_port)
    : topology_(topology), count_(connections.count()), cpu_(usable_cpus() - 1) {
    for (const Side side : {Side::left, Side::right}) {
        const Topology::End& end = topology.end(Ports::wires, side);
        end.there.run([&] { add(end, side, connections, frame_bytes, first_port); });
    }
}

void RoutedTraffic::add(const Topology::End& end, Side side, const Connections& connections, std::uint16_t frame_bytes,
                        std::uint16_t first_port) {
    (side == Side::left ? left_sink_ : right_sink_).emplace(end.device);
    std::vector<frame_template> frames;
    for (std::uint16_t host = 0; host < connections.hosts; host++)
        frames.push_back(routed_frame(side, host,
                                      connections.bridged ? mac_of(other(side), host) : Topology::router_mac(side),
                                      destination(side, host, connections.translated), frame_bytes));
    const GeneratorOptions options = {.ifindex = end.device,
                                      .frame_bytes = frame_bytes,
                                      .flows = connections.ports,
                                      .first_port = first_port,
                                      .answers = side == Side::right};
    (side == Side::left ? from_left_ : from_right_).emplace(options, frames);
}

Place RoutedTraffic::place(Side side) const {
    return {topology_.end(Ports::wires, side).there.fd(), cpu_};
}

RoutedTraffic::Opened RoutedTraffic::open() {
    right_sink_->stamp(true);
    const auto passed =
        Traffic::pass(place(Side::left), *right_sink_, [this] { return Sent{.frames = from_left_->send(count_)}; });
    right_sink_->stamp(false);
    if (passed.received == 0) return {};
    return {static_cast<double>(right_sink_->last_ns() - from_left_->begun_ns()) / 1e9, passed.received};
}

void RoutedTraffic::answer() {
    run_at(place(Side::right), [this] { from_right_->send(count_); });
    lab::throw_if_interrupted();
}

void RoutedTraffic::learn() {
    constexpr std::chrono::milliseconds kMirrored(60);  // longer than the daemon takes
    for (int round = 0; round < 3; round++) {
        open();
        answer();
        lab::pause_for(kMirrored);
    }
}

Traffic::Passed RoutedTraffic::forward(const Load& load) {
    return Traffic::pass(place(Side::left), *right_sink_, [&] { return from_left_->send_for(load); });
}

}  // namespace underpass::bench
