// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/macvlan.h"

#include <linux/if_link.h>

#include "lab/link.h"
#include "lab/request.h"

namespace underpass::lab {

namespace {

std::uint32_t kernel_mode(MacvlanMode mode) {
    switch (mode) {
        case MacvlanMode::isolated: return MACVLAN_MODE_PRIVATE;
        case MacvlanMode::vepa: return MACVLAN_MODE_VEPA;
        case MacvlanMode::passthru: return MACVLAN_MODE_PASSTHRU;
        case MacvlanMode::bridge: break;
    }
    return MACVLAN_MODE_BRIDGE;
}

}  // namespace

void create_macvlan(const std::string& name, const std::string& lower, MacvlanMode mode, const Namespace* target,
                    const std::optional<MacAddr>& mac) {
    Request request(RTM_NEWLINK, kCreate, "create the macvlan " + name + " on " + lower);
    request.header<ifinfomsg>();
    request.put_text(IFLA_IFNAME, name).put(IFLA_LINK, number(ifindex(lower)));
    if (target != nullptr) request.put(IFLA_NET_NS_FD, target->fd());
    put_mac(request, IFLA_ADDRESS, mac);
    {
        const Request::Nest info(request, IFLA_LINKINFO);
        request.put_text(IFLA_INFO_KIND, "macvlan");
        const Request::Nest data(request, IFLA_INFO_DATA);
        request.put(IFLA_MACVLAN_MODE, kernel_mode(mode));
    }
    request.send("macvlan devices (module macvlan)");
}

}  // namespace underpass::lab
