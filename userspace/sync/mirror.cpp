// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/mirror.h"

#include <utility>

namespace underpass {

void Mirror::apply(const Event& event) {
    std::visit([this](const auto& kind) { take(kind); }, event);
}

Dirty Mirror::take_dirty() {
    return std::exchange(dirty_, {});
}

void Mirror::mark(const Dirty& dirty) {
    dirty_.plan = dirty_.plan || dirty.plan;
    dirty_.ruleset = dirty_.ruleset || dirty.ruleset;
    dirty_.probe.insert(dirty.probe.begin(), dirty.probe.end());
    dirty_.traffic_control.insert(dirty.traffic_control.begin(), dirty.traffic_control.end());
    dirty_.fdb.insert(dirty.fdb.begin(), dirty.fdb.end());
}

void Mirror::take(const LinkChanged& event) {
    Link link = event.link;
    auto& known = host_.links[link.index];
    // A message without port attributes says nothing about them: they stay while the device stays where it is.
    if (!link.port && link.master && known.master == link.master) link.port = known.port;
    if (link == known) return;
    const bool placed = known.index == Ifindex::none || known.master != link.master;
    if (placed || known.lower != link.lower || known.lower_netnsid != link.lower_netnsid || known.flags != link.flags ||
        known.xdp_program != link.xdp_program)
        dirty_.probe.insert(link.index);
    if (placed || known.qdisc != link.qdisc) dirty_.traffic_control.insert(link.index);
    known = std::move(link);
    dirty_.plan = true;
}

void Mirror::take(const LinkGone& event) {
    if (host_.links.erase(event.index) == 0) return;
    host_.drivers.erase(event.index);
    host_.traffic_control.erase(event.index);
    dirty_.plan = true;
}

void Mirror::take(const PortChanged& event) {
    const auto found = host_.links.find(event.index);
    if (found == host_.links.end()) return;  // its own message brings all of it
    Link link = found->second;
    link.master = event.bridge;
    link.flags = event.flags;
    link.port = event.port;
    if (link == found->second) return;
    const bool moved = link.master != found->second.master;
    // The device's own message, which comes with this one, then brings nothing new.
    if (moved || link.flags != found->second.flags) dirty_.probe.insert(event.index);
    if (moved) dirty_.traffic_control.insert(event.index);
    found->second = std::move(link);
    dirty_.plan = true;
}

void Mirror::take(const PortGone& event) {
    const auto found = host_.links.find(event.index);
    if (found == host_.links.end() || !found->second.master) return;
    found->second.master.reset();
    found->second.port.reset();
    dirty_.plan = true;
}

void Mirror::take(const FdbChanged& event) {
    const auto [entry, fresh] = host_.fdb.try_emplace(event.key, event.record);
    if (!fresh) {
        if (entry->second == event.record) return;
        entry->second = event.record;
    }
    dirty_.fdb.insert(event.key);
}

void Mirror::take(const FdbGone& event) {
    if (host_.fdb.erase(event.key) != 0) dirty_.fdb.insert(event.key);
}

void Mirror::take(const TrafficControlChanged& event) {
    dirty_.traffic_control.insert(event.index);
}

void Mirror::take(const RulesetChanged&) {
    dirty_.ruleset = true;
}

void Mirror::take(const DriverChanged& event) {
    dirty_.probe.insert(event.index);
}

void Mirror::begin_resync() {
    auto links = std::exchange(host_.links, {});
    auto fdb = std::exchange(host_.fdb, {});
    if (std::exchange(resyncing_, true)) return;
    links_before_ = std::move(links);
    fdb_before_ = std::move(fdb);
    // Taken in before the resync and not judged yet: the comparison below cannot see it.
    dirty_before_ = std::exchange(dirty_.fdb, {});
}

void Mirror::finish_resync() {
    // The dump's own events have marked all as new; what is as it was is not.
    for (const auto& [key, record] : fdb_before_) {
        const auto now = host_.fdb.find(key);
        if (now != host_.fdb.end() && now->second == record)
            dirty_.fdb.erase(key);
        else
            dirty_.fdb.insert(key);
    }
    for (const auto& [index, link] : links_before_) {
        if (host_.links.contains(index)) continue;
        host_.drivers.erase(index);
        host_.traffic_control.erase(index);
    }
    dirty_.fdb.merge(dirty_before_);
    dirty_.plan = true;
    dirty_.ruleset = true;
    resyncing_ = false;
    links_before_.clear();
    fdb_before_.clear();
    dirty_before_.clear();
}

}  // namespace underpass
