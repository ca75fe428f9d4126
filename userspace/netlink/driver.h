// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a device's driver offers, and what sits at the other end of a veth, wherever that is.
//
// A peer in another network namespace is looked at from inside it: by a thread that enters it for the purpose, through
// the /proc or /run/netns file of whoever lives there. Nothing is kept open, so no namespace is kept alive. What cannot
// be found out stays absent.
#pragma once

#include <map>
#include <string>

#include "model/host.h"
#include "netlink/socket.h"

namespace underpass {

class DriverProbe {
public:
    // `link` as the calling thread's network namespace has it; `route` is a socket of that namespace.
    DriverFacts probe(NetlinkSocket& route, const Link& link);

private:
    std::optional<std::string> namespace_path(NetlinkSocket& route, int netnsid);

    std::map<int, std::string> paths_;  // by the namespace's id here; each is checked before it is used
};

}  // namespace underpass
