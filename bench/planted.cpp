// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/planted.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_ether.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <initializer_list>
#include <system_error>

#include "bench/bpf/tag_change.h"
#include "lab/link.h"
#include "loader/attach.h"
#include "maps/reason.h"
#include "maps/vlan.h"

namespace underpass::bench {

namespace {

constexpr std::uint64_t kSecondNs = 1000000000;
constexpr std::uint64_t kPulseNs = 3600 * kSecondNs;  // longer than any run
constexpr std::uint64_t kShownAgoNs = kSecondNs;      // long enough that no frame waits for the one that was passed
constexpr std::chrono::nanoseconds kBeat(HEARTBEAT_TIMEOUT_NS / 10);
constexpr std::uint32_t kMaxLen = ETH_DATA_LEN + ETH_HLEN + 4;  // the kernel leaves room for a tag
constexpr std::uint32_t kPortFlags =
    DEVICE_PRESENT | DEVICE_INGRESS | DEVICE_EGRESS | DEVICE_FORWARDING | DEVICE_LEARNS | DEVICE_VLAN_AWARE;
constexpr std::initializer_list<Side> kBothSides = {Side::left, Side::right};

std::uint32_t slot_of(Side side) {
    return static_cast<std::uint32_t>(side);  // from 1: slot 0 means none
}

void check(const std::error_code& code) {
    if (code) throw std::system_error(code, "write a map of the fast path");
}

struct port_vlans vlans_of(WireKind kind) {
    struct port_vlans vlans = {};
    std::uint64_t rights = VLAN_FORWARD | VLAN_LEARNS;
    if (kind == WireKind::access) rights |= VLAN_UNTAGGED;
    constexpr std::uint32_t kVid = BENCH_VID, kPerWord = VLAN_VIDS_PER_WORD, kBits = VLAN_BITS_PER_VID;
    vlans.word[kVid / kPerWord] = rights << (kVid % kPerWord * kBits);
    return vlans;
}

const char* reason_name(std::uint32_t reason) {
    static constexpr const char* kNames[] = {
#define X(symbol, name, sentence) name,
        REASONS(X)
#undef X
    };
    return reason < REASON_COUNT ? kNames[reason] : "unknown";
}

}  // namespace

Planted::Planted(const Topology& topology)
    : topology_(topology),
      bridge_(topology.bridge().run([] { return number(lab::ifindex(kBridge)); })),
      pins_(topology.bridge().run([] { return PinDirectory::of_this_namespace(); })),
      programs_(topology.bridge().run([this] { return Programs::load(pins_, {}); })) {}

// By way of the other constructor, so that the destructor takes away what was attached if a later step fails.
Planted::Planted(const Topology& topology, Hook hook) : Planted(topology) {
    const lab::Inside inside(topology.bridge());  // the map of redirect targets looks devices up
    for (const Side side : kBothSides) {
        write_port(side);
        write_hosts(side);
    }
    pins_.create();
    programs_.pin(pins_);  // found there as a daemon's are
    for (const Side side : kBothSides) attach(topology.end(Ports::wires, side).port, hook);
    // After libxdp, which wants to be the only one that opens files. The first beat is here: no frame is too early.
    programs_.heartbeat.beat();
    heart_ = std::jthread([this](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            programs_.heartbeat.beat();
            std::this_thread::sleep_for(kBeat);
        }
    });
}

Planted::~Planted() {
    try {
        const lab::Inside inside(topology_.bridge());
        for (const Side side : kBothSides) {
            const std::uint32_t port = topology_.end(Ports::wires, side).port;
            detach_xdp(port);
            detach_tc(pins_, port, TcPoint::ingress, true);
        }
        pins_.remove();
    } catch (const std::exception& error) {
        fmt::print(stderr, "bench: {}\n", error.what());
    }
}

void Planted::write_port(Side side) const {
    const WireKind kind = topology_.vlans().value().of(side);
    const std::uint32_t port = topology_.end(Ports::wires, side).port;
    check(programs_.port_vlans.update(slot_of(side), vlans_of(kind)));
    check(programs_.tx_ports.update(slot_of(side), port));
    check(programs_.devices.update(slot_of(side),
                                   {.ifindex = port,
                                    .flags = kPortFlags,
                                    .bridge = bridge_,
                                    .max_len = kMaxLen,
                                    .pulse_ns = kPulseNs,
                                    .out = port,
                                    .vid = static_cast<std::uint16_t>(kind == WireKind::access ? BENCH_VID : 0),
                                    .vlan_protocol = htons(ETH_P_8021Q)}));
    check(programs_.device_index.update(port % DEVICE_INDEX_SIZE, slot_of(side)));
}

void Planted::write_hosts(Side side) const {
    const fdb_entry entry = {.slot = slot_of(side),
                             .flags = 0,
                             .distrusted = 0,
                             .reserved = {},
                             .shown_ns = Heartbeat::now_ns() - kShownAgoNs};
    for (std::uint16_t host = 0; host < kHosts; host++) {
        fdb_key key = {.bridge = bridge_, .vid = BENCH_VID, .mac = {}};
        std::ranges::copy(mac_of(side, host), key.mac);
        check(programs_.fdb.update(key, entry));
    }
}

void Planted::attach(std::uint32_t port, Hook hook) {
    attach_tc(programs_, pins_, port, TcPoint::ingress);
    if (hook == Hook::xdp) attach_xdp(programs_, port);
}

FastAndSlow Planted::counted() const {
    FastAndSlow counted;
    for (const std::uint32_t slot : {0U, slot_of(Side::left), slot_of(Side::right)})
        for (const device_counters& of_cpu : programs_.counters.lookup(slot, possible_cpus()))
            for (std::uint32_t reason = 0; reason < REASON_SLOTS; reason++) {
                const std::uint64_t packets = of_cpu.by_reason[reason].packets;
                if (reason == REASON_FORWARDED)
                    counted.fast += packets;
                else if (packets > 0)
                    counted.slow[reason_name(reason)] += packets;
            }
    return counted;
}

}  // namespace underpass::bench
