// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/side.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "bench/process.h"
#include "bench/report.h"

namespace underpass::bench {

namespace {

constexpr double kFastShare = 0.95;

// What changes on the way from the left wire to the right one.
tag_change change_of(const std::optional<WireVlans>& vlans) {
    if (!vlans || vlans->left == vlans->right) return TAG_KEPT;
    return vlans->right == WireKind::trunk ? TAG_PUSHED : TAG_POPPED;
}

FastAndSlow counted_by_daemon(const Topology& topology) {
    const auto status = nlohmann::json::parse(run_underpass(topology, {"status", "--json"}));
    FastAndSlow counted;
    for (const auto& bridge : status.at("bridges"))
        for (const auto& port : bridge.at("ports")) {
            counted.fast += port.at("fast").at("packets").get<std::uint64_t>();
            for (const auto& [reason, counter] : port.at("slow").items())
                counted.slow[reason] += counter.at("packets").get<std::uint64_t>();
        }
    return counted;
}

}  // namespace

std::string run_underpass(const Topology& topology, const std::vector<std::string>& words, bool stop_on_interrupt) {
    std::vector<std::string> command = {std::filesystem::read_symlink("/proc/self/exe").replace_filename("underpass")};
    command.insert(command.end(), words.begin(), words.end());
    Finished finished = run_program(command, {topology.bridge().fd(), -1}, std::chrono::seconds(30), stop_on_interrupt);
    if (finished.status != 0)
        throw std::runtime_error(fmt::format("underpass {} failed: {}", fmt::join(words, " "), finished.output));
    return std::move(finished.output);
}

Contender::Contender(const Topology& topology, Ports ports, const std::string& side, Hook hook) : topology_(topology) {
    if (side == "underpass" && topology.vlans() && !topology.filtering()) {
        planted_ = std::make_unique<Planted>(topology, hook);
    } else if (side == "underpass") {
        std::vector<std::string> words = {"up", kBridge, "--hook", name(hook)};
        if (topology.routed()) words.emplace_back("wr");
        run_underpass(topology, words);
        daemon_ = true;
    } else if (side == "limit" || side == kTagLimit) {
        const tag_change change = side == kTagLimit ? change_of(topology.vlans()) : TAG_KEPT;
        topology.bridge().run([&] {
            bare_ = std::make_unique<BareRedirect>(hook, topology.end(ports, Side::left).port,
                                                   topology.end(ports, Side::right).port, change);
        });
    }
}

Contender::~Contender() {
    if (!daemon_) return;
    try {
        run_underpass(topology_, {"down"}, false);
    } catch (const std::exception& error) {
        fmt::print(stderr, "bench: {}\n", error.what());
    }
}

void Contender::require_fast() const {
    if (!daemon_ && !planted_) return;
    const FastAndSlow counted = planted_ ? planted_->counted() : counted_by_daemon(topology_);
    std::uint64_t all = counted.fast;
    for (const auto& [reason, count] : counted.slow) all += count;
    if (static_cast<double>(counted.fast) < kFastShare * static_cast<double>(all))
        throw std::runtime_error(fmt::format("only {} of {} frames went fast, so this would measure the kernel ({})",
                                             counted.fast, all, fmt::join(counted.slow, ", ")));
}

}  // namespace underpass::bench
