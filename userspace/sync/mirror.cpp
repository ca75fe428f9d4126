// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/mirror.h"

#include <linux/if.h>

#include <utility>

namespace underpass {

namespace {

bool is_bridge(const Host& host, Ifindex index) {
    const auto link = host.links.find(index);
    return link != host.links.end() && link->second.bridge;
}

bool is_port(const Host& host, Ifindex index) {
    const auto link = host.links.find(index);
    return link != host.links.end() && link->second.master && is_bridge(host, *link->second.master);
}

// The bridge's own, and its ports'.
void mark_vlans(const Host& host, Ifindex bridge, std::set<Ifindex>& dirty) {
    dirty.insert(bridge);
    for (const auto& [index, link] : host.links)
        if (link.master == bridge) dirty.insert(index);
}

// Whether a bridge goes by its ports' VLANs in another way than before.
bool differs_in_vlans(const std::optional<BridgeAttributes>& before, const BridgeAttributes& now) {
    return !before || before->vlan_filtering != now.vlan_filtering || before->vlan_protocol != now.vlan_protocol;
}

// The device in this namespace that a VLAN device sits on.
std::optional<Ifindex> below(const Link& link) {
    if (link.kind != "vlan" || link.lower_netnsid) return std::nullopt;
    return link.lower;
}

// A VLAN device in a bridge has its frames taken on the device below, which need not be a port itself.
void mark_below(const Link& link, Dirty& dirty) {
    const auto lower = below(link);
    if (!lower || !link.master) return;
    dirty.probe.insert(*lower);
    dirty.traffic_control.insert(*lower);
}

// What a VXLAN device's packets come and go by need not be anything else to us.
void mark_underlay(const Host& host, const Link& link, Dirty& dirty) {
    if (!link.vxlan || !link.vxlan->lower || link.lower_netnsid) return;
    const auto lower = host.links.find(*link.vxlan->lower);
    std::set<Ifindex> devices = {*link.vxlan->lower};
    if (lower != host.links.end())
        if (const auto lowest = below(lower->second)) devices.insert(*lowest);
    dirty.probe.insert(devices.begin(), devices.end());
    dirty.traffic_control.insert(devices.begin(), devices.end());
}

// Whether VXLAN packets may come and go by the device.
bool may_carry(const Host& host, const Link& link) {
    if (link.master) return false;
    for (const auto& [index, other] : host.links)
        if (other.vxlan && !other.lower_netnsid && other.vxlan->lower.value_or(link.index) == link.index) return true;
    return false;
}

bool may_carry(const Host& host, Ifindex device) {
    const auto link = host.links.find(device);
    return link != host.links.end() && may_carry(host, link->second);
}

// What shows in the packets of a tunnel, or in where they go.
bool differs_as_underlay(const Link& before, const Link& now) {
    return before.mac != now.mac || before.mtu != now.mtu || ((before.flags ^ now.flags) & IFF_UP) != 0;
}

// Rules go by what a device is in, too. One that was in nothing and down has carried nothing.
bool carried_elsewhere(const Link& before, std::optional<Ifindex> master) {
    return before.master != master && (before.master || (before.flags & IFF_UP) != 0);
}

// A VLAN device on a port takes frames from it, or no longer does: one that seems to be gone may be elsewhere.
void mark_taken(const Host& host, const Link& link, Dirty& dirty) {
    const auto lower = below(link);
    if (lower && is_port(host, *lower)) dirty.vlans.insert(*lower);
}

// What was read of the VLANs is of the bridge that the device was in.
void forget_vlans(Host& host, Ifindex index) {
    host.vlans.erase(index);
    host.vlan_uppers.erase(index);
}

// False if it is there already, and as it was.
template <class Record>
bool put(std::map<FdbKey, Record>& entries, const FdbKey& key, const Record& record) {
    const auto [entry, fresh] = entries.try_emplace(key, record);
    if (!fresh && entry->second == record) return false;
    entry->second = record;
    return true;
}

// After a dump, whose own events have marked all as new: what is as it was is not.
template <class Record>
void compare(const std::map<FdbKey, Record>& before, const std::map<FdbKey, Record>& entries, std::set<FdbKey>& dirty) {
    for (const auto& [key, record] : before) {
        const auto now = entries.find(key);
        if (now != entries.end() && now->second == record)
            dirty.erase(key);
        else
            dirty.insert(key);
    }
}

}  // namespace

void Mirror::apply(const Event& event) {
    std::visit([this](const auto& kind) { take(kind); }, event);
}

Dirty Mirror::take_dirty() {
    return std::exchange(dirty_, {});
}

void Mirror::mark(const Dirty& dirty) {
    dirty_.plan = dirty_.plan || dirty.plan;
    dirty_.ruleset = dirty_.ruleset || dirty.ruleset;
    dirty_.routing = dirty_.routing || dirty.routing;
    dirty_.probe.insert(dirty.probe.begin(), dirty.probe.end());
    dirty_.traffic_control.insert(dirty.traffic_control.begin(), dirty.traffic_control.end());
    dirty_.vlans.insert(dirty.vlans.begin(), dirty.vlans.end());
    dirty_.fdb.insert(dirty.fdb.begin(), dirty.fdb.end());
    dirty_.vteps.insert(dirty.vteps.begin(), dirty.vteps.end());
}

void Mirror::take(const LinkChanged& event) {
    Link link = event.link;
    auto& known = host_.links[link.index];
    // A message without port attributes says nothing about them: they stay while the device stays where it is.
    if (!link.port && link.master && known.master == link.master) link.port = known.port;
    // That a feature changed is told by nothing in the message; and where XDP runs, tags may be stripped from now on.
    if (link == known && link.xdp_program != 0) dirty_.probe.insert(link.index);
    if (link == known) return;
    const bool fresh = known.index == Ifindex::none;
    const bool placed = fresh || known.master != link.master;
    const bool on_another = known.lower != link.lower || known.lower_netnsid != link.lower_netnsid;
    // Rules go by names.
    if (!fresh && (carried_elsewhere(known, link.master) || known.name != link.name)) dirty_.routing = true;
    // Packets in a tunnel are as the kernel was seen to make them.
    if (!fresh && (known.vxlan != link.vxlan || (differs_as_underlay(known, link) && may_carry(host_, link))))
        dirty_.routing = true;
    if (placed || on_another || known.flags != link.flags || known.xdp_program != link.xdp_program)
        dirty_.probe.insert(link.index);
    if (placed || known.qdisc != link.qdisc) dirty_.traffic_control.insert(link.index);
    if (placed && !fresh && !link.bridge) forget_vlans(host_, link.index);
    if (placed && link.master && is_bridge(host_, *link.master)) dirty_.vlans.insert(link.index);
    if (placed || on_another) mark_below(link, dirty_);
    if (placed || known.vxlan != link.vxlan) mark_underlay(host_, link, dirty_);
    if (on_another || known.vlan != link.vlan) {
        mark_taken(host_, known, dirty_);
        mark_taken(host_, link, dirty_);
    }
    // Its ports may have been told of before it.
    if (link.bridge && differs_in_vlans(known.bridge, *link.bridge)) mark_vlans(host_, link.index, dirty_.vlans);
    known = std::move(link);
    dirty_.plan = true;
}

void Mirror::take(const LinkGone& event) {
    const auto found = host_.links.find(event.index);
    if (found == host_.links.end()) return;
    mark_taken(host_, found->second, dirty_);
    host_.links.erase(found);
    host_.drivers.erase(event.index);
    host_.traffic_control.erase(event.index);
    forget_vlans(host_, event.index);
    forget_vteps(event.index);
    // (Each has gone by an event of its own.)
    const auto is_of_it = [&event](const auto& neighbour) { return neighbour.first.device == event.index; };
    std::erase_if(neighbours_, is_of_it);
    dirty_.plan = true;
}

// The kernel forgets them without a word.
void Mirror::forget_vteps(Ifindex device) {
    const auto begin = host_.vteps.lower_bound({device, Vid::none, {}});
    auto end = begin;
    for (; end != host_.vteps.end() && end->first.bridge == device; ++end) dirty_.vteps.insert(end->first);
    host_.vteps.erase(begin, end);
    vtep_addresses_.reset();
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
    if (carried_elsewhere(found->second, link.master)) dirty_.routing = true;
    // The device's own message, which comes with this one, then brings nothing new.
    if (moved || link.flags != found->second.flags) dirty_.probe.insert(event.index);
    if (moved) {
        dirty_.traffic_control.insert(event.index);
        forget_vlans(host_, event.index);
        if (is_bridge(host_, event.bridge)) dirty_.vlans.insert(event.index);
        mark_below(link, dirty_);
    }
    found->second = std::move(link);
    dirty_.plan = true;
}

void Mirror::take(const PortGone& event) {
    const auto found = host_.links.find(event.index);
    if (found == host_.links.end() || !found->second.master) return;
    dirty_.routing = true;
    found->second.master.reset();
    found->second.port.reset();
    forget_vlans(host_, event.index);
    dirty_.plan = true;
}

void Mirror::take(const FdbChanged& event) {
    if (put(host_.fdb, event.key, event.record)) dirty_.fdb.insert(event.key);
}

void Mirror::take(const FdbGone& event) {
    if (host_.fdb.erase(event.key) != 0) dirty_.fdb.insert(event.key);
}

void Mirror::take(const VtepChanged& event) {
    if (!put(host_.vteps, event.key, event.record)) return;
    dirty_.vteps.insert(event.key);
    vtep_addresses_.reset();
}

void Mirror::take(const VtepGone& event) {
    if (host_.vteps.erase(event.key) == 0) return;
    dirty_.vteps.insert(event.key);
    vtep_addresses_.reset();
}

void Mirror::take(const VlansChanged& event) {
    // Of a bridge: its own VLANs, or what its ports share, such as the default PVID.
    if (is_bridge(host_, event.index))
        mark_vlans(host_, event.index, dirty_.vlans);
    else
        dirty_.vlans.insert(event.index);
}

void Mirror::take(const TrafficControlChanged& event) {
    dirty_.traffic_control.insert(event.index);
}

void Mirror::take(const RulesetChanged&) {
    dirty_.ruleset = true;
    dirty_.routing = true;
}

void Mirror::take(const RoutingChanged&) {
    dirty_.routing = true;
}

// Each container that starts tells of some, and no flow goes by them: of a device that is only about to be told of, of
// a port, whose frames are its bridge's, or of one that leaves and was down.
void Mirror::take(const DeviceRoutingChanged& event) {
    const auto link = host_.links.find(event.index);
    if (link == host_.links.end() || is_port(host_, event.index)) return;
    if (!event.gone || (link->second.flags & IFF_UP) != 0) dirty_.routing = true;
}

// What goes into a tunnel has the neighbour's address that the kernel was seen to write. All that there are were told
// of by a dump, so one that is new has not been written yet, and one that is only confirmed every few seconds is the
// same.
void Mirror::take(const NeighbourChanged& event) {
    const auto [known, fresh] = neighbours_.try_emplace(event.key, event.mac);
    if (fresh || std::exchange(known->second, event.mac) == event.mac) return;
    if (may_carry(host_, event.key.device)) dirty_.routing = true;
}

void Mirror::take(const NeighbourGone& event) {
    if (neighbours_.erase(event.key) != 0 && may_carry(host_, event.key.device)) dirty_.routing = true;
}

const std::set<IpAddress>& Mirror::vtep_addresses() {
    if (!vtep_addresses_) {
        vtep_addresses_.emplace();
        for (const auto& [key, record] : host_.vteps) vtep_addresses_->insert(record.address);
    }
    return *vtep_addresses_;
}

// The addresses in a network follow its own.
void Mirror::take(const RouteChanged& event) {
    const auto next = vtep_addresses().lower_bound(event.prefix.address);
    if (next != vtep_addresses().end() && event.prefix.contains(*next)) dirty_.routing = true;
}

void Mirror::take(const NexthopChanged&) {
    if (!host_.vteps.empty()) dirty_.routing = true;
}

void Mirror::take(const DriverChanged& event) {
    dirty_.probe.insert(event.index);
}

void Mirror::begin_resync() {
    auto links = std::exchange(host_.links, {});
    auto fdb = std::exchange(host_.fdb, {});
    auto vteps = std::exchange(host_.vteps, {});
    vtep_addresses_.reset();
    neighbours_.clear();
    if (std::exchange(resyncing_, true)) return;
    links_before_ = std::move(links);
    fdb_before_ = std::move(fdb);
    vteps_before_ = std::move(vteps);
    // Taken in before the resync and not judged yet: the comparison below cannot see it.
    dirty_before_.fdb = std::exchange(dirty_.fdb, {});
    dirty_before_.vteps = std::exchange(dirty_.vteps, {});
}

void Mirror::finish_resync() {
    compare(fdb_before_, host_.fdb, dirty_.fdb);
    compare(vteps_before_, host_.vteps, dirty_.vteps);
    for (const auto& [index, link] : links_before_) {
        const auto now = host_.links.find(index);
        if (now == host_.links.end() || now->second.master != link.master) forget_vlans(host_, index);
        if (now != host_.links.end()) continue;
        host_.drivers.erase(index);
        host_.traffic_control.erase(index);
    }
    for (const auto& [index, link] : host_.links)
        if (link.bridge || is_port(host_, index)) dirty_.vlans.insert(index);
    mark(std::exchange(dirty_before_, {}));
    dirty_.plan = true;
    dirty_.ruleset = true;
    dirty_.routing = true;
    resyncing_ = false;
    links_before_.clear();
    fdb_before_.clear();
    vteps_before_.clear();
}

}  // namespace underpass
