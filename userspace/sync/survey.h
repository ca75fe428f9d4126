// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Reading the host: the system calls behind the model, for the daemon and for `check` alike. Reads only.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "model/event.h"
#include "model/host.h"
#include "model/vlan_rules.h"
#include "netlink/driver.h"
#include "netlink/socket.h"

namespace underpass {

class Survey {
public:
    // Of the calling thread's network namespace.
    Survey();

    // All links, then all FDB entries and neighbours, as the events that would have brought them.
    void dump(const std::function<void(const Event&)>& sink);

    void probe(Host& host, const std::set<Ifindex>& devices);
    // What the kernel makes no event of: promiscuity, and what vconfig changes of a VLAN device.
    void read_silent_changes(Host& host, const std::set<Ifindex>& devices);
    // Filters, and the link's qdisc.
    void read_traffic_control(Host& host, const std::set<Ifindex>& devices);
    void read_netfilter(Host& host);
    // What a port or bridge has no VLANs of is forgotten.
    void read_vlans(Host& host, const std::set<Ifindex>& devices);
    // VLAN devices in other namespaces on the ports of VLAN-aware bridges, in the VLANs that the port is a member of,
    // and in VLAN 0. Each VLAN is asked about once, until it is to be asked again: some of a port's at a time, in turn.
    // Not to ask is quicker, and takes what it would have to ask about for taken.
    void find_vlan_uppers(Host& host, bool ask = true);
    void ask_for_vlan_uppers_again(const std::set<Ifindex>& ports);

    // A whole host, read once.
    static Host take();

private:
    // A port's VIDs that were asked about, in tags of this protocol.
    struct Asked {
        std::uint16_t protocol = 0;
        VidSet vids;
        std::size_t next = 0;  // to be asked again
    };

    void find_vlan_uppers(Host& host, const Link& port, std::uint16_t protocol, const VidSet& visible, bool ask);

    NetlinkSocket route_;
    DriverProbe drivers_;
    std::map<Ifindex, Asked> asked_;
};

// The devices that rules ask drivers and filters about: bridges, their ports, devices of their own (those that are
// named, or `all`), what VXLAN devices among them send by, and what VLAN
// devices among all of these sit on.
std::set<Ifindex> devices_of(const Host& host, const std::set<std::string>& named, bool all);

}  // namespace underpass
