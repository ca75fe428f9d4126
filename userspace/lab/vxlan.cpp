// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/vxlan.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>

#include "lab/link.h"
#include "lab/request.h"

namespace underpass::lab {

void create_vxlan(const VxlanDevice& device) {
    Request request(RTM_NEWLINK, kCreate, "create the VXLAN device " + device.name);
    request.header<ifinfomsg>();
    request.put_text(IFLA_IFNAME, device.name);
    put_mac(request, IFLA_ADDRESS, device.mac);
    put_if<std::uint32_t>(request, IFLA_MTU, device.mtu);
    {
        const Request::Nest info(request, IFLA_LINKINFO);
        request.put_text(IFLA_INFO_KIND, "vxlan");
        const Request::Nest data(request, IFLA_INFO_DATA);
        request.put(IFLA_VXLAN_ID, device.vni);
        request.put_bytes(device.local.v6 ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL, device.local.bytes());
        request.put(IFLA_VXLAN_PORT, htons(device.port));
        request.put(IFLA_VXLAN_LEARNING, static_cast<std::uint8_t>(device.learning));
        if (!device.summed) request.put(IFLA_VXLAN_UDP_CSUM, std::uint8_t{0});
        if (device.on) request.put(IFLA_VXLAN_LINK, number(ifindex(*device.on)));
    }
    request.send("VXLAN devices (module vxlan)");
}

void add_vxlan_remote(const std::string& device, const IpAddress& remote) {
    // The entry of the zero address has a list of remotes: each is appended, and gets a copy.
    Request request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_APPEND, "add the remote " + remote.text() + " to " + device);
    auto& header = request.header<ndmsg>();
    header.ndm_family = PF_BRIDGE;
    header.ndm_ifindex = index_of(device);
    header.ndm_state = NUD_NOARP | NUD_PERMANENT;
    header.ndm_flags = NTF_SELF;
    request.put(NDA_LLADDR, MacAddr{}.bytes).put_bytes(NDA_DST, remote.bytes());
    request.send();
}

}  // namespace underpass::lab
