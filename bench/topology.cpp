// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/topology.h"

#include <filesystem>

#include "bench/cpu_time.h"
#include "bench/interrupt.h"
#include "bench/place.h"
#include "lab/ethtool.h"
#include "lab/link.h"

namespace underpass::bench {

namespace {

const char* name(Side side) { return side == Side::left ? "l" : "r"; }
std::string device_name(Side side) { return std::string("ubench-") + name(side); }
std::string port_name(Side side) { return std::string("ubench-p") + name(side); }

// Quiet: no IPv6 that would speak unasked, and no iptables for bridged frames where the kernel could have them.
lab::Namespace quiet_namespace(const std::string& name) {
    lab::Namespace::remove(name);
    auto made = lab::Namespace::create(name);
    made.run([] {
        for (const char* device : {"all", "default"})
            if (std::filesystem::exists("/proc/sys/net/ipv6")) lab::disable_ipv6(device);
        for (const char* tables : {"iptables", "ip6tables", "arptables"})
            if (std::filesystem::exists("/proc/sys/net/bridge"))
                lab::set_sysctl(std::string("bridge/bridge-nf-call-") + tables, "0");
    });
    return made;
}

}  // namespace

Topology::Topology(Ports ports)
    : left_(quiet_namespace("ubench-left")),
      bridge_(quiet_namespace("ubench-bridge")),
      right_(quiet_namespace("ubench-right")) {
    bridge_.run([] { lab::create_bridge(kBridge); });
    for (const Side side : {Side::left, Side::right}) make_side(side, ports);
    bridge_.run([] { lab::set_up(kBridge); });
}

void Topology::make_side(Side side, Ports ports) {
    const std::string device = device_name(side), port = port_name(side);
    (side == Side::left ? left_port_ : right_port_) = bridge_.run([&] {
        lab::create_veth(port, device, {.peer_namespace = &end(side)});
        lab::set_master(port, kBridge);
        if (ports == Ports::wire) lab::make_wire_like(port);
        lab::set_up(port);
        return static_cast<std::uint32_t>(lab::ifindex(port));
    });
    (side == Side::left ? left_device_ : right_device_) = end(side).run([&] {
        if (ports == Ports::wire) lab::make_wire_like(device);
        if (ports == Ports::containers) lab::add_address(device, address(side) + "/24");
        lab::set_up(device);
        return static_cast<std::uint32_t>(lab::ifindex(device));
    });
}

Traffic::Traffic(const Topology& topology, std::uint16_t frame_bytes, std::uint16_t pairs, std::uint16_t flows, int cpu)
    : topology_(topology), pairs_(pairs), cpu_(cpu) {
    // A sink at both ends: it also makes the device take what is redirected to its port.
    for (const Side side : {Side::left, Side::right})
        topology.end(side).run([&] {
            (side == Side::left ? left_sink_ : right_sink_).emplace(topology.device(side));
            const GeneratorOptions options = {
                .ifindex = topology.device(side), .frame_bytes = frame_bytes, .flows = flows};
            (side == Side::left ? from_left_ : from_right_).emplace(options, udp_frames(side, pairs, frame_bytes));
        });
}

void Traffic::learn() {
    // Longer than the daemon takes to read what the bridge learnt.
    constexpr std::chrono::milliseconds kMirrored(60);
    for (int round = 0; round < 2; round++) {
        run_at({topology_.end(Side::right).fd(), cpu_}, [&] { from_right_->send(pairs_); });
        run_at({topology_.end(Side::left).fd(), cpu_}, [&] { from_left_->send(pairs_); });
        pause_for(kMirrored);
    }
}

Traffic::Passed Traffic::forward(std::chrono::milliseconds time) {
    Passed passed;
    run_at({topology_.end(Side::left).fd(), cpu_}, [&] {
        const std::uint64_t before = right_sink_->count().frames;
        const CpuTime cpu({cpu_});
        const auto start = std::chrono::steady_clock::now();
        passed.sent = from_left_->send_for(time);
        passed.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        passed.busy_seconds = cpu.busy_seconds();
        passed.received = right_sink_->count().frames - before;
    });
    throw_if_interrupted();
    return passed;
}

}  // namespace underpass::bench
