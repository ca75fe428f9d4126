// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "prog/fixture.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include <cerrno>
#include <ctime>

#include "loader/error.h"
#include "loader/log.h"

namespace underpass::test {

namespace {

constexpr std::uint32_t kFdbSize = 1024;
constexpr std::uint64_t kSecond = 1000000000ULL;
constexpr std::uint64_t kPulse = 60 * kSecond;  // longer than any case takes

std::uint64_t now_ns() {
    timespec now = {};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * kSecond + static_cast<std::uint64_t>(now.tv_nsec);
}

void check(const std::error_code& code) {
    if (code) throw std::system_error(code, "write a map");
}

Ifindex make_device(const std::string& name) {
    lab::create_veth(name, name + "-far");
    for (const auto& end : {name, name + "-far"}) {
        lab::disable_ipv6(end);
        lab::set_up(end);
    }
    return lab::ifindex(name);
}

BpfObject load_xdp(const Programs& programs) {
    const QuietLibraries quiet;
    BpfObject xdp = programs.open_xdp();
    if (const int result = bpf_object__load(xdp.get()); result != 0)
        throw VerifierError("load the XDP program", quiet.text());
    return xdp;
}

int program_fd(const BpfObject& object, const char* name) {
    return bpf_program__fd(bpf_object__find_program_by_name(object.get(), name));
}

Fd attach(int program, Ifindex device) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
    Fd link(bpf_link_create(program, static_cast<int>(number(device)), BPF_XDP, &options));
    if (!link) throw_errno(errno, "attach the XDP program to its ingress device");
    return link;
}

device record_of(const Port& port, Ifindex index) {
    return {.ifindex = number(index),
            .flags = port.flags,
            .bridge = port.bridge,
            .max_len = port.max_len,
            .pulse_ns = kPulse,
            .out = number(index),
            .vid = port.vid,
            .vlan_protocol = 0};
}

fdb_key key_of(const MacAddr& mac) {
    fdb_key key = {.bridge = kBridge, .vid = 0, .mac = {}};
    std::copy(mac.bytes.begin(), mac.bytes.end(), key.mac);
    return key;
}

std::uint64_t shown_ns(Shown shown, std::uint64_t now) {
    switch (shown) {
        case Shown::never: return 0;
        case Shown::long_ago: return now - kPulse;
        case Shown::a_while_ago: return now - kSecond;
        case Shown::just_now: return now;
    }
    return 0;
}

}  // namespace

const char* reason_name(std::uint32_t reason) {
    static constexpr const char* kNames[] = {
#define X(symbol, name, sentence) name,
        REASONS(X)
#undef X
    };
    return reason < REASON_COUNT ? kNames[reason] : "no reason at all";
}

std::string text(const Counted& counted) {
    std::string result;
    for (const auto& [what, count] : counted)
        result += "slot " + std::to_string(what.first) + " " + reason_name(what.second) + ": " +
                  std::to_string(count.first) + " frames, " + std::to_string(count.second) + " bytes\n";
    return result;
}

LoadedPrograms::LoadedPrograms()
    : where_(net_.make("host")),
      in_(where_.run([] { return make_device("in"); })),
      out_(where_.run([] { return make_device("out"); })),
      programs_(where_.run([] { return Programs::load(PinDirectory::of_this_namespace(), kFdbSize); })),
      xdp_(load_xdp(programs_)),
      xdp_link_(where_.run([this] { return attach(program_fd(xdp_, PROGRAM_XDP), in_); })) {}

void LoadedPrograms::beat(Beat beat) {
    programs_.heartbeat.beat();
    if (beat == Beat::never) programs_.heartbeat.distrust();
    if (beat == Beat::fresh || beat == Beat::never) return;
    const std::uint64_t when = beat == Beat::ahead ? now_ns() + kSecond / 100 : now_ns() - HEARTBEAT_TIMEOUT_NS - 1;
    const control record = {.beat_ns = when, .abi = UNDERPASS_ABI, .reserved = 0};
    const std::uint32_t zero = 0;
    if (bpf_map_update_elem(bpf_object__find_map_fd_by_name(xdp_.get(), MAP_CONTROL), &zero, &record, BPF_ANY) != 0)
        throw_errno(errno, "write the heartbeat");
}

void LoadedPrograms::set(const World& world) {
    const lab::Inside inside(where_);  // the map of redirect targets looks devices up
    const std::uint32_t place = number(in_) % DEVICE_INDEX_SIZE;
    check(programs_.device_index.update(place, world.place == Place::empty ? 0 : kInSlot));
    check(programs_.devices.update(kInSlot, record_of(world.in, world.place == Place::of_another ? out_ : in_)));
    check(programs_.devices.update(kOutSlot, record_of(world.out, out_)));
    check(programs_.tx_ports.erase(kOutSlot));
    if (world.out_takes_xdp) check(programs_.tx_ports.update(kOutSlot, number(out_)));
    for (const auto& [key, entry] : programs_.fdb.entries()) check(programs_.fdb.erase(key));
    const std::uint64_t now = now_ns();
    for (const auto& [mac, known] : world.fdb)
        check(programs_.fdb.update(key_of(mac), {.slot = known.slot,
                                                 .flags = known.flags,
                                                 .distrusted = known.distrusted,
                                                 .reserved = {},
                                                 .shown_ns = shown_ns(known.shown, now)}));
    for (std::uint32_t slot = 0; slot <= kEmptySlot; slot++) check(programs_.counters.clear(slot, possible_cpus()));
    beat(world.beat);
}

Ran LoadedPrograms::run(On hook, const Case& each) const {
    const lab::Inside inside(where_);
    return hook == On::xdp ? run_xdp(program_fd(xdp_, PROGRAM_XDP), each.frame, in_)
                           : run_tc(programs_.tc_fd(), each.frame, in_, each.gso);
}

std::map<MacAddr, Known> LoadedPrograms::fdb() const {
    std::map<MacAddr, Known> result;
    const std::uint64_t now = now_ns();
    for (const auto& [key, entry] : programs_.fdb.entries()) {
        MacAddr mac;
        std::copy(std::begin(key.mac), std::end(key.mac), mac.bytes.begin());
        result[mac] = {.slot = entry.slot,
                       .flags = entry.flags,
                       .distrusted = entry.distrusted != 0,
                       .shown = entry.shown_ns == 0                   ? Shown::never
                                : now - entry.shown_ns >= kPulse      ? Shown::long_ago
                                : now - entry.shown_ns >= kSecond / 2 ? Shown::a_while_ago
                                                                      : Shown::just_now};
    }
    return result;
}

Counted LoadedPrograms::counted() const {
    Counted result;
    for (std::uint32_t slot = 0; slot <= kEmptySlot; slot++)
        for (const auto& of_cpu : programs_.counters.lookup(slot, possible_cpus()))
            for (std::uint32_t reason = 0; reason < REASON_SLOTS; reason++) {
                const counter& count = of_cpu.by_reason[reason];
                if (count.packets == 0 && count.bytes == 0) continue;
                auto& [packets, bytes] = result[{slot, reason}];
                packets += count.packets;
                bytes += count.bytes;
            }
    return result;
}

}  // namespace underpass::test
