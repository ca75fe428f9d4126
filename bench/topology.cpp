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

const char* letter(Side side) {
    return side == Side::left ? "l" : "r";
}

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

Topology::Topology(Ports ports) : bridge_(quiet_namespace("ubench-bridge")) {
    bridge_.run([] { lab::create_bridge(kBridge); });
    for (const Side side : {Side::left, Side::right}) {
        if (ports != Ports::containers) wires_.emplace(side, make_end(std::string("w") + letter(side), true));
        if (ports == Ports::wires) continue;
        const End& end = containers_.emplace(side, make_end(std::string("c") + letter(side), false)).first->second;
        end.there.run([&] { lab::add_address(std::string("ubench-c") + letter(side), address(side) + "/24"); });
    }
    bridge_.run([] { lab::set_up(kBridge); });
}

Topology::End Topology::make_end(const std::string& name, bool wire_like) {
    const std::string device = "ubench-" + name;
    const std::string port = "ubench-" + name.substr(0, 1) + "p" + name.substr(1);
    End end = {.there = quiet_namespace(device)};
    end.port = bridge_.run([&] {
        lab::create_veth(port, device, {.peer_namespace = &end.there});
        lab::set_master(port, kBridge);
        if (wire_like) lab::make_wire_like(port);
        lab::set_up(port);
        return number(lab::ifindex(port));
    });
    end.device = end.there.run([&] {
        if (wire_like) lab::make_wire_like(device);
        lab::set_up(device);
        return number(lab::ifindex(device));
    });
    return end;
}

Traffic::Traffic(const Topology& topology, std::uint16_t frame_bytes, std::uint16_t pairs, std::uint16_t flows, int cpu)
    : topology_(topology), pairs_(pairs), cpu_(cpu) {
    // A sink at both ends: it also makes the device take what is redirected to its port.
    for (const Side side : {Side::left, Side::right})
        topology.end(Ports::wires, side).there.run([&] {
            (side == Side::left ? left_sink_ : right_sink_).emplace(topology.end(Ports::wires, side).device);
            const GeneratorOptions options = {
                .ifindex = topology.end(Ports::wires, side).device, .frame_bytes = frame_bytes, .flows = flows};
            (side == Side::left ? from_left_ : from_right_).emplace(options, udp_frames(side, pairs, frame_bytes));
        });
}

void Traffic::learn() {
    // Longer than the daemon takes to read what the bridge learnt.
    constexpr std::chrono::milliseconds kMirrored(60);
    for (int round = 0; round < 2; round++) {
        run_at({topology_.end(Ports::wires, Side::right).there.fd(), cpu_}, [&] { from_right_->send(pairs_); });
        run_at({topology_.end(Ports::wires, Side::left).there.fd(), cpu_}, [&] { from_left_->send(pairs_); });
        pause_for(kMirrored);
    }
}

Traffic::Passed Traffic::forward(std::chrono::milliseconds time) {
    Passed passed;
    run_at({topology_.end(Ports::wires, Side::left).there.fd(), cpu_}, [&] {
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
