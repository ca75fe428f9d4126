// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/vlan.h"

#include <arpa/inet.h>
#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include "lab/link.h"
#include "lab/request.h"
#include "netlink/dump.h"
#include "netlink/socket.h"

namespace underpass::lab {

namespace {

// bridge.default_pvid, unless somebody changed it.
constexpr Vid kDefaultVid{1};

// The kernel's answer for these is the one for "no VLAN filtering".
void require_place(const std::string& device, bool self) {
    NetlinkSocket route(NETLINK_ROUTE);
    const auto link = get_link(route, ifindex(device));
    if (self && !(link && link->bridge)) throw std::runtime_error(device + " is no bridge: it has no VLANs of its own");
    if (!self && !(link && link->port)) throw std::runtime_error(device + " is no port of a bridge: it has no VLANs");
}

void put_vlan(Request& request, const std::string& device, Vid vid, std::uint16_t flags, bool self) {
    auto& header = request.header<ifinfomsg>();
    header.ifi_family = PF_BRIDGE;
    header.ifi_index = index_of(device);
    const Request::Nest port(request, IFLA_AF_SPEC);
    if (self) request.put(IFLA_BRIDGE_FLAGS, std::uint16_t{BRIDGE_FLAGS_SELF});
    request.put(IFLA_BRIDGE_VLAN_INFO, bridge_vlan_info{.flags = flags, .vid = number(vid)});
}

}  // namespace

void create_vlan(const std::string& name, const std::string& lower, Vid vid, bool service) {
    Request request(RTM_NEWLINK, kCreate, "create the VLAN device " + name + " on " + lower);
    request.header<ifinfomsg>();
    request.put_text(IFLA_IFNAME, name).put(IFLA_LINK, number(ifindex(lower)));
    {
        const Request::Nest info(request, IFLA_LINKINFO);
        request.put_text(IFLA_INFO_KIND, "vlan");
        const Request::Nest data(request, IFLA_INFO_DATA);
        request.put(IFLA_VLAN_ID, number(vid));
        if (service) request.put(IFLA_VLAN_PROTOCOL, htons(ETH_P_8021AD));
    }
    request.send("VLAN devices (module 8021q)");
}

void add_bridge_vlan(const std::string& device, Vid vid, BridgeVlanFlags flags, bool self) {
    require_place(device, self);
    const unsigned bits = (flags.pvid ? BRIDGE_VLAN_INFO_PVID : 0U) | (flags.untagged ? BRIDGE_VLAN_INFO_UNTAGGED : 0U);
    Request request(RTM_SETLINK, 0, "make " + device + " a member of VLAN " + std::to_string(number(vid)));
    put_vlan(request, device, vid, static_cast<std::uint16_t>(bits), self);
    request.send(kVlanFiltering);
}

void delete_bridge_vlan(const std::string& device, Vid vid, bool self) {
    require_place(device, self);
    Request request(RTM_DELLINK, 0, "take " + device + " out of VLAN " + std::to_string(number(vid)));
    put_vlan(request, device, vid, 0, self);
    try {
        request.send(kVlanFiltering);
    } catch (const NetlinkError& error) {
        if (error.code().value() != ENOENT) throw;
    }
}

void set_vlan_state(const std::string& port, Vid vid, PortState state) {
    Request request(RTM_NEWVLAN, 0, "set the state of " + port + " in VLAN " + std::to_string(number(vid)));
    auto& header = request.header<br_vlan_msg>();
    header.family = PF_BRIDGE;
    header.ifindex = number(ifindex(port));
    {
        const Request::Nest entry(request, BRIDGE_VLANDB_ENTRY | NLA_F_NESTED);
        const bridge_vlan_info info = {.flags = BRIDGE_VLAN_INFO_ONLY_OPTS, .vid = number(vid)};
        request.put(BRIDGE_VLANDB_ENTRY_INFO, info).put(BRIDGE_VLANDB_ENTRY_STATE, state);
    }
    request.send(kVlanFiltering);
}

void set_msti(const std::string& bridge, Vid vid, std::uint16_t instance) {
    Request request(RTM_NEWVLAN, 0, "set the spanning tree of VLAN " + std::to_string(number(vid)) + " of " + bridge);
    auto& header = request.header<br_vlan_msg>();
    header.family = PF_BRIDGE;
    header.ifindex = number(ifindex(bridge));
    {
        const Request::Nest options(request, BRIDGE_VLANDB_GLOBAL_OPTIONS | NLA_F_NESTED);
        request.put(BRIDGE_VLANDB_GOPTS_ID, number(vid)).put(BRIDGE_VLANDB_GOPTS_MSTI, instance);
    }
    request.send(kVlanFiltering);
}

void set_mst_state(const std::string& port, std::uint16_t instance, PortState state) {
    Request request(RTM_SETLINK, 0, "set the state of " + port + " in tree " + std::to_string(instance));
    auto& header = request.header<ifinfomsg>();
    header.ifi_family = PF_BRIDGE;
    header.ifi_index = index_of(port);
    {
        const Request::Nest spec(request, IFLA_AF_SPEC);
        const Request::Nest trees(request, IFLA_BRIDGE_MST | NLA_F_NESTED);
        const Request::Nest entry(request, IFLA_BRIDGE_MST_ENTRY | NLA_F_NESTED);
        request.put(IFLA_BRIDGE_MST_ENTRY_MSTI, instance).put(IFLA_BRIDGE_MST_ENTRY_STATE, state);
    }
    request.send("spanning trees by VLAN in its bridge");
}

void set_membership(const std::string& device, const VlanMembership& vlans, bool self) {
    if (vlans.is_default()) return;
    const bool keeps_default = vlans.pvid == kDefaultVid || std::ranges::count(vlans.tagged, kDefaultVid) > 0;
    if (!keeps_default) delete_bridge_vlan(device, kDefaultVid, self);
    for (const Vid vid : vlans.tagged) add_bridge_vlan(device, vid, {}, self);
    // Last: to be named as a tagged one too would take these flags away.
    if (vlans.pvid) add_bridge_vlan(device, *vlans.pvid, {.pvid = true, .untagged = true}, self);
}

}  // namespace underpass::lab
