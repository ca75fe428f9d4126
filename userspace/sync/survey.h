// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Reading the host: the system calls behind the model, for the daemon and for `check` alike. Reads only.
#pragma once

#include <functional>
#include <set>

#include "model/event.h"
#include "model/host.h"
#include "netlink/driver.h"
#include "netlink/socket.h"

namespace underpass {

class Survey {
public:
    // Of the calling thread's network namespace.
    Survey();

    // All links, then all FDB entries, as the events that would have brought them.
    void dump(const std::function<void(const Event&)>& sink);

    void probe(Host& host, const std::set<Ifindex>& devices);
    // The kernel makes no event of it.
    void read_promiscuity(Host& host, const std::set<Ifindex>& devices);
    // Filters, and the link's qdisc.
    void read_traffic_control(Host& host, const std::set<Ifindex>& devices);
    void read_netfilter(Host& host);

    // A whole host, read once.
    static Host take();

private:
    NetlinkSocket route_;
    DriverProbe drivers_;
};

// The devices that rules ask drivers and filters about: the ports of bridges.
std::set<Ifindex> ports_of(const Host& host);

}  // namespace underpass
