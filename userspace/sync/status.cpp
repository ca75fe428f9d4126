// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/status.h"

#include <array>
#include <limits>

#include "maps/reason.h"

namespace underpass {

namespace {

using Json = nlohmann::json;

constexpr std::array<const char*, REASON_COUNT> kReasonNames = {
#define X(symbol, name, sentence) name,
    REASONS(X)
#undef X
};
constexpr std::array<const char*, REASON_COUNT> kReasonSentences = {
#define X(symbol, name, sentence) sentence,
    REASONS(X)
#undef X
};

std::int64_t age_ms(Engine::Clock::time_point since) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Engine::Clock::now() - since).count();
}

device_counters sum(const std::vector<device_counters>& of_cpus) {
    device_counters total{};
    for (const device_counters& one : of_cpus)
        for (std::size_t reason = 0; reason < REASON_COUNT; reason++) {
            total.by_reason[reason].packets += one.by_reason[reason].packets;
            total.by_reason[reason].bytes += one.by_reason[reason].bytes;
        }
    return total;
}

void add_counters(Json& port, const device_counters& counters) {
    std::uint64_t all = 0;
    Json slow = Json::object();
    for (std::size_t reason = 0; reason < REASON_COUNT; reason++) {
        const counter& one = counters.by_reason[reason];
        all += one.packets;
        if (reason == REASON_FORWARDED || one.packets == 0) continue;
        slow[kReasonNames[reason]] = {
            {"packets", one.packets}, {"bytes", one.bytes}, {"meaning", kReasonSentences[reason]}};
    }
    const counter& fast = counters.by_reason[REASON_FORWARDED];
    port["fast"] = {{"packets", fast.packets}, {"bytes", fast.bytes}};
    port["slow"] = std::move(slow);
    port["share_fast"] = all == 0 ? Json() : Json(static_cast<double>(fast.packets) / static_cast<double>(all));
}

}  // namespace

Json plan_json(const BridgePlan& plan) {
    Json bridge = {{"name", plan.name},
                   {"index", number(plan.index)},
                   {"hook", name(plan.choice)},
                   {"state", plan.refusal.empty() ? "fast" : "kernel"}};
    if (!plan.refusal.empty()) bridge["why"] = plan.refusal;
    bridge["ports"] = Json::array();
    for (const PortPlan& port : plan.ports) {
        Json entry = {{"name", port.name}, {"index", number(port.index)}, {"hook", name(port.hook())}};
        entry["why"] = port.refusal.empty() ? port.why : port.refusal;
        if (!port.cost.empty()) entry["cost"] = port.cost;
        if (!port.xdp_refusal.empty()) entry["why_not_xdp"] = port.xdp_refusal;
        entry["peer_redirect"] = port.peer.has_value();
        entry["xdp_target"] = port.xdp_target;
        entry["forwarding"] = (port.record.flags & DEVICE_FORWARDING) != 0;
        bridge["ports"].push_back(std::move(entry));
    }
    return bridge;
}

Json status_json(const Engine& engine) {
    const std::size_t cpus = possible_cpus();
    Json bridges = Json::array();
    for (const auto& [index, plan] : engine.plan()) {
        Json bridge = plan_json(plan);
        for (Json& port : bridge["ports"]) {
            const Ifindex device{port["index"].get<std::uint32_t>()};
            if (const auto slot = engine.reconciler().slot_of(device))
                add_counters(port, sum(engine.programs().counters.lookup(*slot, cpus)));
            const auto attached = engine.state().attached.find(device);
            if (attached == engine.state().attached.end()) continue;
            port["programs"] = Json::object({{"tc", name(attached->second.tc)}});
            if (attached->second.xdp) port["programs"]["xdp"] = name(*attached->second.xdp);
        }
        bridges.push_back(std::move(bridge));
    }
    const std::uint64_t beat_ns = engine.programs().heartbeat.age_ns();
    const auto& statistics = engine.statistics();
    return {
        {"bridges", std::move(bridges)},
        {"waiting", waited_for(engine.host(), engine.selection())},
        {"heartbeat_age_ms", beat_ns == std::numeric_limits<std::uint64_t>::max() ? Json() : Json(beat_ns / 1000000)},
        {"maps",
         {{"fdb",
           {{"entries", engine.reconciler().fdb_entries()},
            {"size", engine.programs().fdb_size},
            {"left_out", engine.reconciler().fdb_left_out()}}},
          {"devices", {{"entries", engine.reconciler().device_count()}, {"size", DEVICE_SLOTS - 1}}},
          {"age_ms", age_ms(statistics.started)},
          {"adopted", engine.programs().adopted()},
          {"resync_age_ms", age_ms(statistics.resynced)}}},
        {"sync",
         {{"events", statistics.events},
          {"resyncs", statistics.resyncs},
          {"overruns", statistics.overruns},
          {"operations", engine.writer().written()},
          {"failures", engine.writer().failures()}}}};
}

}  // namespace underpass
