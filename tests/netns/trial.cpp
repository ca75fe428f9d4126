// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trial.h"

#include <fmt/format.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "loader/error.h"
#include "loader/map.h"
#include "loader/object.h"
#include "loader/pin.h"
#include "maps/abi.h"
#include "maps/counters.h"
#include "maps/fdb.h"
#include "netlink/dump.h"
#include "sync/control.h"
#include "sync/reconcile.h"
#include "sync/state.h"

namespace underpass::test {

namespace {

constexpr const char* kBridge = "br0";
constexpr std::size_t kPortOffset = 14 + 20 + 2, kNumberOffset = 14 + 20 + 8;  // behind Ethernet, IPv4 and UDP
constexpr std::size_t kMostFrames = 4 << 20;

std::optional<std::uint32_t> number_of(const Frame& frame, const MacAddr& source) {
    if (frame.size() < kNumberOffset + sizeof(std::uint32_t) || source_of(frame) != source) return std::nullopt;
    if (frame[kPortOffset] != Trial::kNumberedPort >> 8 || frame[kPortOffset + 1] != (Trial::kNumberedPort & 0xff))
        return std::nullopt;
    std::uint32_t number = 0;
    std::memcpy(&number, frame.data() + kNumberOffset, sizeof(number));
    return number;
}

// A host at each of four ports; a port and the device at its other end have the host's name.
lab::Spec four_hosts(const std::string& hook) {
    lab::Spec spec;
    spec.nodes.push_back(lab::quiet_node("host"));
    lab::Bridge bridge;
    bridge.name = kBridge;
    bridge.multicast_snooping = false;
    for (const char* name : {"a", "b", "c", "d"}) {
        spec.nodes.push_back(lab::quiet_node(name));
        spec.links.push_back({.ends = {{{"host", name}, {name, name}}}, .wire = hook == "xdp"});
        bridge.ports.push_back({.device = name});
    }
    spec.nodes.front().bridges.push_back(std::move(bridge));
    return spec;
}

bool is_believed(const lab::Namespace& host, const MacAddr& mac) {
    return host.run([&mac] {
        auto pinned = PinDirectory::of_this_namespace().open(MAP_FDB);
        if (!pinned) return false;
        const FdbKey key{lab::ifindex(kBridge), Vid::none, mac};
        const auto entry = Map<fdb_key, fdb_entry>(std::move(*pinned)).lookup(to_map_key(key));
        return entry && entry->shown_ns != 0 && !entry->distrusted;
    });
}

}  // namespace

bool is_emulated() {
    const char* value = std::getenv("UNDERPASS_EMULATED");
    return value != nullptr && *value != 0 && std::strcmp(value, "0") != 0;
}

Trial::Trial(Net& net, const std::string& hook)
    : hook_(hook),
      network_(net.build(four_hosts(hook))),
      host_(network_.space("host")),
      a_(network_.space("a"), "a"),
      b_(network_.space("b"), "b"),
      c_(network_.space("c"), "c"),
      d_(network_.space("d"), "d") {}

void Trial::up() const {
    const Finished finished = underpass(host_, {"up", kBridge, "--hook", hook_});
    if (!finished.ok()) throw std::runtime_error(finished.text());
}

nlohmann::json Trial::ask(const std::string& operation) const {
    const auto answer = host_.run([&operation] {
        return control_request(RunDirectory::of_this_namespace().socket(), {{"operation", operation}});
    });
    if (!answer) throw std::runtime_error("no daemon answers");
    return *answer;
}

void Trial::introduce(FrameSocket& at, const MacAddr& source) {
    // The first is learnt, the second is seen again after the entry was read. Where all is slow, a frame may arrive
    // after the daemon has answered; where the bridge is left to the kernel, nobody is believed.
    const int most = is_emulated() ? 20 : 2;
    for (int i = 0; i < 2 || (i < most && !is_believed(host_, source)); i++) {
        at.send(Ethernet{.destination = kBroadcast, .source = source} / Arp{.sender_mac = source} / PadTo{60});
        catch_up();
    }
}

Frame Trial::numbered(const MacAddr& destination, std::uint32_t number, const MacAddr& source) {
    std::vector<std::uint8_t> bytes(22);
    std::memcpy(bytes.data(), &number, sizeof(number));
    return Ethernet{.destination = destination, .source = source} / IPv4{} /
           UDP{.dport = Trial::kNumberedPort, .checksum = 0} / Bytes{bytes};
}

std::vector<std::uint32_t> Trial::numbers(const std::vector<Frame>& frames, const MacAddr& source) {
    std::vector<std::uint32_t> result;
    for (const Frame& frame : frames)
        if (const auto number = number_of(frame, source)) result.push_back(*number);
    return result;
}

std::vector<Frame> Trial::await(FrameSocket& at, std::size_t count, milliseconds time) {
    std::size_t seen = 0, numbered = 0;
    const auto enough = [&](const std::vector<Frame>& frames) {
        for (; seen < frames.size(); seen++) numbered += number_of(frames[seen], kHostA) ? 1 : 0;
        return numbered >= count;
    };
    return at.receive_until(enough, time);
}

Trial::Share Trial::share(const std::string& port) const {
    return host_.run([&port] {
        Share share;
        const auto pins = PinDirectory::of_this_namespace();
        const auto open = [&pins](const char* name) {
            auto fd = pins.open(name);
            if (!fd) throw std::runtime_error(std::string("no map is pinned as ") + name);
            return std::move(*fd);
        };
        const std::uint32_t place = number(lab::ifindex(port)) % DEVICE_INDEX_SIZE;
        const auto slot = Map<std::uint32_t, std::uint32_t>(open(MAP_DEVICE_INDEX)).lookup(place);
        const PerCpuArray<device_counters> counters(open(MAP_COUNTERS));
        for (const device_counters& of_cpu : counters.lookup(slot.value(), possible_cpus())) {
            share.fast += of_cpu.by_reason[REASON_FORWARDED].packets;
            share.stale += of_cpu.by_reason[REASON_STALE].packets;
            for (const counter& each : of_cpu.by_reason) share.all += each.packets;
        }
        return share;
    });
}

Stream::Stream(const FrameSocket& from, const MacAddr& source, const MacAddr& destination,
               std::chrono::microseconds interval)
    : times_(kMostFrames), thread_([this, &from, source, destination, interval] {
          // The default slack is half of the interval that is wanted here.
          ::prctl(PR_SET_TIMERSLACK, 1000);
          for (auto next = Clock::now(); !ending_ && begun_ < kMostFrames; next += interval) {
              std::this_thread::sleep_until(next);
              const std::uint32_t number = begun_++;
              times_[number] = Clock::now();
              from.send(Trial::numbered(destination, number, source));
          }
      }) {}

std::uint32_t Stream::stop() {
    ending_ = true;
    if (thread_.joinable()) thread_.join();
    return begun_;
}

OnOneCpu::OnOneCpu() {
    if (::sched_getaffinity(0, sizeof(before_), &before_) != 0) throw_errno(errno, "ask for the allowed CPUs");
    cpu_set_t one;
    CPU_ZERO(&one);
    const int here = ::sched_getcpu();
    CPU_SET(here < 0 ? 0 : here, &one);
    if (::sched_setaffinity(0, sizeof(one), &one) != 0) throw_errno(errno, "stay on one CPU");
}

OnOneCpu::~OnOneCpu() {
    ::sched_setaffinity(0, sizeof(before_), &before_);
}

std::set<FdbKey> map_fdb(const lab::Namespace& host) {
    std::set<FdbKey> keys;
    host.run([&keys] {
        auto pinned = PinDirectory::of_this_namespace().open(MAP_FDB);
        if (!pinned) throw std::runtime_error("no FDB map is pinned");
        for (const auto& [key, entry] : Map<fdb_key, fdb_entry>(std::move(*pinned)).entries()) {
            MacAddr mac;
            std::copy(std::begin(key.mac), std::end(key.mac), mac.bytes.begin());
            keys.insert({Ifindex{key.bridge}, Vid{key.vid}, mac});
        }
    });
    return keys;
}

std::set<FdbKey> kernel_fdb(const lab::Namespace& host) {
    std::set<FdbKey> keys;
    host.run([&keys] {
        NetlinkSocket route(NETLINK_ROUTE);
        dump_fdb(route, [&keys](Event&& event) {
            const FdbChanged& entry = std::get<FdbChanged>(event);
            if (entry.key.vid == Vid::none) keys.insert(entry.key);
        });
    });
    return keys;
}

double percentile(std::vector<double> values, double part) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const auto rank = static_cast<std::size_t>(std::ceil(part * static_cast<double>(values.size())));
    return values[std::clamp<std::size_t>(rank, 1, values.size()) - 1];
}

std::string summary(const std::vector<double>& each) {
    return fmt::format("min {:.2f}, median {:.2f}, 99th {:.2f}, max {:.2f} ms", percentile(each, 0),
                       percentile(each, 0.5), percentile(each, 0.99), percentile(each, 1));
}

}  // namespace underpass::test
