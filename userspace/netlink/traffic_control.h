// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Qdiscs and filters, as far as they can see a bridge port's frames before or after us. Throws NetlinkError if the
// kernel refuses; a device that is gone has none.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "model/types.h"
#include "netlink/socket.h"

namespace underpass {

struct Qdiscs {
    std::set<Ifindex> clsact;             // devices with a clsact or an ingress qdisc
    std::map<Ifindex, std::string> root;  // the kind of each device's root qdisc
};
Qdiscs list_qdiscs(NetlinkSocket& route);

struct TcFilter {
    std::string kind;           // "bpf", "flower", ...
    std::uint32_t program = 0;  // of kind "bpf": the program's id
};

// The filters at one side of a clsact (or ingress) qdisc.
std::vector<TcFilter> tc_filters(NetlinkSocket& route, Ifindex device, bool ingress);

}  // namespace underpass
