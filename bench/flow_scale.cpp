// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/flow_scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <system_error>

#include "bench/conntrack.h"
#include "bench/daemon.h"
#include "bench/routed_traffic.h"
#include "lab/interrupt.h"
#include "maps/abi.h"
#include "maps/flow.h"

namespace underpass::bench {

namespace {

using std::chrono::milliseconds;

constexpr const char* kScenario = "flow-scale";
constexpr std::uint16_t kBytes = 60;
constexpr std::uint16_t kBehind = 16;    // hosts on either side, whatever the number of connections
constexpr std::uint16_t kFewPorts = 16;  // of each host: the few connections
constexpr std::uint32_t kSpare = 1024;   // beyond what the connections need
constexpr milliseconds kWarmUp(300);
constexpr milliseconds kSettled(200);  // longer than Underpass asks nothing after a change
constexpr double kMebibyte = 1 << 20;

struct Case {
    const char* name;
    std::uint16_t ports;
    bool quick = true;

    Connections connections() const { return {.hosts = kBehind, .ports = ports, .translated = true}; }
    // Each direction is a flow.
    std::uint32_t flows() const { return 2 * connections().count() + kSpare; }
};

const std::vector<Case>& cases() {
    static const std::vector<Case> all = {{"flows-256", 16}, {"flows-65536", 4096}, {"flows-1000000", 62500, false}};
    static_assert(FLOW_PORT_BASE + 62500 <= 65535);
    return all;
}

// The bridge and Underpass know the hosts, so that the first frame of a connection is new to nothing but that.
void introduce(const Topology& topology) {
    topology.bridge().run(forget_connections);
    RoutedTraffic(topology, {.hosts = kBehind, .ports = 1, .translated = true}, kBytes, FLOW_PORT_BASE - 1).learn();
}

class Meter {
public:
    Meter(const Topology& topology, const std::string& side, const Add& add)
        : topology_(topology), underpass_(side == "underpass"), add_(add) {}

    void open(RoutedTraffic& traffic, std::uint32_t count) {
        const auto opened = traffic.open();
        if (opened.received < std::uint64_t{count} * 9 / 10)
            throw std::runtime_error(fmt::format("only {} of {} first frames came out", opened.received, count));
        add_("time per new connection", "ns", opened.seconds * 1e9 / static_cast<double>(opened.received));
    }

    void forward(RoutedTraffic& traffic, milliseconds time, const char* frames, const char* cost, const char* fast) {
        traffic.forward({kWarmUp});
        const std::uint64_t before = fast_frames();
        const auto passed = traffic.forward({time});
        if (passed.received == 0) throw std::runtime_error("no frame came out");
        const auto received = static_cast<double>(passed.received);
        add_(frames, "frames/s", received / passed.seconds);
        add_(cost, "ns", passed.busy_seconds * 1e9 / received);
        if (underpass_) add_(fast, "%", 100.0 * static_cast<double>(fast_frames() - before) / received);
    }

    DaemonMemory memory() const { return underpass_ ? memory_of_daemon(topology_) : DaemonMemory{}; }

    void grown(const DaemonMemory& before, const DaemonMemory& now, std::uint32_t count) {
        if (!underpass_) return;
        const auto maps = static_cast<double>(now.map_bytes), resident = static_cast<double>(now.resident_bytes);
        add_("memory of maps", "MiB", maps / kMebibyte);
        add_("memory of daemon", "MiB", resident / kMebibyte);
        add_("maps, per connection", "B", (maps - static_cast<double>(before.map_bytes)) / count);
    }

private:
    std::uint64_t fast_frames() const { return underpass_ ? counted_by_daemon(topology_).fast : 0; }

