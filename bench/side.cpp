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

namespace underpass::bench {

namespace {

constexpr double kFastShare = 0.95;

}  // namespace

std::string run_underpass(const Topology& topology, const std::vector<std::string>& words, bool stop_on_interrupt) {
    std::vector<std::string> command = {std::filesystem::read_symlink("/proc/self/exe").replace_filename("underpass")};
    command.insert(command.end(), words.begin(), words.end());
    Finished finished = run_program(command, {topology.bridge().fd(), -1}, std::chrono::seconds(30), stop_on_interrupt);
    if (finished.status != 0)
        throw std::runtime_error(fmt::format("underpass {} failed: {}", fmt::join(words, " "), finished.output));
    return std::move(finished.output);
}

Contender::Contender(const Topology& topology, Ports ports, const std::string& side, Hook hook)
    : topology_(topology), underpass_(side == "underpass") {
    if (underpass_) run_underpass(topology, {"up", kBridge, "--hook", name(hook)});
    if (side == "limit")
        topology.bridge().run([&] {
            bare_ = std::make_unique<BareRedirect>(hook, topology.end(ports, Side::left).port,
                                                   topology.end(ports, Side::right).port);
        });
}

Contender::~Contender() {
    if (!underpass_) return;
    try {
        run_underpass(topology_, {"down"}, false);
    } catch (const std::exception& error) {
        fmt::print(stderr, "bench: {}\n", error.what());
    }
}

void Contender::require_fast() const {
    if (!underpass_) return;
    const auto status = nlohmann::json::parse(run_underpass(topology_, {"status", "--json"}));
    std::uint64_t fast = 0, all = 0;
    std::map<std::string, std::uint64_t> slow;
    for (const auto& bridge : status.at("bridges"))
        for (const auto& port : bridge.at("ports")) {
            fast += port.at("fast").at("packets").get<std::uint64_t>();
            for (const auto& [reason, counter] : port.at("slow").items())
                slow[reason] += counter.at("packets").get<std::uint64_t>();
        }
    all = fast;
    for (const auto& [reason, count] : slow) all += count;
    if (static_cast<double>(fast) < kFastShare * static_cast<double>(all))
        throw std::runtime_error(fmt::format("only {} of {} frames went fast, so this would measure the kernel ({})",
                                             fast, all, fmt::join(slow, ", ")));
}

}  // namespace underpass::bench
