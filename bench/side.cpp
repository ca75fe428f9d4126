// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/side.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "bench/report.h"

namespace underpass::bench {

namespace {

// What changes on the way from the left wire to the right one.
tag_change change_of(const std::optional<WireVlans>& vlans) {
    if (!vlans || vlans->left == vlans->right) return TAG_KEPT;
    return vlans->right == WireKind::trunk ? TAG_PUSHED : TAG_POPPED;
}

}  // namespace

Contender::Contender(const Topology& topology, Ports ports, const std::string& side, Hook hook, std::uint32_t flows)
    : topology_(topology) {
    if (side == "underpass" && topology.vlans() && !topology.filtering()) {
        planted_ = std::make_unique<Planted>(topology, hook);
    } else if (side == "underpass") {
        if (flows != 0) own_daemon_.emplace(start_daemon(topology, flows));
        std::vector<std::string> words = {"up", kBridge, "--hook", name(hook)};
        if (topology.routed()) words.push_back(topology.uplink());
        for (const Topology::Host& host : topology.hosts(ports)) {
            run_underpass(host.there, words, false);  // a daemon that has begun has to be known of
            up_.push_back(host);
        }
    } else if (side == "limit" || side == kTagLimit) {
        const tag_change change = side == kTagLimit ? change_of(topology.vlans()) : TAG_KEPT;
        for (const Topology::Host& host : topology.hosts(ports))
            bare_.push_back(std::make_unique<BareRedirect>(host.there, hook, host.left, host.right, change));
    }
}

Contender::~Contender() {
    for (const Topology::Host& host : up_) try {
            run_underpass(host.there, {"down"}, false);
        } catch (const std::exception& error) {
            fmt::print(stderr, "bench: {}\n", error.what());
        }
}

void Contender::require_fast(double share) const {
    if (up_.empty() && !planted_) return;
    const FastAndSlow counted = planted_ ? planted_->counted() : counted_by_daemon(topology_);
    if (static_cast<double>(counted.fast) < share * static_cast<double>(counted.all()))
        throw std::runtime_error(fmt::format("only {} of {} frames went fast, so this would measure the kernel ({})",
                                             counted.fast, counted.all(), fmt::join(counted.slow, ", ")));
}

}  // namespace underpass::bench
