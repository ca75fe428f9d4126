// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "prog/fixture.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include <cerrno>
#include <ctime>

#include "loader/attach.h"
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

BpfObject load_xdp(Programs& programs) {
    const QuietLibraries quiet;
    programs.let_xdp_find_connections();
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

device record_of(const Port& port, std::uint32_t index, Ifindex out) {
    return {.ifindex = index,
            .flags = port.flags,
            .bridge = port.bridge,
            .max_len = port.max_len,
            .pulse_ns = kPulse,
            .out = number(out),
            .vid = port.vid,
            .vlan_protocol = htons(port.vlan_protocol)};
}

port_vlans packed(const std::map<std::uint16_t, std::uint8_t>& rights) {
    port_vlans vlans = {};
    for (const auto& [vid, of_vid] : rights)
        vlans.word[vid / VLAN_VIDS_PER_WORD] |= std::uint64_t{of_vid} << (vid % VLAN_VIDS_PER_WORD * VLAN_BITS_PER_VID);
    return vlans;
}

fdb_key key_of(const Host& host) {
    fdb_key key = {.bridge = kBridge, .vid = host.vid, .mac = {}};
    std::copy(host.mac.bytes.begin(), host.mac.bytes.end(), key.mac);
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

std::string text(const CountedVlans& counted) {
    std::string result;
    for (const auto& [what, count] : counted)
        result += "slot " + std::to_string(what.first) + " VID " + std::to_string(what.second) + ": " +
                  std::to_string(count.fast.first) + " fast, " + std::to_string(count.fast.second) + " bytes, " +
                  std::to_string(count.slow.first) + " slow, " + std::to_string(count.slow.second) + " bytes\n";
    return result;
}

LoadedPrograms::LoadedPrograms()
    : where_(net_.make("host")),
      in_(where_.run([] { return make_device("in"); })),
      out_(where_.run([] { return make_device("out"); })),
      programs_(where_.run([] { return Programs::load(PinDirectory::of_this_namespace(), {.fdb = kFdbSize}); })),
      xdp_(load_xdp(programs_)),
      xdp_link_(where_.run([this] { return attach(program_fd(xdp_, PROGRAM_XDP), in_); })) {}

// What is pinned would outlive the namespace.
LoadedPrograms::~LoadedPrograms() {
    where_.run([] { PinDirectory::of_this_namespace().remove(); });
}

void LoadedPrograms::attach_to_tc() {
    xdp_link_ = Fd();
    where_.run([this] {
        for (const char* end : {"in-far", "out-far"}) lab::wait_until_running(end);
        const PinDirectory pins = PinDirectory::of_this_namespace();
        pins.create();
        attach_tc(programs_, pins, number(in_), TcPoint::ingress);
    });
}

void LoadedPrograms::beat(Beat beat) {
    programs_.heartbeat.beat();
    if (beat == Beat::never) programs_.heartbeat.distrust();
    if (beat == Beat::fresh || beat == Beat::never) return;
    const std::uint64_t when = beat == Beat::ahead ? now_ns() + kSecond / 100 : now_ns() - HEARTBEAT_TIMEOUT_NS - 1;
    static std::uint32_t generation = 1000;
    change_control([&](control& record) {
        record.beat_ns = when;
        record.changed_ns = 0;
        record.generation = record.flags = 0;
        record.fdb_generation = generation++;
    });
}

void LoadedPrograms::change_control(const std::function<void(control&)>& change) {
    const std::uint32_t zero = 0;
    const int map = bpf_object__find_map_fd_by_name(xdp_.get(), MAP_CONTROL);
    control record = {};
    if (bpf_map_lookup_elem(map, &zero, &record) != 0) throw_errno(errno, "read the heartbeat's record");
    change(record);
    if (bpf_map_update_elem(map, &zero, &record, BPF_ANY) != 0) throw_errno(errno, "write the heartbeat's record");
}

void LoadedPrograms::set_ports(const World& world) {
    const std::uint32_t place = number(in_) % DEVICE_INDEX_SIZE;
    check(programs_.device_index.update(place, world.place == Place::empty ? 0 : kInSlot));
    const Ifindex in = world.place == Place::of_another ? out_ : in_;
    check(programs_.devices.update(kInSlot, record_of(world.in, number(in), in)));
    check(programs_.devices.update(kOutSlot, record_of(world.out, number(out_), out_)));
    check(programs_.port_vlans.update(kInSlot, packed(world.in.rights)));
    check(programs_.port_vlans.update(kOutSlot, packed(world.out.rights)));
    check(programs_.tx_ports.erase(kOutSlot));
    if (world.out_takes_xdp) check(programs_.tx_ports.update(kOutSlot, number(out_)));
}

void LoadedPrograms::set_upper(std::uint32_t slot, const Upper& upper, bool takes_xdp) {
    const Ifindex below = device_in(upper.below);
    const Ifindex out = device_in(upper.elsewhere ? kInSlot + kOutSlot - upper.below : upper.below);
    check(programs_.devices.update(slot, record_of(upper.port, kUpperIfindex + slot, out)));
    const vlan_upper_key key = {.ifindex = number(below),
                                .protocol = htons(upper.port.vlan_protocol),
                                .vid = upper.listed_vid != 0 ? upper.listed_vid : upper.port.vid};
    check(programs_.vlan_uppers.update(key, slot));
    if (takes_xdp) check(programs_.tx_ports.update(slot, number(out)));
}

void LoadedPrograms::set_fdb(const World& world) {
    for (const auto& [key, entry] : programs_.fdb.entries()) check(programs_.fdb.erase(key));
    const std::uint64_t now = now_ns();
    for (const auto& [host, known] : world.fdb)
        check(programs_.fdb.update(key_of(host), {.slot = known.slot,
                                                  .flags = known.flags,
                                                  .distrusted = known.distrusted,
                                                  .reserved = {},
                                                  .shown_ns = shown_ns(known.shown, now)}));
    programs_.heartbeat.tell_fdb_change();
}

void LoadedPrograms::clear_counters() {
    for (std::uint32_t slot = 0; slot < kSlots; slot++) check(programs_.counters.clear(slot, possible_cpus()));
    for (const auto& [key, values] : programs_.vlan_counters.entries(possible_cpus()))
        check(programs_.vlan_counters.erase(key));
}

void LoadedPrograms::set(const World& world) {
    const lab::Inside inside(where_);  // the map of redirect targets looks devices up
    for (const auto& [key, slot] : programs_.vlan_uppers.entries()) check(programs_.vlan_uppers.erase(key));
    for (const std::uint32_t slot : {kUpperSlot, kOtherUpperSlot}) {
        check(programs_.devices.update(slot, {}));
        check(programs_.tx_ports.erase(slot));
    }
    set_ports(world);
    for (const auto& [slot, upper] : world.uppers) set_upper(slot, upper, world.out_takes_xdp);
    set_fdb(world);
    clear_counters();
    beat(world.beat);
}

void LoadedPrograms::set_router(std::uint32_t slot, const MacAddr& address) const {
    device record = programs_.devices.lookup(slot).value();
    std::copy(address.bytes.begin(), address.bytes.end(), std::begin(record.mac));
    check(programs_.device_index.update(record.ifindex % DEVICE_INDEX_SIZE, slot));
    check(programs_.devices.update(slot, record));
}

Ran LoadedPrograms::run(On hook, const Frame& frame, const Gso& gso) const {
    const lab::Inside inside(where_);
    return hook == On::xdp ? run_xdp(program_fd(xdp_, PROGRAM_XDP), frame, in_)
                           : run_tc(programs_.tc_fd(), frame, in_, gso);
}

Ran LoadedPrograms::run_witness(const Frame& frame, Ifindex egress, Ifindex came_in_by) const {
    const lab::Inside inside(where_);
    return run_tc_egress(programs_.witness_fd(), frame, egress, came_in_by);
}

std::map<Host, Known> LoadedPrograms::fdb() const {
    std::map<Host, Known> result;
    const std::uint64_t now = now_ns();
    for (const auto& [key, entry] : programs_.fdb.entries()) {
        MacAddr mac;
        std::copy(std::begin(key.mac), std::end(key.mac), mac.bytes.begin());
        result[{mac, key.vid}] = {.slot = entry.slot,
                                  .flags = entry.flags,
                                  .distrusted = entry.distrusted != 0,
                                  .shown = entry.shown_ns == 0                   ? Shown::never
                                           : now - entry.shown_ns >= kPulse      ? Shown::long_ago
                                           : now - entry.shown_ns >= kSecond / 2 ? Shown::a_while_ago
                                                                                 : Shown::just_now};
    }
    return result;
}

CountedVlans LoadedPrograms::counted_vlans() const {
    CountedVlans result;
    const auto add = [](std::pair<std::uint64_t, std::uint64_t>& sum, const counter& count) {
        sum.first += count.packets;
        sum.second += count.bytes;
    };
    for (const auto& [key, values] : programs_.vlan_counters.entries(possible_cpus()))
        for (const auto& of_cpu : values) {
            FastAndSlow& of_vlan = result[{key.slot, key.vid}];
            add(of_vlan.fast, of_cpu.fast);
            add(of_vlan.slow, of_cpu.slow);
        }
    return result;
}

Counted LoadedPrograms::counted() const {
    Counted result;
    for (std::uint32_t slot = 0; slot < kSlots; slot++)
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
