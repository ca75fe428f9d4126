// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The mirror: the kernel's events become the model. Pure: no system calls, no time. Says what each event touched, so
// that only that is judged again.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "model/event.h"

namespace underpass {

// What changed since the last look.
struct Dirty {
    bool plan = false;                  // something the rules for devices read
    bool ruleset = false;               // the packet filter is to be read again
    bool routing = false;               // how the kernel routes flows is to be seen again
    std::set<Ifindex> probe;            // drivers to be asked again
    std::set<Ifindex> traffic_control;  // devices whose filters are to be read again
    std::set<Ifindex> vlans;            // ports whose VLANs are to be read again
    std::set<FdbKey> fdb;
    std::set<FdbKey> vteps;
};

class Mirror {
public:
    // Takes one event into the model.
    void apply(const Event& event);

    Host& host() { return host_; }
    const Host& host() const { return host_; }

    // The changes since the last call.
    Dirty take_dirty();
    // Whether something among them may have the kernel route, or let through, what it did not before, or the reverse.
    bool routes_otherwise() const { return dirty_.routing || dirty_.ruleset; }
    // The plan is to be made anew though the host is as it was: what was asked for has changed.
    void mark_plan() { dirty_.plan = true; }
    // What could not be judged is dirty still.
    void mark(const Dirty& dirty);

    // Forgets links, FDB and neighbours: a full dump follows, event by event, on which finish_resync() closes. Entries
    // that the dump does not name are gone. A dump that broke off is begun again: the comparison is with what was
    // before it.
    void begin_resync();
    void finish_resync();

private:
    void take(const LinkChanged& event);
    void take(const LinkGone& event);
    void take(const PortChanged& event);
    void take(const PortGone& event);
    void take(const FdbChanged& event);
    void take(const FdbGone& event);
    void take(const VtepChanged& event);
    void take(const VtepGone& event);
    void take(const VlansChanged& event);
    void take(const TrafficControlChanged& event);
    void take(const RulesetChanged& event);
    void take(const RoutingChanged& event);
    void take(const DeviceRoutingChanged& event);
    void take(const DriverChanged& event);

    void take(const NeighbourChanged& event);
    void take(const NeighbourGone& event);
    void take(const RouteChanged& event);
    void take(const NexthopChanged& event);

    void forget_vteps(Ifindex device);
    const std::set<IpAddress>& vtep_addresses();

    Host host_;
    Dirty dirty_;
    // Of all devices, so that what is known of one is right when it becomes the underlay of a tunnel.
    std::map<NeighbourKey, MacAddr> neighbours_;
    std::optional<std::set<IpAddress>> vtep_addresses_;  // absent: host_.vteps has changed
    bool resyncing_ = false;
    std::map<Ifindex, Link> links_before_;
    std::map<FdbKey, FdbRecord> fdb_before_;
    std::map<FdbKey, VtepRecord> vteps_before_;
    Dirty dirty_before_;  // only of the two
};

}  // namespace underpass
