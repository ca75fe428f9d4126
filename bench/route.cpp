// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/route.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <stdexcept>

#include "lab/interrupt.h"

namespace underpass::bench {

namespace {

using std::chrono::milliseconds;

constexpr std::uint16_t kBytes = 60;
constexpr std::uint16_t kConnections = 1024;
constexpr milliseconds kWarmUp(300);

struct Case {
    const char* name;
    bool translated;
    const char* rules;
};

const std::vector<Case>& cases() {
    static const std::vector<Case> all = {
        {"route", false, ""},
        {"nat", true,
         "table ip n { chain post { type nat hook postrouting priority srcnat; oifname wr masquerade; }; }"},
        {"nat-filter", true,
         "table ip n { chain post { type nat hook postrouting priority srcnat; oifname wr masquerade; }; }\n"
         "table inet f { chain forward { type filter hook forward priority filter; policy drop; "
         "ct state established,related accept; ct state invalid drop; iifname ubench-br oifname wr accept; }; }"}};
    return all;
}

class RoutedTraffic {
public:
    RoutedTraffic(const Topology& topology, bool translated, int cpu) : topology_(topology), cpu_(cpu) {
        for (const Side side : {Side::left, Side::right})
            end(side).there.run([&] {
                (side == Side::left ? left_sink_ : right_sink_).emplace(end(side).device);
                const bool answers = side == Side::right;
                const std::uint32_t to = !answers     ? address_of(Side::right, 0)
                                         : translated ? Topology::router_address(Side::right)
                                                      : address_of(Side::left, 0);
                const GeneratorOptions options = {
                    .ifindex = end(side).device, .frame_bytes = kBytes, .flows = kConnections, .answers = answers};
                (answers ? from_right_ : from_left_)
                    .emplace(options, std::vector{routed_frame(side, Topology::router_mac(side), to, kBytes)});
            });
    }

    // Each connection once from either end: the bridge learns, and conntrack has seen both directions.
    void learn() {
        constexpr milliseconds kMirrored(60);  // longer than the daemon takes
        for (int round = 0; round < 3; round++) {
            send(Side::left);
            send(Side::right);
            lab::pause_for(kMirrored);
        }
    }

    Traffic::Passed forward(milliseconds time) {
        return Traffic::pass({end(Side::left).there.fd(), cpu_}, *from_left_, *right_sink_, time);
    }

private:
    const Topology::End& end(Side side) const { return topology_.end(Ports::wires, side); }
    void send(Side side) {
        run_at({end(side).there.fd(), cpu_},
               [&] { (side == Side::left ? from_left_ : from_right_)->send(kConnections); });
    }

    const Topology& topology_;
    int cpu_;
    std::optional<Sink> left_sink_, right_sink_;
    std::optional<Generator> from_left_, from_right_;
};

void measure(const Topology& topology, const Case& each, const RunOptions& options, const Add& add) {
    RoutedTraffic traffic(topology, each.translated, usable_cpus() - 1);
    traffic.learn();
    traffic.forward(kWarmUp);
    const auto passed = traffic.forward(options.time);
    if (passed.received == 0) throw std::runtime_error(fmt::format("{}: no frame came out", each.name));
    add("frames", "frames/s", static_cast<double>(passed.received) / passed.seconds);
    add("CPU per frame", "ns", passed.busy_seconds * 1e9 / static_cast<double>(passed.received));
}

}  // namespace

const std::vector<std::string>& route_cases() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const Case& each : cases()) all.emplace_back(each.name);
        return all;
    }();
    return names;
}

Report run_route(const RunOptions& options) {
    Runner runner("route", options);
    for (const Case& each : cases()) {
        if (!runner.wants(each.name)) continue;
        const Topology topology(fmt::format("ubench-{}", each.name), each.rules);
        const Measure one = [&](const std::string&, const Add& add) { measure(topology, each, options, add); };
        for (const Hook hook : {Hook::xdp, Hook::tc})
            runner.run({{topology, Ports::wires, each.name, kSides, one}}, hook);
    }
    Report report = runner.take();
    report.note(
        fmt::format("{} UDP connections, frames of {} bytes from a bridge's port to an uplink.", kConnections, kBytes));
    return report;
}

}  // namespace underpass::bench