    const Topology& topology_;
    bool underpass_;
    const Add& add_;
};

void measure(const Topology& topology, const Case& each, const std::string& side, const RunOptions& options,
             const Add& add) {
    const Connections connections = each.connections();
    Meter meter(topology, side, add);
    introduce(topology);
    {
        RoutedTraffic traffic(topology, connections, kBytes);
        lab::pause_for(kSettled);
        const DaemonMemory before = meter.memory();
        meter.open(traffic, connections.count());
        traffic.answer();
        meter.grown(before, meter.memory(), connections.count());
        traffic.open();  // the same connections once more
        meter.forward(traffic, options.time, "frames", "CPU per frame", "went fast");
    }
    RoutedTraffic few(topology, {.hosts = kBehind, .ports = kFewPorts, .translated = true}, kBytes);
    lab::pause_for(kSettled);
    few.learn();
    meter.forward(few, options.time, "frames of a few", "CPU per frame of a few", "went fast of a few");
}

Job job_of(const Case& each, const Topology& topology, const RunOptions& options) {
    return {.topology = topology,
            .ports = Ports::wires,
            .case_name = each.name,
            .sides = {"kernel", "underpass"},
            .measure = [&](const std::string& side, const Add& add) { measure(topology, each, side, options, add); },
            .flows = each.flows() > FLOWS_DEFAULT_SIZE ? each.flows() : 0,
            .fast_share = 0,
            .generator = name(GeneratorKind::frames)};
}

std::string note_of(const std::vector<Case>& measured, const std::string& left_out) {
    std::string sizes;
    for (const Case& each : measured)
        if (each.flows() > FLOWS_DEFAULT_SIZE)
            sizes += fmt::format("{}{} for {}", sizes.empty() ? "" : ", ", each.flows(), each.name);
    return fmt::format(
        "{} hosts on either side; frames of {} bytes, of one connection after another; a few: {} of the connections, "
        "the others idle. A connection is two flows.{} Time per new connection: of the one CPU that its first frame "
        "takes through the router. Memory: when each has been answered once; of maps, as the kernel accounts for it. "
        "Flows that idle for {} s are forgotten.{}",
        kBehind, kBytes, kBehind * kFewPorts,
        sizes.empty() ? "" : fmt::format(" flows_size is raised from {}: {}.", +FLOWS_DEFAULT_SIZE, sizes),
        FLOW_FORGET_NS / 1000000000, left_out);
}

// Cases that conntrack has room for; it is made where it can be.
std::vector<Case> make_room(std::vector<Case> wanted, std::optional<ConntrackRoom>& room, std::string& left_out) {
    const auto need = [](const Case& each) { return each.connections().count() + kSpare; };
    if (wanted.empty()) return wanted;
    try {
        room.emplace(need(std::ranges::max(wanted, {}, need)));
    } catch (const std::system_error& error) {
        const std::uint32_t most = conntrack_max();
        for (const Case& each : wanted)
            if (need(each) > most) left_out += fmt::format(" {} is left out: {}.", each.name, error.what());
        std::erase_if(wanted, [&](const Case& each) { return need(each) > most; });
    }
    return wanted;
}

}  // namespace

const std::vector<std::string>& flow_scale_cases() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const Case& each : cases()) all.emplace_back(each.name);
        return all;
    }();
    return names;
}

void run_flow_scale(const RunOptions& options, Report& report) {
    Runner runner(kScenario, options, report);
    std::optional<ConntrackRoom> room;  // until the topology has gone
    const Topology topology("ubench-scale", Routing{.rules = kMasquerade, .hosts = kBehind});
    topology.bridge().run(keep_udp_connections);
    std::vector<Case> wanted = cases();
    std::erase_if(wanted, [&](const Case& each) { return !runner.wants(each.name); });
    std::string left_out;
    if (options.quick && options.cases.empty())
        std::erase_if(wanted, [&](const Case& each) {
            if (each.quick) return false;
            left_out += fmt::format(" {} is left out by --quick.", each.name);
            return true;
        });
    wanted = make_room(std::move(wanted), room, left_out);
    report.compare_with(kScenario, cases().front().name);
    report.note(kScenario, note_of(wanted, left_out));
    std::vector<Job> jobs;
    jobs.reserve(wanted.size());
    for (const Case& each : wanted) jobs.push_back(job_of(each, topology, options));
    for (const Hook hook : {Hook::xdp, Hook::tc}) runner.run(jobs, hook);
}

}  // namespace underpass::bench
