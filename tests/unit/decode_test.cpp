// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Bytes to events: exact ones for what the kernel sends, nothing for what is malformed, and never a read outside.
#include "netlink/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/genetlink.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_vlan.h>
#include <linux/netconf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "hosts.h"
#include "message.h"
#include "netlink/decode_fdb.h"
#include "netlink/decode_link.h"
#include "netlink/decode_nft_rule.h"
#include "netlink/decode_nftables.h"
#include "netlink/decode_route.h"
#include "netlink/decode_vlan.h"
#include "netlink/netdev.h"
#include "netlink/netfilter.h"

namespace underpass {

// Of messages the whole value counts; an event has no comparison of its own.
bool operator==(const LinkChanged& a, const LinkChanged& b) {
    return a.link == b.link;
}
bool operator==(const LinkGone& a, const LinkGone& b) {
    return a.index == b.index;
}
bool operator==(const NeighbourChanged& a, const NeighbourChanged& b) {
    return a.key == b.key && a.mac == b.mac;
}
bool operator==(const NeighbourGone& a, const NeighbourGone& b) {
    return a.key == b.key;
}
bool operator==(const RouteChanged& a, const RouteChanged& b) {
    return a.prefix == b.prefix;
}
bool operator==(const NexthopChanged&, const NexthopChanged&) {
    return true;
}
bool operator==(const PortChanged& a, const PortChanged& b) {
    return a.index == b.index && a.bridge == b.bridge && a.flags == b.flags && a.port == b.port;
}
bool operator==(const PortGone& a, const PortGone& b) {
    return a.index == b.index;
}
bool operator==(const FdbChanged& a, const FdbChanged& b) {
    return a.key == b.key && a.record == b.record;
}
bool operator==(const FdbGone& a, const FdbGone& b) {
    return a.key == b.key;
}
bool operator==(const VtepChanged& a, const VtepChanged& b) {
    return a.key == b.key && a.record == b.record;
}
bool operator==(const VtepGone& a, const VtepGone& b) {
    return a.key == b.key;
}
bool operator==(const VlansChanged& a, const VlansChanged& b) {
    return a.index == b.index;
}
bool operator==(const TrafficControlChanged& a, const TrafficControlChanged& b) {
    return a.index == b.index;
}
bool operator==(const RulesetChanged&, const RulesetChanged&) {
    return true;
}
bool operator==(const RoutingChanged&, const RoutingChanged&) {
    return true;
}
bool operator==(const DeviceRoutingChanged& a, const DeviceRoutingChanged& b) {
    return a.index == b.index && a.gone == b.gone;
}
bool operator==(const DriverChanged& a, const DriverChanged& b) {
    return a.index == b.index;
}

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::optional<Event> decoded(const Message& message) {
    return decode_event(Received(message).get());
}

ifinfomsg link_header(std::uint8_t family, int index, std::uint32_t flags = kRunning) {
    ifinfomsg header{};
    header.ifi_family = family;
    header.ifi_type = ARPHRD_ETHER;
    header.ifi_index = index;
    header.ifi_flags = flags;
    return header;
}

// A veth port of a bridge, with all that is read of it and some that is not.
Message veth_port() {
    Message message(RTM_NEWLINK, link_header(AF_UNSPEC, 14));
    message.text(IFLA_IFNAME, "vethc")
        .u32(IFLA_TXQLEN, 1000)
        .u8(IFLA_OPERSTATE, 6)
        .u32(IFLA_MTU, 1450)
        .u32(IFLA_PROMISCUITY, 1)
        .u32(IFLA_ALLMULTI, 2)
        .u8(IFLA_CARRIER, 1)
        .text(IFLA_QDISC, "noqueue")
        .mac(IFLA_ADDRESS, mac(7))
        .u32(IFLA_MASTER, 10)
        .s32(IFLA_LINK_NETNSID, 3)
        .u32(IFLA_LINK, 2)
        .nest(
            IFLA_XDP,
            [](Message& xdp) { xdp.u8(IFLA_XDP_ATTACHED, 1).u32(IFLA_XDP_PROG_ID, 55).u32(IFLA_XDP_DRV_PROG_ID, 55); })
        .nest(IFLA_LINKINFO, [](Message& info) {
            info.text(IFLA_INFO_KIND, "veth").text(IFLA_INFO_SLAVE_KIND, "bridge");
            info.nest(IFLA_INFO_SLAVE_DATA | NLA_F_NESTED, [](Message& port) {
                port.u8(IFLA_BRPORT_STATE, 3).u8(IFLA_BRPORT_LEARNING, 1).u8(IFLA_BRPORT_ISOLATED, 1);
            });
        });
    return message;
}

Link veth_link() {
    Link link;
    link.index = Ifindex{14};
    link.name = "vethc";
    link.kind = "veth";
    link.arp_type = ARPHRD_ETHER;
    link.flags = kRunning;
    link.carrier = true;
    link.mac = mac(7);
    link.mtu = 1450;
    link.promiscuity = 1;
    link.allmulti = 2;
    link.qdisc = "noqueue";
    link.master = Ifindex{10};
    link.lower = Ifindex{2};
    link.lower_netnsid = 3;
    link.xdp_program = 55;
    link.port = PortAttributes{.state = PortState::forwarding, .isolated = true};
    return link;
}

Message bridge_device(const std::function<void(Message&)>& data) {
    Message message(RTM_NEWLINK, link_header(AF_UNSPEC, 10));
    message.text(IFLA_IFNAME, "br0").u32(IFLA_MTU, 1500).nest(IFLA_LINKINFO, [&](Message& info) {
        info.text(IFLA_INFO_KIND, "bridge").nest(IFLA_INFO_DATA, data);
    });
    return message;
}

Message vlan_device(const std::function<void(Message&)>& data) {
    Message message(RTM_NEWLINK, link_header(AF_UNSPEC, 20));
    message.text(IFLA_IFNAME, "eth1.10").u32(IFLA_MTU, 1500).u32(IFLA_LINK, 11).nest(IFLA_LINKINFO, [&](Message& info) {
        info.text(IFLA_INFO_KIND, "vlan").nest(IFLA_INFO_DATA, data);
    });
    return message;
}

// With a VNI and a port, then what `data` puts.
Message vxlan_device(const std::function<void(Message&)>& data) {
    Message message(RTM_NEWLINK, link_header(AF_UNSPEC, 30));
    message.text(IFLA_IFNAME, "vxlan7").u32(IFLA_MTU, 1450).nest(IFLA_LINKINFO, [&](Message& info) {
        info.text(IFLA_INFO_KIND, "vxlan").nest(IFLA_INFO_DATA, [&](Message& m) {
            m.u32(IFLA_VXLAN_ID, 7).be16(IFLA_VXLAN_PORT, 4789);
            data(m);
        });
    });
    return message;
}

void put_address(Message& message, unsigned type, std::string_view text) {
    const IpAddress address = *IpAddress::parse(text);
    message.put(type, address.storage.data(), address.bytes().size());
}

Message vtep(unsigned type, std::uint16_t state, std::string_view address, const MacAddr& of = mac(1)) {
    Message message(type, ndmsg{.ndm_family = AF_BRIDGE, .ndm_ifindex = 30, .ndm_state = state, .ndm_flags = NTF_SELF});
    message.mac(NDA_LLADDR, of);
    if (!address.empty()) put_address(message, NDA_DST, address);
    return message;
}

Message neighbour(unsigned type, std::uint16_t state, std::string_view address, std::optional<MacAddr> of = {},
                  int device = 20) {
    const int family = IpAddress::parse(address)->family();
    Message message(type,
                    ndmsg{.ndm_family = static_cast<std::uint8_t>(family), .ndm_ifindex = device, .ndm_state = state});
    put_address(message, NDA_DST, address);
    if (of) message.mac(NDA_LLADDR, *of);
    return message;
}

// `family`: of one without an address, or another one than the address has.
Message ip_route(unsigned type, std::string_view network, std::uint8_t length, int family = AF_UNSPEC) {
    const auto address = IpAddress::parse(network);
    if (family == AF_UNSPEC) family = address ? address->family() : AF_INET;
    Message message(type, rtmsg{.rtm_family = static_cast<std::uint8_t>(family), .rtm_dst_len = length});
    message.u32(RTA_TABLE, RT_TABLE_MAIN);
    if (address) put_address(message, RTA_DST, network);
    return message.u32(RTA_OIF, 20);
}

Message nexthop(unsigned type) {
    Message message(type, nhmsg{.nh_family = AF_INET});
    return message.u32(NHA_ID, 1).u32(NHA_OIF, 20);
}

Message port_change(const std::function<void(Message&)>& attributes, unsigned type = RTM_NEWLINK) {
    Message message(type, link_header(AF_BRIDGE, 11));
    message.text(IFLA_IFNAME, "eth1")
        .u32(IFLA_MASTER, 10)
        .u32(IFLA_MTU, 1500)
        .nest(IFLA_PROTINFO | NLA_F_NESTED, attributes);
    return message;
}

Message fdb(unsigned type, std::uint16_t state, std::uint8_t flags, int ifindex = 11) {
    ndmsg header{};
    header.ndm_family = AF_BRIDGE;
    header.ndm_ifindex = ifindex;
    header.ndm_state = state;
    header.ndm_flags = flags;
    Message message(type, header);
    message.mac(NDA_LLADDR, mac(1)).u32(NDA_MASTER, 10);
    return message;
}

Message vlan_message(unsigned type, std::uint32_t index, std::uint8_t family = AF_BRIDGE) {
    return {type, br_vlan_msg{.family = family, .ifindex = index}};
}

void put_vlan_info(Message& entry, std::uint16_t flags, std::uint16_t vid) {
    const bridge_vlan_info info{flags, vid};
    entry.put(BRIDGE_VLANDB_ENTRY_INFO, &info, sizeof(info));
}

// An access VLAN that is the PVID, then a tagged range of which the first VLANs block.
Message port_vlans() {
    Message message = vlan_message(RTM_NEWVLAN, 11);
    message
        .nest(BRIDGE_VLANDB_ENTRY | NLA_F_NESTED,
              [](Message& m) {
                  put_vlan_info(m, BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED, 1);
                  m.u8(BRIDGE_VLANDB_ENTRY_STATE, 3);
              })
        .nest(BRIDGE_VLANDB_ENTRY,
              [](Message& m) {
                  put_vlan_info(m, 0, 10);
                  m.u16(BRIDGE_VLANDB_ENTRY_RANGE, 19).u8(BRIDGE_VLANDB_ENTRY_STATE, 4);
              })
        .nest(BRIDGE_VLANDB_ENTRY, [](Message& m) {
            put_vlan_info(m, 0, 20);
            m.u16(BRIDGE_VLANDB_ENTRY_RANGE, 4094).u8(BRIDGE_VLANDB_ENTRY_STATE, 3);
        });
    return message;
}

PortVlans vlans_of_port() {
    return {.pvid = Vid{1},
            .ranges = {{.first = 1, .last = 1, .untagged = true},
                       {.first = 10, .last = 19, .state = PortState::blocking},
                       {.first = 20, .last = 4094}}};
}

Message nft_chain(std::uint8_t family) {
    nfgenmsg header{};
    header.nfgen_family = family;
    Message message(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, header);
    message.text(NFTA_CHAIN_TABLE, "filter")
        .text(NFTA_CHAIN_NAME, "forward")
        .nest(NFTA_CHAIN_HOOK | NLA_F_NESTED,
              [](Message& hook) { hook.be32(NFTA_HOOK_HOOKNUM, NF_INET_FORWARD).be32(NFTA_HOOK_PRIORITY, 0); })
        .be32(NFTA_CHAIN_POLICY, NF_DROP)
        .text(NFTA_CHAIN_TYPE, "filter")
        .be32(NFTA_CHAIN_USE, 3);
    return message;
}

Message nft_flowtable() {
    nfgenmsg header{};
    header.nfgen_family = NFPROTO_INET;
    Message message(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWFLOWTABLE, header);
    message.text(NFTA_FLOWTABLE_TABLE, "t").text(NFTA_FLOWTABLE_NAME, "ft");
    message.nest(NFTA_FLOWTABLE_HOOK, [](Message& hook) {
        hook.be32(NFTA_FLOWTABLE_HOOK_NUM, 0).nest(NFTA_FLOWTABLE_HOOK_DEVS, [](Message& devices) {
            devices.text(NFTA_DEVICE_NAME, "eth1").text(NFTA_DEVICE_NAME, "eth2");
        });
    });
    return message;
}

Message netdev_event(std::uint8_t command, std::uint32_t ifindex) {
    genlmsghdr header{};
    header.cmd = command;
    Message message(30, header);
    message.u32(kNetdevIfindex, ifindex).u32(kNetdevXdpFeatures, 7);
    return message;
}

TEST(DecodeRouting, WhatRoutingDependsOn) {
    // One that says no more than its type is taken to be about everything.
    for (const std::uint16_t type :
         {RTM_NEWADDR, RTM_DELADDR, RTM_NEWRULE, RTM_DELRULE, RTM_NEWNETCONF, RTM_DELNETCONF}) {
        const nlmsghdr message = {.nlmsg_len = sizeof(message), .nlmsg_type = type};
        const auto event = decode_event(&message);
        EXPECT_TRUE(event && std::holds_alternative<RoutingChanged>(*event)) << type;
    }
    EXPECT_EQ(decode_address(Received(Message(RTM_NEWRULE, ifaddrmsg{})).get()), std::nullopt);
    EXPECT_EQ(decode_netconf(Received(Message(RTM_NEWRULE, netconfmsg{})).get()), std::nullopt);
}

TEST(DecodeRouting, Addresses) {
    const Event all = RoutingChanged{}, one = DeviceRoutingChanged{.index = Ifindex{7}};
    const auto address = [](int family, rt_scope_t scope, std::uint32_t device, std::uint16_t type = RTM_NEWADDR) {
        ifaddrmsg header{};
        header.ifa_family = static_cast<std::uint8_t>(family);
        header.ifa_scope = scope;
        header.ifa_index = device;
        return Message(type, header);
    };
    EXPECT_EQ(decoded(address(AF_INET6, RT_SCOPE_LINK, 7)), one);
    EXPECT_EQ(decoded(address(AF_INET6, RT_SCOPE_LINK, 7, RTM_DELADDR)), one);
    EXPECT_EQ(decoded(address(AF_INET6, RT_SCOPE_UNIVERSE, 7)), all);
    EXPECT_EQ(decoded(address(AF_INET, RT_SCOPE_LINK, 7)), all) << "it is the host's, whatever its scope";
    EXPECT_EQ(decoded(address(AF_INET6, RT_SCOPE_LINK, 0)), all);
}

TEST(DecodeRouting, Sysctls) {
    const Event all = RoutingChanged{};
    const auto netconf = [](std::int32_t device, std::uint16_t type = RTM_NEWNETCONF) {
        Message message(type, netconfmsg{});
        message.u32(NETCONFA_IFINDEX, static_cast<std::uint32_t>(device)).u32(NETCONFA_FORWARDING, 1);
        return message;
    };
    EXPECT_EQ(decoded(netconf(7)), Event(DeviceRoutingChanged{.index = Ifindex{7}}));
    EXPECT_EQ(decoded(netconf(7, RTM_DELNETCONF)), Event(DeviceRoutingChanged{.index = Ifindex{7}, .gone = true}));
    EXPECT_EQ(decoded(netconf(NETCONFA_IFINDEX_ALL)), all);
    EXPECT_EQ(decoded(netconf(NETCONFA_IFINDEX_DEFAULT)), all);
    EXPECT_EQ(decoded(netconf(0)), all);
    Message cut(RTM_NEWNETCONF, netconfmsg{});
    cut.put(NETCONFA_IFINDEX, "12", 2);
    EXPECT_EQ(decoded(cut), all);
}

TEST(DecodeLink, Device) {
    EXPECT_EQ(decoded(veth_port()), Event(LinkChanged{veth_link()}));
    Message gone(RTM_DELLINK, link_header(AF_UNSPEC, 14));
    gone.text(IFLA_IFNAME, "vethc");
    EXPECT_EQ(decoded(gone), Event(LinkGone{Ifindex{14}}));
}

TEST(DecodeLink, ValuesThatMeanNone) {
    Message message(RTM_NEWLINK, link_header(AF_UNSPEC, 14));
    message.text(IFLA_IFNAME, "wg0").u32(IFLA_MTU, 1420).u32(IFLA_LINK, 0).u32(IFLA_MASTER, 0).u8(IFLA_CARRIER, 0);
    const std::uint64_t long_address = 5;
    message.put(IFLA_ADDRESS, &long_address, sizeof(long_address)).put(IFLA_PHYS_SWITCH_ID, nullptr, 0);
    Link link;
    link.index = Ifindex{14};
    link.name = "wg0";
    link.arp_type = ARPHRD_ETHER;
    link.flags = kRunning;
    link.mtu = 1420;
    EXPECT_EQ(decoded(message), Event(LinkChanged{link}));
    message.put(IFLA_PHYS_SWITCH_ID, &long_address, 4).s32(IFLA_LINK_NETNSID, -1);
    link.switchdev = true;
    link.lower_netnsid = -1;
    EXPECT_EQ(decoded(message), Event(LinkChanged{link}));
}

TEST(DecodeLink, XdpProgram) {
    const auto program = [](const std::function<void(Message&)>& xdp) {
        Message message(RTM_NEWLINK, link_header(AF_UNSPEC, 14));
        message.text(IFLA_IFNAME, "e").u32(IFLA_MTU, 1500).nest(IFLA_XDP, xdp);
        return std::get<LinkChanged>(*decoded(message)).link.xdp_program;
    };
    EXPECT_EQ(program([](Message& m) { m.u8(IFLA_XDP_ATTACHED, 0); }), 0U);
    EXPECT_EQ(program([](Message& m) { m.u32(IFLA_XDP_PROG_ID, 5); }), 5U);
    EXPECT_EQ(program([](Message& m) { m.u32(IFLA_XDP_SKB_PROG_ID, 6); }), 6U);
    EXPECT_EQ(program([](Message& m) { m.u32(IFLA_XDP_HW_PROG_ID, 7); }), 7U);
    EXPECT_EQ(program([](Message& m) { m.u32(IFLA_XDP_SKB_PROG_ID, 6).u32(IFLA_XDP_DRV_PROG_ID, 8); }), 8U);
}

// What makes the whole message not to be understood.
TEST(DecodeLink, Malformed) {
    struct Row {
        const char* what;
        std::function<void(Message&)> spoil;
    };
    const std::vector<Row> rows = {
        {"mtu of two bytes", [](Message& m) { m.u16(IFLA_MTU, 1500); }},
        {"carrier of four bytes", [](Message& m) { m.u32(IFLA_CARRIER, 1); }},
        {"master of eight bytes", [](Message& m) { m.put(IFLA_MASTER, "12345678", 8); }},
        {"lower of one byte", [](Message& m) { m.u8(IFLA_LINK, 1); }},
        {"netnsid of one byte", [](Message& m) { m.u8(IFLA_LINK_NETNSID, 1); }},
        {"promiscuity of one byte", [](Message& m) { m.u8(IFLA_PROMISCUITY, 1); }},
        {"no name", [](Message& m) { m.put(IFLA_IFNAME, nullptr, 0); }},
        {"empty name", [](Message& m) { m.text(IFLA_IFNAME, ""); }},
        {"of another namespace", [](Message& m) { m.s32(IFLA_TARGET_NETNSID, 0); }},
        {"wireless extensions", [](Message& m) { m.u32(IFLA_WIRELESS, 0); }},
        {"program of two bytes", [](Message& m) { m.nest(IFLA_XDP, [](Message& x) { x.u16(IFLA_XDP_PROG_ID, 1); }); }},
        {"bridge attribute of the wrong size",
         [](Message& m) {
             m.nest(IFLA_LINKINFO, [](Message& i) {
                 i.text(IFLA_INFO_KIND, "bridge").nest(IFLA_INFO_DATA, [](Message& d) {
                     d.u8(IFLA_BR_AGEING_TIME, 1);
                 });
             });
         }},
        {"port state that does not exist",
         [](Message& m) {
             m.nest(IFLA_LINKINFO, [](Message& i) {
                 i.text(IFLA_INFO_SLAVE_KIND, "bridge").nest(IFLA_INFO_SLAVE_DATA, [](Message& d) {
                     d.u8(IFLA_BRPORT_STATE, 5);
                 });
             });
         }},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Message message = veth_port();
        row.spoil(message);
        EXPECT_FALSE(decoded(message).has_value());
    }
    EXPECT_FALSE(decoded(Message(RTM_NEWLINK, link_header(AF_UNSPEC, 0)).text(IFLA_IFNAME, "a").u32(IFLA_MTU, 1)));
    EXPECT_FALSE(decoded(Message(RTM_NEWLINK, link_header(AF_UNSPEC, -5)).text(IFLA_IFNAME, "a").u32(IFLA_MTU, 1)));
    EXPECT_FALSE(decoded(Message(RTM_NEWLINK, link_header(AF_INET6, 5)).text(IFLA_IFNAME, "a").u32(IFLA_MTU, 1)));
    EXPECT_FALSE(decoded(Message(RTM_NEWLINK, link_header(AF_UNSPEC, 5)).text(IFLA_IFNAME, "a")));
    EXPECT_FALSE(decoded(Message(RTM_NEWLINK, link_header(AF_UNSPEC, 5)).u32(IFLA_MTU, 1)));
    EXPECT_FALSE(decoded(Message(RTM_DELLINK, link_header(AF_UNSPEC, 0))));
    EXPECT_FALSE(decoded(Message(RTM_DELLINK, link_header(AF_UNSPEC, 5)).s32(IFLA_TARGET_NETNSID, 0)));
}

TEST(DecodeLink, EachPortAttribute) {
    struct Row {
        const char* what;
        std::function<void(Message&)> put;
        std::function<void(PortAttributes&)> expect;
    };
    const std::vector<Row> rows = {
        {"nothing else", [](Message&) {}, [](PortAttributes&) {}},
        {"hairpin", [](Message& m) { m.u8(IFLA_BRPORT_MODE, 1); }, [](PortAttributes& p) { p.hairpin = true; }},
        {"isolated", [](Message& m) { m.u8(IFLA_BRPORT_ISOLATED, 1); }, [](PortAttributes& p) { p.isolated = true; }},
        {"locked", [](Message& m) { m.u8(IFLA_BRPORT_LOCKED, 1); }, [](PortAttributes& p) { p.locked = true; }},
        {"mab", [](Message& m) { m.u8(40, 1); }, [](PortAttributes& p) { p.mab = true; }},
        {"learning off", [](Message& m) { m.u8(IFLA_BRPORT_LEARNING, 0); },
         [](PortAttributes& p) { p.learning = false; }},
        {"neigh_suppress", [](Message& m) { m.u8(IFLA_BRPORT_NEIGH_SUPPRESS, 1).u8(43, 0); },
         [](PortAttributes& p) { p.neigh_suppress = true; }},
        {"neigh_vlan_suppress", [](Message& m) { m.u8(IFLA_BRPORT_NEIGH_SUPPRESS, 0).u8(43, 1); },
         [](PortAttributes& p) { p.neigh_suppress = true; }},
        {"vlan_tunnel", [](Message& m) { m.u8(IFLA_BRPORT_VLAN_TUNNEL, 1); },
         [](PortAttributes& p) { p.vlan_tunnel = true; }},
        {"mrp_ring_open", [](Message& m) { m.u8(IFLA_BRPORT_MRP_RING_OPEN, 1); },
         [](PortAttributes& p) { p.mrp_ring_open = true; }},
        {"mrp_in_open", [](Message& m) { m.u8(IFLA_BRPORT_MRP_IN_OPEN, 1); },
         [](PortAttributes& p) { p.mrp_in_open = true; }},
        {"backup_port", [](Message& m) { m.u32(IFLA_BRPORT_BACKUP_PORT, 12); },
         [](PortAttributes& p) { p.backup_port = Ifindex{12}; }},
        {"backup_nhid", [](Message& m) { m.u32(44, 9); }, [](PortAttributes& p) { p.backup_nexthop = 9; }},
        {"harmless ones",
         [](Message& m) { m.u16(IFLA_BRPORT_PRIORITY, 32).u32(IFLA_BRPORT_COST, 2).u8(IFLA_BRPORT_UNICAST_FLOOD, 0); },
         [](PortAttributes&) {}},
        {"unknown ones", [](Message& m) { m.u8(45, 1).u32(90, 0); },
         [](PortAttributes& p) {
             p.unknown = {45, 90};
         }},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        PortAttributes expected{.state = PortState::forwarding};
        row.expect(expected);
        const auto put = [&row](Message& m) {
            m.u8(IFLA_BRPORT_STATE, 3);
            row.put(m);
        };
        EXPECT_EQ(decoded(port_change(put)), Event(PortChanged{kNic, kBridge, kRunning, expected}));
    }
    for (std::uint8_t state = 0; state <= 4; state++) {
        const auto event = decoded(port_change([state](Message& m) { m.u8(IFLA_BRPORT_STATE, state); }));
        ASSERT_TRUE(event.has_value());
        EXPECT_EQ(static_cast<std::uint8_t>(std::get<PortChanged>(*event).port.state), state);
    }
    EXPECT_FALSE(decoded(port_change([](Message& m) { m.u8(IFLA_BRPORT_STATE, 5); })));
    EXPECT_FALSE(decoded(port_change([](Message& m) { m.u16(IFLA_BRPORT_STATE, 3); })));
    EXPECT_FALSE(decoded(port_change([](Message& m) { m.u8(IFLA_BRPORT_LEARNING, 1); }))) << "a driver's report";
    EXPECT_FALSE(decoded(port_change([](Message& m) { m.u8(IFLA_BRPORT_STATE, 3).u16(IFLA_BRPORT_BACKUP_PORT, 1); })));
}

TEST(DecodeLink, PortLeaves) {
    const auto nothing = [](Message&) {};
    EXPECT_EQ(decoded(port_change(nothing, RTM_DELLINK)), Event(PortGone{kNic}));
    Message self(RTM_NEWLINK, link_header(AF_BRIDGE, 10));
    self.u32(IFLA_MASTER, 10).nest(IFLA_PROTINFO, [](Message& m) { m.u8(IFLA_BRPORT_STATE, 3); });
    EXPECT_FALSE(decoded(self)) << "the bridge's report on itself";
    Message no_master(RTM_DELLINK, link_header(AF_BRIDGE, 11));
    EXPECT_FALSE(decoded(no_master));
    Message no_attributes(RTM_NEWLINK, link_header(AF_BRIDGE, 11));
    EXPECT_FALSE(decoded(no_attributes.u32(IFLA_MASTER, 10)));
}

TEST(DecodeLink, EachBridgeAttribute) {
    struct Row {
        const char* what;
        std::function<void(Message&)> put;
        std::function<void(BridgeAttributes&)> expect;
    };
    const auto options = [](std::uint32_t value, std::uint32_t mask) {
        return [value, mask](Message& m) {
            const br_boolopt_multi pair{value, mask};
            m.put(IFLA_BR_MULTI_BOOLOPT, &pair, sizeof(pair));
        };
    };
    const std::vector<Row> rows = {
        {"nothing", [](Message&) {}, [](BridgeAttributes&) {}},
        {"ageing in ticks", [](Message& m) { m.u32(IFLA_BR_AGEING_TIME, 12345); },
         [](BridgeAttributes& b) { b.ageing_ms = 123450; }},
        {"the longest ageing", [](Message& m) { m.u32(IFLA_BR_AGEING_TIME, 0xffffffff); },
         [](BridgeAttributes& b) { b.ageing_ms = 42949672950; }},
        {"forward_delay", [](Message& m) { m.u32(IFLA_BR_FORWARD_DELAY, 200); },
         [](BridgeAttributes& b) { b.forward_delay_ms = 2000; }},
        {"stp by the kernel", [](Message& m) { m.u32(IFLA_BR_STP_STATE, 1); },
         [](BridgeAttributes& b) { b.stp = true; }},
        {"stp by a daemon", [](Message& m) { m.u32(IFLA_BR_STP_STATE, 2); }, [](BridgeAttributes& b) { b.stp = true; }},
        {"vlan_filtering", [](Message& m) { m.u8(IFLA_BR_VLAN_FILTERING, 1); },
         [](BridgeAttributes& b) { b.vlan_filtering = true; }},
        {"nf_call_iptables", [](Message& m) { m.u8(IFLA_BR_NF_CALL_IPTABLES, 1); },
         [](BridgeAttributes& b) { b.nf_call_iptables = true; }},
        {"nf_call_ip6tables", [](Message& m) { m.u8(IFLA_BR_NF_CALL_IP6TABLES, 1); },
         [](BridgeAttributes& b) { b.nf_call_ip6tables = true; }},
        {"nf_call_arptables", [](Message& m) { m.u8(IFLA_BR_NF_CALL_ARPTABLES, 1); }, [](BridgeAttributes&) {}},
        {"802.1ad", [](Message& m) { m.be16(IFLA_BR_VLAN_PROTOCOL, 0x88a8); },
         [](BridgeAttributes& b) { b.vlan_protocol = 0x88a8; }},
        {"default_pvid", [](Message& m) { m.u16(IFLA_BR_VLAN_DEFAULT_PVID, 5); }, [](BridgeAttributes&) {}},
        {"harmless options", options(0b01011, 0b11111), [](BridgeAttributes&) {}},
        {"mst", options(0b00100, 0b11111), [](BridgeAttributes& b) { b.mst = true; }},
        {"fdb_local_vlan_0", options(0b10000, 0b11111), [](BridgeAttributes& b) { b.local_in_vlan_0 = true; }},
        {"all known options", options(0b11111, 0b11111), [](BridgeAttributes& b) { b.mst = b.local_in_vlan_0 = true; }},
        {"options that the kernel does not have", options(0b11111, 0), [](BridgeAttributes&) {}},
        {"an unknown option that is off", options(0, 1U << 20), [](BridgeAttributes&) {}},
        {"an unknown option that is on", options(1U << 20, 1U << 20),
         [](BridgeAttributes& b) { b.unknown = {IFLA_BR_MULTI_BOOLOPT}; }},
        {"unknown", [](Message& m) { m.u8(60, 1); }, [](BridgeAttributes& b) { b.unknown = {60}; }},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        BridgeAttributes expected;
        row.expect(expected);
        const auto event = decoded(bridge_device(row.put));
        ASSERT_TRUE(event.has_value());
        const Link& link = std::get<LinkChanged>(*event).link;
        EXPECT_EQ(link.kind, "bridge");
        EXPECT_EQ(link.bridge, expected);
    }
    EXPECT_FALSE(decoded(bridge_device([](Message& m) { m.u32(IFLA_BR_MULTI_BOOLOPT, 1); })));
    EXPECT_FALSE(decoded(bridge_device([](Message& m) { m.u8(IFLA_BR_STP_STATE, 1); })));
    EXPECT_FALSE(decoded(bridge_device([](Message& m) { m.u32(IFLA_BR_VLAN_PROTOCOL, 0x88a8); })));
}

TEST(DecodeLink, EachVlanDeviceAttribute) {
    struct Row {
        const char* what;
        std::function<void(Message&)> put;
        std::function<void(VlanAttributes&)> expect;
    };
    const auto flags = [](std::uint32_t value) {
        return [value](Message& m) {
            const ifla_vlan_flags pair{value, 0xffffffff};
            m.put(IFLA_VLAN_FLAGS, &pair, sizeof(pair));
        };
    };
    const auto no_reorder = [](VlanAttributes& v) { v.reorder_header = false; };
    const auto mapping = [](Message& m) {
        const ifla_vlan_qos_mapping pair{1, 2};
        m.put(IFLA_VLAN_QOS_MAPPING, &pair, sizeof(pair));
    };
    const std::vector<Row> rows = {
        {"as it is made", flags(VLAN_FLAG_REORDER_HDR), [](VlanAttributes&) {}},
        {"no flag at all: left out", [](Message&) {}, no_reorder},
        {"another flag alone", flags(VLAN_FLAG_GVRP), no_reorder},
        {"harmless flags", flags(0b11111), [](VlanAttributes&) {}},
        {"an unknown flag", flags(0b100001), [](VlanAttributes& v) { v.unknown = {IFLA_VLAN_FLAGS}; }},
        {"802.1ad", [](Message& m) { m.be16(IFLA_VLAN_PROTOCOL, 0x88a8); },
         [](VlanAttributes& v) {
             v.protocol = 0x88a8;
             v.reorder_header = false;
         }},
        {"ingress-qos-map", [&](Message& m) { m.nest(IFLA_VLAN_INGRESS_QOS, mapping); },
         [](VlanAttributes& v) {
             v.maps_priority = true;
             v.reorder_header = false;
         }},
        {"egress-qos-map", [&](Message& m) { m.nest(IFLA_VLAN_EGRESS_QOS | NLA_F_NESTED, mapping); },
         [](VlanAttributes& v) {
             v.maps_priority = true;
             v.reorder_header = false;
         }},
        {"empty maps",
         [](Message& m) { m.put(IFLA_VLAN_INGRESS_QOS, nullptr, 0).put(IFLA_VLAN_EGRESS_QOS, nullptr, 0); },
         no_reorder},
        {"unknown", [](Message& m) { m.u8(40, 1); },
         [](VlanAttributes& v) {
             v.unknown = {40};
             v.reorder_header = false;
         }},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        VlanAttributes expected{.id = Vid{10}};
        row.expect(expected);
        const auto event = decoded(vlan_device([&row](Message& m) {
            m.u16(IFLA_VLAN_ID, 10);
            row.put(m);
        }));
        ASSERT_TRUE(event.has_value());
        const Link& link = std::get<LinkChanged>(*event).link;
        EXPECT_EQ(link.kind, "vlan");
        EXPECT_EQ(link.lower, kNic);
        EXPECT_EQ(link.vlan, expected);
    }
    EXPECT_FALSE(decoded(vlan_device([](Message&) {}))) << "no VID";
    EXPECT_FALSE(decoded(vlan_device([](Message& m) { m.u16(IFLA_VLAN_ID, 4095); })));
    EXPECT_FALSE(decoded(vlan_device([](Message& m) { m.u32(IFLA_VLAN_ID, 10); })));
    EXPECT_FALSE(decoded(vlan_device([](Message& m) { m.u16(IFLA_VLAN_ID, 10).u32(IFLA_VLAN_FLAGS, 1); })));
    EXPECT_FALSE(decoded(vlan_device([](Message& m) { m.u16(IFLA_VLAN_ID, 10).u8(IFLA_VLAN_PROTOCOL, 1); })));
}

TEST(DecodeLink, EachVxlanAttribute) {
    struct Row {
        const char* what;
        std::function<void(Message&)> put;
        std::function<void(VxlanAttributes&)> expect;
    };
    const auto address = [](unsigned type, const char* text) {
        return [type, text](Message& m) { put_address(m, type, text); };
    };
    const auto u8 = [](unsigned type, std::uint8_t value) { return [type, value](Message& m) { m.u8(type, value); }; };
    const auto flag = [](unsigned type) { return [type](Message& m) { m.put(type, nullptr, 0); }; };
    const auto option = [](const char* name) { return [name](VxlanAttributes& v) { v.options = {name}; }; };
    const auto nothing = [](VxlanAttributes&) {};
    const std::vector<Row> rows = {
        {"no more", [](Message&) {}, nothing},
        {"remote", address(IFLA_VXLAN_GROUP, "192.0.2.2"), [](VxlanAttributes& v) { v.has_remote = true; }},
        {"group", address(IFLA_VXLAN_GROUP, "239.1.1.1"),
         [](VxlanAttributes& v) { v.has_remote = v.remote_is_group = true; }},
        {"IPv6 remote", address(IFLA_VXLAN_GROUP6, "2001:db8::2"),
         [](VxlanAttributes& v) { v.has_remote = v.ipv6 = true; }},
        {"IPv6 group", address(IFLA_VXLAN_GROUP6, "ff05::1"),
         [](VxlanAttributes& v) { v.has_remote = v.ipv6 = v.remote_is_group = true; }},
        {"local", address(IFLA_VXLAN_LOCAL, "192.0.2.1"), [](VxlanAttributes& v) { v.has_local = true; }},
        {"IPv6 local", address(IFLA_VXLAN_LOCAL6, "2001:db8::1"),
         [](VxlanAttributes& v) { v.has_local = v.ipv6 = true; }},
        {"link", [](Message& m) { m.u32(IFLA_VXLAN_LINK, 20); }, [](VxlanAttributes& v) { v.lower = Ifindex{20}; }},
        {"learning", u8(IFLA_VXLAN_LEARNING, 1), [](VxlanAttributes& v) { v.learning = true; }},
        {"ageing", [](Message& m) { m.u32(IFLA_VXLAN_AGEING, 300); }, [](VxlanAttributes& v) { v.ageing_ms = 300000; }},
        {"ttl", u8(IFLA_VXLAN_TTL, 64), [](VxlanAttributes& v) { v.ttl = 64; }},
        {"ttl inherit", u8(IFLA_VXLAN_TTL_INHERIT, 1), [](VxlanAttributes& v) { v.ttl_inherit = true; }},
        {"tos", u8(IFLA_VXLAN_TOS, 1), [](VxlanAttributes& v) { v.tos = 1; }},
        {"df set", u8(IFLA_VXLAN_DF, 1), [](VxlanAttributes& v) { v.df = VxlanDf::set; }},
        {"df inherit", u8(IFLA_VXLAN_DF, 2), [](VxlanAttributes& v) { v.df = VxlanDf::inherit; }},
        {"another df", u8(IFLA_VXLAN_DF, 3), [](VxlanAttributes& v) { v.unknown = {IFLA_VXLAN_DF}; }},
        {"label", [](Message& m) { m.be32(IFLA_VXLAN_LABEL, 0x12345); }, [](VxlanAttributes& v) { v.label = 0x12345; }},
        {"fixed label", [](Message& m) { m.u32(32, 0); }, nothing},
        {"label inherit", [](Message& m) { m.u32(32, 1); }, [](VxlanAttributes& v) { v.label_inherit = true; }},
        {"another label policy", [](Message& m) { m.u32(32, 2); }, [](VxlanAttributes& v) { v.unknown = {32}; }},
        {"udpcsum", u8(IFLA_VXLAN_UDP_CSUM, 1), [](VxlanAttributes& v) { v.udp_csum = true; }},
        {"udp6zerocsumtx", u8(IFLA_VXLAN_UDP_ZERO_CSUM6_TX, 1), [](VxlanAttributes& v) { v.udp6_zero_csum_tx = true; }},
        {"udp6zerocsumrx", u8(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, 1), [](VxlanAttributes& v) { v.udp6_zero_csum_rx = true; }},
        {"external", u8(IFLA_VXLAN_COLLECT_METADATA, 1), option("external")},
        {"not external", u8(IFLA_VXLAN_COLLECT_METADATA, 0), nothing},
        {"vnifilter", u8(IFLA_VXLAN_VNIFILTER, 1), option("vnifilter")},
        {"gbp", flag(IFLA_VXLAN_GBP), option("gbp")},
        {"gpe", flag(IFLA_VXLAN_GPE), option("gpe")},
        {"proxy", u8(IFLA_VXLAN_PROXY, 1), option("proxy")},
        {"rsc", u8(IFLA_VXLAN_RSC, 1), option("rsc")},
        {"l2miss", u8(IFLA_VXLAN_L2MISS, 1), option("l2miss")},
        {"l3miss", u8(IFLA_VXLAN_L3MISS, 1), option("l3miss")},
        {"remcsumtx", u8(IFLA_VXLAN_REMCSUM_TX, 1), option("remcsumtx")},
        {"remcsumrx", u8(IFLA_VXLAN_REMCSUM_RX, 1), option("remcsumrx")},
        {"no partial", flag(IFLA_VXLAN_REMCSUM_NOPARTIAL), option("remcsum-nopartial")},
        {"localbypass", u8(31, 1), nothing},
        {"nolocalbypass", u8(31, 0), option("nolocalbypass")},
        {"limit", [](Message& m) { m.u32(IFLA_VXLAN_LIMIT, 5); }, nothing},
        {"port range", [](Message& m) { m.u32(IFLA_VXLAN_PORT_RANGE, 5); }, nothing},
        {"reserved bits", [](Message& m) { m.put(33, "12345678", 8); }, nothing},
        {"fan map", [](Message& m) { m.put(33, "123456789abc", 12); }, [](VxlanAttributes& v) { v.unknown = {33}; }},
        {"mcroute", u8(34, 1), nothing},
        {"unknown", u8(60, 0), [](VxlanAttributes& v) { v.unknown = {60}; }},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        VxlanAttributes expected;
        expected.vni = 7;
        expected.port = 4789;
        row.expect(expected);
        const auto event = decoded(vxlan_device(row.put));
        ASSERT_TRUE(event.has_value());
        EXPECT_EQ(std::get<LinkChanged>(*event).link.vxlan, expected);
    }
    for (const unsigned type :
         {IFLA_VXLAN_ID, IFLA_VXLAN_PORT, IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6,
          IFLA_VXLAN_LINK, IFLA_VXLAN_LEARNING, IFLA_VXLAN_AGEING, IFLA_VXLAN_DF, IFLA_VXLAN_COLLECT_METADATA})
        EXPECT_FALSE(decoded(vxlan_device([type](Message& m) { m.put(type, "12345", 5); }))) << type;
}

TEST(DecodeFdb, Vteps) {
    struct Row {
        const char* what;
        Message message;
        std::optional<Event> event;
    };
    const FdbKey one{Ifindex{30}, Vid::none, mac(1)};
    const auto changed = [&one](const char* address, bool fixed) {
        return Event(VtepChanged{one, {*IpAddress::parse(address), fixed}});
    };
    const auto with = [](unsigned type) {
        Message message = vtep(RTM_NEWNEIGH, NUD_REACHABLE, "192.0.2.2");
        message.u32(type, 5);
        return message;
    };
    Message nexthop = vtep(RTM_NEWNEIGH, NUD_NOARP, "");
    nexthop.u32(NDA_NH_ID, 5);
    Message cut = vtep(RTM_NEWNEIGH, NUD_REACHABLE, "");
    cut.put(NDA_DST, "12345", 5);
    const std::vector<Row> rows = {
        {"learned", vtep(RTM_NEWNEIGH, NUD_REACHABLE, "192.0.2.2"), changed("192.0.2.2", false)},
        {"IPv6", vtep(RTM_NEWNEIGH, NUD_REACHABLE, "2001:db8::2"), changed("2001:db8::2", false)},
        {"permanent", vtep(RTM_NEWNEIGH, NUD_PERMANENT, "192.0.2.2"), changed("192.0.2.2", true)},
        {"static", vtep(RTM_NEWNEIGH, NUD_NOARP, "192.0.2.2"), changed("192.0.2.2", true)},
        {"gone", vtep(RTM_DELNEIGH, NUD_STALE, "192.0.2.2"), Event(VtepGone{one})},
        {"a nexthop group", nexthop, Event(VtepGone{one})},
        {"of a VNI", with(NDA_SRC_VNI), Event(VtepGone{one})},
        {"with a VNI of its own", with(NDA_VNI), Event(VtepGone{one})},
        {"with a device of its own", with(NDA_IFINDEX), Event(VtepGone{one})},
        {"behind a group", vtep(RTM_NEWNEIGH, NUD_REACHABLE, "239.1.1.1"), Event(VtepGone{one})},
        {"all other addresses", vtep(RTM_NEWNEIGH, NUD_PERMANENT, "192.0.2.2", {}), std::nullopt},
        {"a group's address", vtep(RTM_NEWNEIGH, NUD_PERMANENT, "192.0.2.2", {{1, 0, 0x5e, 0, 0, 1}}), std::nullopt},
        {"another driver's", vtep(RTM_NEWNEIGH, NUD_PERMANENT, ""), std::nullopt},
        {"address of five bytes", cut, std::nullopt},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        EXPECT_EQ(decoded(row.message), row.event);
    }
}

TEST(DecodeRoute, Neighbours) {
    struct Row {
        const char* what;
        Message message;
        std::optional<Event> event;
    };
    const auto of = [](const char* address) { return NeighbourKey{Ifindex{20}, *IpAddress::parse(address)}; };
    const auto changed = [&of](const char* address) { return Event(NeighbourChanged{of(address), mac(9)}); };
    const auto gone = [&of](const char* address) { return Event(NeighbourGone{of(address)}); };
    const char *v4 = "192.0.2.9", *v6 = "2001:db8::9";
    Message other_length = neighbour(RTM_NEWNEIGH, NUD_REACHABLE, v4);
    other_length.u32(NDA_LLADDR, 1);
    ndmsg header{};
    header.ndm_family = AF_INET6;
    header.ndm_ifindex = 20;
    header.ndm_state = NUD_REACHABLE;
    Message other_family(RTM_NEWNEIGH, header);
    other_family.u32(NDA_DST, 1).mac(NDA_LLADDR, mac(9));
    header.ndm_flags = NTF_PROXY;
    Message proxy(RTM_NEWNEIGH, header);
    put_address(proxy, NDA_DST, v6);
    proxy.mac(NDA_LLADDR, mac(9));
    std::vector<Row> rows = {
        {"IPv6", neighbour(RTM_NEWNEIGH, NUD_STALE, v6, mac(9)), changed(v6)},
        {"gone", neighbour(RTM_DELNEIGH, NUD_STALE, v4, mac(9)), gone(v4)},
        {"gone, IPv6", neighbour(RTM_DELNEIGH, NUD_FAILED, v6), gone(v6)},
        {"failed", neighbour(RTM_NEWNEIGH, NUD_FAILED, v4), gone(v4)},
        {"failed, its address still told", neighbour(RTM_NEWNEIGH, NUD_FAILED, v4, mac(9)), gone(v4)},
        {"asked for", neighbour(RTM_NEWNEIGH, NUD_INCOMPLETE, v4), gone(v4)},
        {"a group", neighbour(RTM_NEWNEIGH, NUD_NOARP, v4, {{1, 0, 0x5e, 0, 0, 1}}), gone(v4)},
        {"no address", neighbour(RTM_NEWNEIGH, NUD_NOARP, v4, MacAddr{}), gone(v4)},
        {"no Ethernet device's", other_length, gone(v4)},
        {"another family's address", other_family, std::nullopt},
        {"proxy", proxy, std::nullopt},
        {"no device", neighbour(RTM_NEWNEIGH, NUD_REACHABLE, v4, mac(9), 0), std::nullopt},
    };
    for (const std::uint16_t state :
         std::vector<std::uint16_t>{NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE, NUD_PERMANENT, NUD_NOARP})
        rows.push_back({"valid", neighbour(RTM_NEWNEIGH, state, v4, mac(9)), changed(v4)});
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        EXPECT_EQ(decoded(row.message), row.event);
    }
}

TEST(DecodeRoute, RoutesAndNexthops) {
    struct Row {
        const char* what;
        Message message;
        std::optional<Event> event;
    };
    const auto changed = [](const char* prefix) { return Event(RouteChanged{*IpPrefix::parse(prefix)}); };
    const std::vector<Row> rows = {
        {"new", ip_route(RTM_NEWROUTE, "192.0.2.0", 24), changed("192.0.2.0/24")},
        {"gone", ip_route(RTM_DELROUTE, "192.0.2.0", 24), changed("192.0.2.0/24")},
        {"IPv6", ip_route(RTM_NEWROUTE, "2001:db8::", 32), changed("2001:db8::/32")},
        {"a host", ip_route(RTM_NEWROUTE, "2001:db8::1", 128), changed("2001:db8::1/128")},
        {"default", ip_route(RTM_NEWROUTE, "", 0), changed("0.0.0.0/0")},
        {"default, IPv6", ip_route(RTM_DELROUTE, "", 0, AF_INET6), changed("::/0")},
        {"without an address", ip_route(RTM_NEWROUTE, "", 24), std::nullopt},
        {"too long", ip_route(RTM_NEWROUTE, "192.0.2.0", 33), std::nullopt},
        {"another family's address", ip_route(RTM_NEWROUTE, "192.0.2.0", 24, AF_INET6), std::nullopt},
        {"another family", ip_route(RTM_NEWROUTE, "", 0, AF_MPLS), std::nullopt},
        {"nexthop", nexthop(RTM_NEWNEXTHOP), Event(NexthopChanged{})},
        {"nexthop gone", nexthop(RTM_DELNEXTHOP), Event(NexthopChanged{})},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        EXPECT_EQ(decoded(row.message), row.event);
    }
}

TEST(DecodeFdb, Entries) {
    struct Row {
        const char* what;
        Message message;
        std::optional<Event> event;
    };
    const auto changed = [](const FdbRecord& record) { return Event(FdbChanged{key(1), record}); };
    Message with_vid = fdb(RTM_NEWNEIGH, NUD_REACHABLE, 0);
    with_vid.u16(NDA_VLAN, 4094);
    Message wrong_vid = fdb(RTM_NEWNEIGH, NUD_REACHABLE, 0);
    wrong_vid.u16(NDA_VLAN, 4095);
    Message locked = fdb(RTM_NEWNEIGH, NUD_REACHABLE, 0);
    locked.u32(NDA_FLAGS_EXT, 1U << 1);
    Message short_mac = fdb(RTM_NEWNEIGH, NUD_REACHABLE, 0);
    short_mac.u32(NDA_LLADDR, 5);
    Message no_master(RTM_NEWNEIGH, ndmsg{.ndm_family = AF_BRIDGE, .ndm_ifindex = 11, .ndm_state = NUD_REACHABLE});
    no_master.mac(NDA_LLADDR, mac(1));
    Message no_mac(RTM_NEWNEIGH, ndmsg{.ndm_family = AF_BRIDGE, .ndm_ifindex = 11, .ndm_state = NUD_REACHABLE});
    no_mac.u32(NDA_MASTER, 10);
    Message neighbour(RTM_NEWNEIGH, ndmsg{.ndm_family = AF_INET, .ndm_ifindex = 11, .ndm_state = NUD_REACHABLE});
    neighbour.mac(NDA_LLADDR, mac(1)).u32(NDA_MASTER, 10);
    const std::vector<Row> rows = {
        {"learned", fdb(RTM_NEWNEIGH, NUD_REACHABLE, 0), changed({.port = kNic})},
        {"aged but there", fdb(RTM_NEWNEIGH, NUD_STALE, 0), changed({.port = kNic})},
        {"local on a port", fdb(RTM_NEWNEIGH, NUD_PERMANENT, 0), changed({.port = kNic, .local = true})},
        {"local on the bridge", fdb(RTM_NEWNEIGH, NUD_PERMANENT, 0, 10),
         changed({.port = Ifindex::none, .local = true})},
        {"static", fdb(RTM_NEWNEIGH, NUD_NOARP, 0), changed({.port = kNic, .is_static = true})},
        {"sticky", fdb(RTM_NEWNEIGH, NUD_NOARP, NTF_STICKY),
         changed({.port = kNic, .is_static = true, .sticky = true})},
        {"offloaded", fdb(RTM_NEWNEIGH, NUD_REACHABLE, NTF_OFFLOADED), changed({.port = kNic, .offloaded = true})},
        {"learned from outside", fdb(RTM_NEWNEIGH, NUD_REACHABLE, NTF_EXT_LEARNED), changed({.port = kNic})},
        {"locked", locked, changed({.port = kNic, .locked = true})},
        {"of a VLAN", with_vid, Event(FdbChanged{{kBridge, Vid{4094}, mac(1)}, {.port = kNic}})},
        {"gone", fdb(RTM_DELNEIGH, NUD_REACHABLE, 0), Event(FdbGone{key(1)})},
        {"VLAN that does not exist", wrong_vid, std::nullopt},
        {"a driver's own", fdb(RTM_NEWNEIGH, NUD_PERMANENT, NTF_SELF), std::nullopt},
        {"address of four bytes", short_mac, std::nullopt},
        {"no master", no_master, std::nullopt},
        {"no address", no_mac, std::nullopt},
        {"no device", fdb(RTM_NEWNEIGH, NUD_REACHABLE, 0, 0), std::nullopt},
        {"device below zero", fdb(RTM_NEWNEIGH, NUD_REACHABLE, 0, -1), std::nullopt},
        {"an IP neighbour", neighbour, std::nullopt},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        EXPECT_EQ(decoded(row.message), row.event);
    }
}

TEST(DecodeVlan, Event) {
    for (const unsigned type : {RTM_NEWVLAN, RTM_DELVLAN}) {
        SCOPED_TRACE(type);
        Message entry = vlan_message(type, 11);
        entry.nest(BRIDGE_VLANDB_ENTRY, [](Message& m) { put_vlan_info(m, 0, 10); });
        EXPECT_EQ(decoded(entry), Event(VlansChanged{kNic}));
        Message options = vlan_message(type, 10);
        options.nest(BRIDGE_VLANDB_GLOBAL_OPTIONS, [](Message& m) { m.u16(BRIDGE_VLANDB_GOPTS_ID, 10); });
        EXPECT_EQ(decoded(options), Event(VlansChanged{kBridge}));
    }
    EXPECT_FALSE(decoded(vlan_message(RTM_NEWVLAN, 0)));
    EXPECT_FALSE(decoded(vlan_message(RTM_NEWVLAN, 11, AF_UNSPEC)));
    EXPECT_FALSE(decoded(vlan_message(RTM_GETVLAN, 11)));
}

TEST(DecodeVlan, VlansOfAPort) {
    PortVlans vlans;
    EXPECT_TRUE(append_vlans(vlans, Received(port_vlans()).get()));
    EXPECT_EQ(vlans, vlans_of_port());

    // A long list comes in several messages, not all of which have the PVID.
    vlans = {.pvid = Vid{1}, .ranges = {{.first = 1, .last = 1}}};
    Message more = vlan_message(RTM_NEWVLAN, 11);
    more.nest(BRIDGE_VLANDB_ENTRY, [](Message& m) { put_vlan_info(m, 0, 10); });
    EXPECT_TRUE(append_vlans(vlans, Received(more).get()));
    EXPECT_EQ(vlans, (PortVlans{.pvid = Vid{1}, .ranges = {{.first = 1, .last = 1}, {.first = 10, .last = 10}}}));

    // One that has none is told of as well; a bridge's options are no VLANs of its own.
    EXPECT_TRUE(append_vlans(vlans, Received(vlan_message(RTM_NEWVLAN, 11)).get()));
    Message options = vlan_message(RTM_NEWVLAN, 10);
    options.nest(BRIDGE_VLANDB_GLOBAL_OPTIONS, [](Message& m) { m.u16(BRIDGE_VLANDB_GOPTS_ID, 10); });
    EXPECT_TRUE(append_vlans(vlans, Received(options).get()));
    EXPECT_EQ(vlans.ranges.size(), 2U);
}

TEST(DecodeVlan, EachEntryAttribute) {
    struct Row {
        const char* what;
        std::uint16_t flags;
        std::function<void(Message&)> put;
        VlanRange expected;
    };
    const auto nothing = [](Message&) {};
    const VlanRange plain{.first = 10, .last = 10};
    const std::vector<Row> rows = {
        {"nothing else", 0, nothing, plain},
        {"untagged", BRIDGE_VLAN_INFO_UNTAGGED, nothing, {.first = 10, .last = 10, .untagged = true}},
        {"flags that say nothing of the port",
         BRIDGE_VLAN_INFO_MASTER | BRIDGE_VLAN_INFO_RANGE_BEGIN | BRIDGE_VLAN_INFO_RANGE_END | BRIDGE_VLAN_INFO_BRENTRY,
         nothing, plain},
        {"an unknown flag", 1U << 9, nothing, {.first = 10, .last = 10, .unknown = {0}}},
        {"range", 0, [](Message& m) { m.u16(BRIDGE_VLANDB_ENTRY_RANGE, 4094); }, {.first = 10, .last = 4094}},
        {"range of one", 0, [](Message& m) { m.u16(BRIDGE_VLANDB_ENTRY_RANGE, 10); }, plain},
        {"tunnel",
         0,
         [](Message& m) {
             m.nest(BRIDGE_VLANDB_ENTRY_TUNNEL_INFO, [](Message& t) { t.u32(BRIDGE_VLANDB_TINFO_ID, 500); });
         },
         {.first = 10, .last = 10, .tunnel = true}},
        {"harmless ones", 0,
         [](Message& m) {
             m.nest(BRIDGE_VLANDB_ENTRY_STATS, [](Message& s) { s.u32(BRIDGE_VLANDB_STATS_RX_BYTES, 1); });
             m.u8(BRIDGE_VLANDB_ENTRY_MCAST_ROUTER, 1).u32(7, 1).u32(8, 1).u8(9, 1);
         },
         plain},
        {"unknown ones", 0, [](Message& m) { m.u8(10, 1).u32(90, 0); }, {.first = 10, .last = 10, .unknown = {10, 90}}},
    };
    const auto entry = [](std::uint16_t flags, std::uint16_t vid, const std::function<void(Message&)>& put) {
        Message message = vlan_message(RTM_NEWVLAN, 11);
        message.nest(BRIDGE_VLANDB_ENTRY, [&](Message& m) {
            put_vlan_info(m, flags, vid);
            put(m);
        });
        return message;
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        PortVlans vlans;
        EXPECT_TRUE(append_vlans(vlans, Received(entry(row.flags, 10, row.put)).get()));
        EXPECT_EQ(vlans, (PortVlans{.pvid = Vid::none, .ranges = {row.expected}}));
    }
    for (std::uint8_t state = 0; state <= 4; state++) {
        PortVlans vlans;
        const auto put = [state](Message& m) { m.u8(BRIDGE_VLANDB_ENTRY_STATE, state); };
        ASSERT_TRUE(append_vlans(vlans, Received(entry(0, 10, put)).get()));
        EXPECT_EQ(static_cast<std::uint8_t>(vlans.ranges.at(0).state), state);
    }

    Message no_info = vlan_message(RTM_NEWVLAN, 11);
    no_info.nest(BRIDGE_VLANDB_ENTRY, [](Message& m) { m.u16(BRIDGE_VLANDB_ENTRY_RANGE, 10); });
    // What is not understood of one entry must not be taken for VLANs that are not there.
    Message half = port_vlans();
    half.nest(BRIDGE_VLANDB_ENTRY, [](Message& m) { m.u8(BRIDGE_VLANDB_ENTRY_INFO, 1); });
    Message gone = vlan_message(RTM_DELVLAN, 11);
    gone.nest(BRIDGE_VLANDB_ENTRY, [](Message& m) { put_vlan_info(m, 0, 10); });
    const std::vector<std::pair<const char*, Message>> malformed = {
        {"VID 0", entry(0, 0, nothing)},
        {"VID 4095", entry(0, 4095, nothing)},
        {"range to 4095", entry(0, 10, [](Message& m) { m.u16(BRIDGE_VLANDB_ENTRY_RANGE, 4095); })},
        {"range that goes back", entry(0, 10, [](Message& m) { m.u16(BRIDGE_VLANDB_ENTRY_RANGE, 9); })},
        {"range of one byte", entry(0, 10, [](Message& m) { m.u8(BRIDGE_VLANDB_ENTRY_RANGE, 20); })},
        {"state that does not exist", entry(0, 10, [](Message& m) { m.u8(BRIDGE_VLANDB_ENTRY_STATE, 5); })},
        {"state of two bytes", entry(0, 10, [](Message& m) { m.u16(BRIDGE_VLANDB_ENTRY_STATE, 3); })},
        {"no VID", no_info},
        {"the last of several", half},
        {"of no device", vlan_message(RTM_NEWVLAN, 0)},
        {"of another family", vlan_message(RTM_NEWVLAN, 11, AF_UNSPEC)},
        {"one that went", gone},
    };
    for (const auto& [what, message] : malformed) {
        SCOPED_TRACE(what);
        PortVlans vlans = vlans_of_port();
        EXPECT_FALSE(append_vlans(vlans, Received(message).get()));
        EXPECT_EQ(vlans, vlans_of_port());
    }
}

TEST(DecodeTrafficControl, Devices) {
    const auto message = [](unsigned type, int ifindex) {
        tcmsg header{};
        header.tcm_ifindex = ifindex;
        Message result(type, header);
        result.text(TCA_KIND, "clsact");
        return result;
    };
    for (const unsigned type : {RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTFILTER, RTM_DELTFILTER, RTM_NEWCHAIN, RTM_DELCHAIN})
        EXPECT_EQ(decoded(message(type, 11)), Event(TrafficControlChanged{kNic})) << type;
    EXPECT_FALSE(decoded(message(RTM_NEWTFILTER, -1))) << "a shared block names no device";
    EXPECT_FALSE(decoded(message(RTM_NEWTCLASS, 11)));
    EXPECT_FALSE(decoded(message(RTM_NEWROUTE, 11)));
}

// What each of the messages gives, one after another.
TEST(DecodeNftables, Transactions) {
    using Types = std::vector<int>;
    NftTransaction transaction;
    const auto last_of = [&transaction](const Types& types) {
        std::optional<Event> last;
        for (const int type : types) {
            EXPECT_FALSE(last) << "before its end";
            const auto whole = static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type);
            last = transaction.take(Received(Message(whole, nfgenmsg{})).get());
        }
        return last;
    };
    const Event rules = RulesetChanged{}, elements = RoutingChanged{};
    EXPECT_EQ(last_of({NFT_MSG_NEWGEN}), rules);
    EXPECT_EQ(last_of({NFT_MSG_NEWRULE, NFT_MSG_NEWGEN}), rules);
    EXPECT_EQ(last_of({NFT_MSG_NEWSETELEM, NFT_MSG_NEWSETELEM, NFT_MSG_NEWGEN}), elements);
    EXPECT_EQ(last_of({NFT_MSG_DELSETELEM, NFT_MSG_NEWGEN}), elements);
    EXPECT_EQ(last_of({NFT_MSG_NEWSETELEM, NFT_MSG_DELRULE, NFT_MSG_NEWGEN}), rules);
    EXPECT_EQ(last_of({NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_NEWGEN}), rules);
    EXPECT_EQ(last_of({NFT_MSG_NEWSETELEM, NFT_MSG_NEWGEN}), elements) << "each begins anew";
    EXPECT_FALSE(last_of({NFT_MSG_NEWCHAIN}));
}

TEST(DecodeNftables, Chain) {
    const auto hook = decode_nft_hook(Received(nft_chain(NFPROTO_BRIDGE)).get());
    ASSERT_TRUE(hook.has_value());
    EXPECT_EQ(hook->family, NFPROTO_BRIDGE);
    EXPECT_EQ(hook->table, "filter");
    EXPECT_EQ(hook->chain, "forward");
    EXPECT_FALSE(hook->flowtable);
    EXPECT_EQ(hook->hook, NF_INET_FORWARD);
    EXPECT_FALSE(hook->nat);
    EXPECT_TRUE(hook->drops);
    EXPECT_EQ(hook->rules, 3U);
    EXPECT_THAT(hook->devices, IsEmpty());
    EXPECT_EQ(hook->unknown, "");

    Message other = nft_chain(NFPROTO_NETDEV);
    other.text(NFTA_CHAIN_TYPE, "nat").be32(NFTA_CHAIN_POLICY, NF_ACCEPT);
    other.nest(NFTA_CHAIN_HOOK, [](Message& m) {
        m.be32(NFTA_HOOK_HOOKNUM, 0).text(NFTA_HOOK_DEV, "eth1").nest(NFTA_HOOK_DEVS, [](Message& devices) {
            devices.text(NFTA_DEVICE_NAME, "eth1").text(NFTA_DEVICE_NAME, "eth2");
        });
    });
    const auto on_devices = decode_nft_hook(Received(other).get());
    ASSERT_TRUE(on_devices.has_value());
    EXPECT_TRUE(on_devices->nat);
    EXPECT_FALSE(on_devices->drops);
    EXPECT_THAT(on_devices->devices, ElementsAre("eth1", "eth2"));
    EXPECT_EQ(on_devices->unknown, "");

    Message pattern = nft_chain(NFPROTO_NETDEV);
    pattern.nest(NFTA_CHAIN_HOOK, [](Message& m) {
        m.be32(NFTA_HOOK_HOOKNUM, 0).nest(NFTA_HOOK_DEVS, [](Message& devices) { devices.text(2, "eth"); });
    });
    EXPECT_EQ(decode_nft_hook(Received(pattern).get())->unknown, "is on devices by a pattern");

    Message no_base(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, nfgenmsg{.nfgen_family = NFPROTO_IPV4});
    no_base.text(NFTA_CHAIN_TABLE, "filter").text(NFTA_CHAIN_NAME, "jump").be32(NFTA_CHAIN_USE, 3);
    EXPECT_FALSE(decode_nft_hook(Received(no_base).get()));
    Message short_number = nft_chain(NFPROTO_IPV4);
    short_number.nest(NFTA_CHAIN_HOOK, [](Message& m) { m.u8(NFTA_HOOK_HOOKNUM, 2); });
    EXPECT_EQ(decode_nft_hook(Received(short_number).get())->unknown, "cannot be understood");
}

// A rule of one expression, or of several.
using Expression = std::pair<std::string, std::function<void(Message&)>>;
Message nft_rule(std::uint8_t family, const std::vector<Expression>& expressions) {
    Message message(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, nfgenmsg{.nfgen_family = family});
    message.text(NFTA_RULE_TABLE, "t").text(NFTA_RULE_CHAIN, "c");
    return message.nest(NFTA_RULE_EXPRESSIONS, [&](Message& list) {
        for (const Expression& expression : expressions)
            list.nest(NFTA_LIST_ELEM, [&](Message& element) {
                element.text(NFTA_EXPR_NAME, expression.first);
                element.nest(NFTA_EXPR_DATA, expression.second);
            });
    });
}

Expression payload_expression(std::uint32_t base, std::uint32_t offset, std::uint32_t length) {
    return {"payload", [=](Message& m) {
                m.be32(NFTA_PAYLOAD_DREG, 1);
                m.be32(NFTA_PAYLOAD_BASE, base).be32(NFTA_PAYLOAD_OFFSET, offset).be32(NFTA_PAYLOAD_LEN, length);
            }};
}

Expression mask_expression(std::uint8_t mask) {
    return {"bitwise", [mask](Message& m) {
                m.nest(NFTA_BITWISE_MASK, [mask](Message& value) { value.u8(NFTA_DATA_VALUE, mask); });
            }};
}

Expression byte_comparison(std::uint32_t operation, std::uint8_t byte) {
    return {"cmp", [operation, byte](Message& m) {
                m.be32(NFTA_CMP_OP, operation);
                m.nest(NFTA_CMP_DATA, [byte](Message& value) { value.u8(NFTA_DATA_VALUE, byte); });
            }};
}

Expression key_expression(const char* name, unsigned type, std::uint32_t key) {
    return {name, [type, key](Message& m) { m.be32(type, key); }};
}

template <class Info>
Expression extension_expression(const char* kind, const char* name, const Info& info) {
    const bool match = std::string_view(kind) == "match";
    return {kind, [=](Message& m) {
                m.text(match ? unsigned{NFTA_MATCH_NAME} : unsigned{NFTA_TARGET_NAME}, name);
                m.put(match ? unsigned{NFTA_MATCH_INFO} : unsigned{NFTA_TARGET_INFO}, &info, sizeof(info));
            }};
}

TEST(DecodeNftRule, WhatIsTheSameForAllPackets) {
    struct Row {
        std::uint8_t family;
        std::vector<Expression> expressions;
        std::string per_packet;
    };
    const auto nothing = [](Message&) {};
    constexpr std::uint32_t kNetwork = NFT_PAYLOAD_NETWORK_HEADER, kTransport = NFT_PAYLOAD_TRANSPORT_HEADER;
    constexpr const char* kPart = "a part of the packet that may differ";
    constexpr const char* kOption = "an option of the packet";
    const Expression flags = payload_expression(kTransport, 13, 1);
    const Expression ports = payload_expression(kTransport, 2, 2);
    const Expression l4proto = key_expression("meta", NFTA_META_KEY, NFT_META_L4PROTO);
    const Expression size = {"exthdr",
                             [](Message& m) { m.u8(NFTA_EXTHDR_TYPE, 2).be32(NFTA_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT); }};
    xt_tcp syn{}, ack{};
    syn.flg_mask = 0x06;
    ack.flg_mask = 0x18;
    xt_conntrack_mtinfo3 state{}, expires{};
    state.match_flags = XT_CONNTRACK_STATE;
    expires.match_flags = XT_CONNTRACK_STATE | XT_CONNTRACK_EXPIRES;
    const std::vector<Row> rows = {
        {NFPROTO_IPV4, {}, ""},
        {NFPROTO_IPV4, {{"counter", nothing}, {"masq", nothing}}, ""},
        {NFPROTO_IPV4, {{"counter", nothing}, {"limit", nothing}}, "limit"},
        {NFPROTO_IPV4, {{"quota", nothing}}, "quota"},
        {NFPROTO_IPV4, {{"flow_offload", nothing}}, "flow_offload"},
        {NFPROTO_IPV4, {{"something new", nothing}}, "something new"},
        {NFPROTO_IPV4, {payload_expression(kNetwork, 12, 8)}, ""},
        {NFPROTO_IPV4, {payload_expression(kNetwork, 9, 1)}, ""},
        {NFPROTO_IPV4, {payload_expression(kNetwork, 8, 1)}, kPart},   // TTL
        {NFPROTO_IPV4, {payload_expression(kNetwork, 16, 8)}, kPart},  // beyond the destination
        {NFPROTO_IPV4, {payload_expression(kNetwork, 6, 2)}, kPart},   // fragments
        {NFPROTO_IPV4, {payload_expression(NFT_PAYLOAD_LL_HEADER, 6, 6)}, kPart},
        {NFPROTO_IPV6, {payload_expression(kNetwork, 24, 16)}, ""},
        {NFPROTO_IPV6, {payload_expression(kNetwork, 6, 1)}, ""},
        {NFPROTO_IPV6, {payload_expression(kNetwork, 7, 1)}, kPart},  // hop limit
        {NFPROTO_INET, {payload_expression(kNetwork, 8, 16)}, ""},
        {NFPROTO_INET, {payload_expression(kNetwork, 6, 1)}, kPart},
        {NFPROTO_INET, {payload_expression(kTransport, 0, 1)}, ""},
        {NFPROTO_INET, {payload_expression(kTransport, 2, 2)}, kPart},  // an echo's checksum, if not ports
        {NFPROTO_INET, {payload_expression(kTransport, 0, 4)}, kPart},
        {NFPROTO_INET, {l4proto, byte_comparison(NFT_CMP_EQ, IPPROTO_TCP), ports}, ""},
        {NFPROTO_INET, {l4proto, byte_comparison(NFT_CMP_EQ, IPPROTO_UDP), ports}, ""},
        {NFPROTO_INET, {l4proto, {"lookup", nothing}, ports}, ""},
        {NFPROTO_INET, {l4proto, ports, {"lookup", nothing}}, ""},
        {NFPROTO_INET, {l4proto, byte_comparison(NFT_CMP_NEQ, IPPROTO_TCP), ports}, kPart},
        {NFPROTO_INET, {l4proto, byte_comparison(NFT_CMP_EQ, IPPROTO_ICMP), ports}, kPart},
        {NFPROTO_INET, {l4proto, byte_comparison(NFT_CMP_EQ, IPPROTO_ICMPV6), ports}, kPart},
        {NFPROTO_INET, {l4proto, byte_comparison(NFT_CMP_EQ, IPPROTO_ICMP), payload_expression(kTransport, 0, 1)}, ""},
        {NFPROTO_IPV4, {payload_expression(kNetwork, 9, 1), byte_comparison(NFT_CMP_EQ, IPPROTO_TCP), ports}, ""},
        {NFPROTO_IPV4, {payload_expression(kNetwork, 9, 1), byte_comparison(NFT_CMP_EQ, IPPROTO_ICMP), ports}, kPart},
        {NFPROTO_IPV6, {payload_expression(kNetwork, 6, 1), byte_comparison(NFT_CMP_EQ, IPPROTO_TCP), ports}, ""},
        {NFPROTO_IPV6, {payload_expression(kNetwork, 9, 1), byte_comparison(NFT_CMP_EQ, IPPROTO_TCP), ports}, kPart},
        {NFPROTO_INET, {payload_expression(kTransport, 4, 4)}, kPart},
        {NFPROTO_INET, {payload_expression(kTransport, 13, 1), mask_expression(0x06)}, ""},
        {NFPROTO_INET, {payload_expression(kTransport, 13, 1), mask_expression(0x17)}, ""},
        {NFPROTO_INET, {payload_expression(kTransport, 13, 1), mask_expression(0x0a)}, "TCP flags"},
        {NFPROTO_INET, {payload_expression(kTransport, 13, 1), {"cmp", nothing}}, "TCP flags"},
        {NFPROTO_INET, {{"payload", nothing}}, kPart},
        {NFPROTO_INET, {key_expression("meta", NFTA_META_KEY, NFT_META_OIFNAME)}, ""},
        {NFPROTO_INET, {key_expression("meta", NFTA_META_KEY, NFT_META_MARK)}, "meta mark"},
        {NFPROTO_INET, {key_expression("meta", NFTA_META_KEY, NFT_META_IIFGROUP)}, "meta key 21"},
        {NFPROTO_INET, {key_expression("meta", NFTA_META_KEY, NFT_META_PRANDOM)}, "meta key 24"},
        {NFPROTO_INET,
         {{"meta", [](Message& m) { m.be32(NFTA_META_KEY, NFT_META_PROTOCOL).be32(NFTA_META_SREG, 1); }}},
         "meta key 1"},
        {NFPROTO_INET, {key_expression("ct", NFTA_CT_KEY, NFT_CT_STATE)}, ""},
        {NFPROTO_INET, {key_expression("ct", NFTA_CT_KEY, NFT_CT_MARK)}, "ct mark"},
        {NFPROTO_INET, {key_expression("ct", NFTA_CT_KEY, NFT_CT_BYTES)}, "ct key 15"},
        {NFPROTO_INET, {key_expression("objref", NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_CT_HELPER)}, ""},
        {NFPROTO_INET, {key_expression("objref", NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER)}, ""},
        {NFPROTO_INET, {key_expression("objref", NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_QUOTA)}, "a named object"},
        {NFPROTO_INET, {key_expression("objref", NFTA_OBJREF_SET_SREG, 1)}, "a named object"},
        {NFPROTO_INET, {key_expression("rt", NFTA_RT_KEY, NFT_RT_TCPMSS)}, ""},
        {NFPROTO_INET, {key_expression("rt", NFTA_RT_KEY, NFT_RT_CLASSID)}, "rt"},
        {NFPROTO_INET, {flags, mask_expression(0x06), byte_comparison(NFT_CMP_EQ, 0x02), size}, ""},
        {NFPROTO_INET, {flags, mask_expression(0x02), byte_comparison(NFT_CMP_NEQ, 0), size}, ""},
        {NFPROTO_INET, {flags, mask_expression(0x12), byte_comparison(NFT_CMP_NEQ, 0), size}, kOption},
        {NFPROTO_INET, {flags, mask_expression(0x10), byte_comparison(NFT_CMP_EQ, 0x10), size}, kOption},
        {NFPROTO_INET, {flags, mask_expression(0x06), size}, kOption},
        {NFPROTO_INET, {size}, kOption},
        {NFPROTO_INET,
         {{"exthdr", [](Message& m) { m.u8(NFTA_EXTHDR_TYPE, 8).be32(NFTA_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT); }}},
         kOption},
        {NFPROTO_IPV4, {extension_expression("match", "addrtype", 0)}, ""},
        {NFPROTO_IPV4, {extension_expression("match", "tcp", syn)}, ""},
        {NFPROTO_IPV4, {extension_expression("match", "tcp", ack)}, "match tcp"},
        {NFPROTO_IPV4, {extension_expression("match", "tcp", 0)}, "match tcp"},  // cut
        {NFPROTO_IPV4, {extension_expression("match", "conntrack", state)}, ""},
        {NFPROTO_IPV4, {extension_expression("match", "conntrack", expires)}, "match conntrack"},
        {NFPROTO_IPV4, {extension_expression("match", "hashlimit", 0)}, "match hashlimit"},
        {NFPROTO_IPV4, {extension_expression("target", "MASQUERADE", 0)}, ""},
        {NFPROTO_IPV4, {extension_expression("target", "NFQUEUE", 0)}, "target NFQUEUE"},
    };
    for (const Row& row : rows) {
        const auto rule = decode_nft_rule(Received(nft_rule(row.family, row.expressions)).get());
        ASSERT_TRUE(rule);
        EXPECT_EQ(rule->per_packet, row.per_packet) << "row " << &row - rows.data();
        EXPECT_EQ(rule->table, "t");
        EXPECT_EQ(rule->chain, "c");
    }
    EXPECT_FALSE(decode_nft_rule(Received(nft_chain(NFPROTO_IPV4)).get()));
}

TEST(DecodeNftRule, OfUdpPackets) {
    struct Row {
        std::vector<Expression> expressions;
        bool udp;
    };
    const Expression limit = {"limit", [](Message&) {}};
    const Expression l4proto = key_expression("meta", NFTA_META_KEY, NFT_META_L4PROTO);
    const auto is = [](std::uint8_t protocol) { return byte_comparison(NFT_CMP_EQ, protocol); };
    const std::vector<Row> rows = {
        {{limit}, true},
        {{l4proto, is(IPPROTO_UDP), limit}, true},
        {{l4proto, is(IPPROTO_TCP), limit}, false},
        {{l4proto, is(IPPROTO_ICMP), limit}, false},
        {{payload_expression(NFT_PAYLOAD_NETWORK_HEADER, 9, 1), is(IPPROTO_TCP), limit}, false},
        {{l4proto, byte_comparison(NFT_CMP_NEQ, IPPROTO_TCP), limit}, true},
        {{l4proto, {"lookup", [](Message&) {}}, limit}, true},
        {{limit, l4proto, is(IPPROTO_TCP)}, true},  // it has counted the packet by then
        {{key_expression("meta", NFTA_META_KEY, NFT_META_NFPROTO), is(IPPROTO_TCP), limit}, true},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(&row - rows.data());
        const auto rule = decode_nft_rule(Received(nft_rule(NFPROTO_IPV4, row.expressions)).get());
        ASSERT_TRUE(rule);
        EXPECT_EQ(rule->per_packet, "limit");
        EXPECT_EQ(rule->udp, row.udp);
    }
}

// Whatever is missing of a rule, it is not taken for one that is the same for all packets because of that.
TEST(DecodeNftRule, Truncated) {
    const std::vector<char> whole =
        nft_rule(NFPROTO_INET, {payload_expression(NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1),
                                mask_expression(0x06),
                                extension_expression("match", "conntrack", xt_conntrack_mtinfo3{}),
                                {"limit", [](Message& m) { m.be32(1, 1); }}})
            .bytes();
    constexpr std::size_t kExpressions = sizeof(nlmsghdr) + sizeof(nfgenmsg) + 8 + 8;
    for (std::size_t length = kExpressions + sizeof(nlattr); length <= whole.size(); length++) {
        const Received received(std::vector<char>(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
        const auto rule = decode_nft_rule(received.get());
        ASSERT_TRUE(rule);
        EXPECT_FALSE(rule->per_packet.empty()) << length << " of " << whole.size() << " bytes";
    }
}

// What limits or counts by its elements sees each packet; what only counts is for people.
TEST(DecodeNftRule, SetsWithExpressions) {
    const auto set_with = [](std::uint32_t flags, const std::vector<std::string>& expressions, bool list) {
        Message message(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSET, nfgenmsg{.nfgen_family = NFPROTO_INET});
        message.text(NFTA_SET_TABLE, "t").text(NFTA_SET_NAME, "s").be32(NFTA_SET_FLAGS, flags);
        const auto put = [](Message& to, const std::string& name) { to.text(NFTA_EXPR_NAME, name); };
        if (!list)
            for (const std::string& name : expressions)
                message.nest(NFTA_SET_EXPR, [&](Message& expression) { put(expression, name); });
        else
            message.nest(NFTA_SET_EXPRESSIONS, [&](Message& all) {
                for (const std::string& name : expressions)
                    all.nest(NFTA_LIST_ELEM, [&](Message& expression) { put(expression, name); });
            });
        return decode_nft_set(Received(message).get()).value().changes_itself;
    };
    for (const bool list : {false, true}) {
        EXPECT_FALSE(set_with(NFT_SET_EXPR, {"counter"}, list));
        EXPECT_TRUE(set_with(NFT_SET_EXPR, {"limit"}, list));
        EXPECT_TRUE(set_with(0, {"quota"}, list));
    }
    EXPECT_TRUE(set_with(NFT_SET_EXPR, {"counter", "limit"}, true));
    EXPECT_TRUE(set_with(NFT_SET_EXPR, {}, false)) << "its elements may have some";
}

TEST(DecodeNftRule, SetsThatChangeByThemselves) {
    for (const auto& [flags, changes] : {std::pair(0U, false),
                                         {NFT_SET_INTERVAL | NFT_SET_MAP, false},
                                         {NFT_SET_TIMEOUT, true},
                                         {NFT_SET_EVAL | NFT_SET_INTERVAL, true}}) {
        Message message(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSET, nfgenmsg{.nfgen_family = NFPROTO_INET});
        message.text(NFTA_SET_TABLE, "t")
            .text(NFTA_SET_NAME, "s")
            .be32(NFTA_SET_FLAGS, static_cast<std::uint32_t>(flags));
        const auto set = decode_nft_set(Received(message).get());
        ASSERT_TRUE(set);
        EXPECT_EQ(set->changes_itself, changes);
        EXPECT_EQ(set->name, "s");
    }
}

TEST(DecodeNftables, Flowtable) {
    const auto hook = decode_nft_hook(Received(nft_flowtable()).get());
    ASSERT_TRUE(hook.has_value());
    EXPECT_TRUE(hook->flowtable);
    EXPECT_EQ(hook->table, "t");
    EXPECT_EQ(hook->chain, "ft");
    EXPECT_THAT(hook->devices, ElementsAre("eth1", "eth2"));
    EXPECT_EQ(hook->unknown, "");
}

TEST(DecodeNetdev, Drivers) {
    const auto decode = [](const Message& message) { return decode_netdev_event(Received(message).get()); };
    EXPECT_EQ(decode(netdev_event(kNetdevAdded, 11)), Event(DriverChanged{kNic}));
    EXPECT_EQ(decode(netdev_event(kNetdevChanged, 11)), Event(DriverChanged{kNic}));
    EXPECT_FALSE(decode(netdev_event(kNetdevGetNapi, 11)));
    EXPECT_FALSE(decode(netdev_event(kNetdevChanged, 0)));
    Message no_device(30, genlmsghdr{.cmd = kNetdevChanged});
    EXPECT_FALSE(decode(no_device));
}

TEST(Netfilter, EachHook) {
    struct Row {
        const char* what;
        NftHook hook;
        Netfilter expected;
    };
    const auto hook = [](std::uint8_t family, std::uint32_t number, std::uint32_t rules) {
        NftHook result;
        result.family = family;
        result.table = "t";
        result.chain = "c";
        result.hook = number;
        result.rules = rules;
        return result;
    };
    const auto with = [](NftHook from, const std::function<void(NftHook&)>& change) {
        change(from);
        return from;
    };
    const std::vector<Row> rows = {
        {"bridge", hook(NFPROTO_BRIDGE, NF_INET_FORWARD, 1), {.bridge_chains = {"table bridge t, chain c"}}},
        {"empty bridge chain", hook(NFPROTO_BRIDGE, NF_INET_FORWARD, 0), {}},
        {"empty bridge chain that drops",
         with(hook(NFPROTO_BRIDGE, NF_INET_FORWARD, 0), [](NftHook& h) { h.drops = true; }),
         {.bridge_chains = {"table bridge t, chain c"}}},
        {"ip forward",
         hook(NFPROTO_IPV4, NF_INET_FORWARD, 1),
         {.ip_chains = {"table ip t, chain c"}, .tracks_ipv4 = true}},
        {"ip6 prerouting",
         hook(NFPROTO_IPV6, NF_INET_PRE_ROUTING, 1),
         {.ip_chains = {"table ip6 t, chain c"}, .tracks_ipv6 = true}},
        {"inet postrouting",
         hook(NFPROTO_INET, NF_INET_POST_ROUTING, 1),
         {.ip_chains = {"table inet t, chain c"}, .tracks_ipv4 = true, .tracks_ipv6 = true}},
        {"empty ip chain", hook(NFPROTO_IPV4, NF_INET_FORWARD, 0), {}},
        {"empty nat chain: connections are tracked",
         with(hook(NFPROTO_IPV4, NF_INET_PRE_ROUTING, 0), [](NftHook& h) { h.nat = true; }),
         {.ip_chains = {"table ip t, chain c"}, .tracks_ipv4 = true}},
        {"ip input: it may have connections tracked",
         hook(NFPROTO_IPV4, NF_INET_LOCAL_IN, 1),
         {.ip_chains = {"table ip t, chain c"}, .tracks_ipv4 = true}},
        {"ip output, likewise",
         hook(NFPROTO_IPV4, NF_INET_LOCAL_OUT, 1),
         {.ip_chains = {"table ip t, chain c"}, .tracks_ipv4 = true}},
        {"arp", hook(NFPROTO_ARP, 1, 1), {}},
        {"netdev",
         with(hook(NFPROTO_NETDEV, 0, 1),
              [](NftHook& h) {
                  h.devices = {"eth1", "eth2"};
              }),
         {.device_chains = {{"eth1", "table netdev t, chain c"}, {"eth2", "table netdev t, chain c"}}}},
        {"empty netdev chain", with(hook(NFPROTO_NETDEV, 0, 0), [](NftHook& h) { h.devices = {"eth1"}; }), {}},
        {"empty netdev chain that drops",
         with(hook(NFPROTO_NETDEV, 0, 0),
              [](NftHook& h) {
                  h.devices = {"eth1"};
                  h.drops = true;
              }),
         {.device_chains = {{"eth1", "table netdev t, chain c"}}}},
        {"inet ingress",
         with(hook(NFPROTO_INET, NF_INET_INGRESS, 1), [](NftHook& h) { h.devices = {"eth1"}; }),
         {.device_chains = {{"eth1", "table inet t, chain c"}}}},
        {"flowtable",
         with(hook(NFPROTO_INET, 0, 0),
              [](NftHook& h) {
                  h.flowtable = true;
                  h.devices = {"eth1"};
              }),
         {.device_chains = {{"eth1", "table inet t, flowtable c"}}}},
        {"devices by a pattern",
         with(hook(NFPROTO_NETDEV, 0, 1), [](NftHook& h) { h.unknown = "is on devices by a pattern"; }),
         {.unknown = "table netdev t, chain c is on devices by a pattern"}},
        {"unknown family", hook(99, 0, 1), {.unknown = "table of a family that is not known here, t, chain c"}},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Netfilter netfilter;
        add_hook(netfilter, row.hook);
        EXPECT_EQ(netfilter, row.expected);
    }
}

// Decodes by every door; only what comes out is compared, and that nothing reads outside.
struct Decoded {
    std::optional<Event> event;
    std::optional<Event> driver;
    std::optional<std::string> hook;
    std::optional<PortVlans> vlans;

    bool operator==(const Decoded&) const = default;
    bool any() const { return event || driver || hook || vlans; }
};

Decoded decode_all(const std::vector<char>& bytes) {
    const Received received(bytes);
    Decoded result{decode_event(received.get()), decode_netdev_event(received.get()), std::nullopt, std::nullopt};
    decode_nft_rule(received.get());
    decode_nft_set(received.get());
    if (const auto hook = decode_nft_hook(received.get()); hook && hook->unknown.empty())
        result.hook = hook->table + '/' + hook->chain + '/' + std::to_string(hook->hook) + '/' +
                      std::to_string(hook->rules) + '/' + std::to_string(hook->devices.size());
    PortVlans vlans;
    if (append_vlans(vlans, received.get())) result.vlans = vlans;
    return result;
}

std::vector<Message> all_messages() {
    Message del(RTM_DELLINK, link_header(AF_UNSPEC, 14));
    del.text(IFLA_IFNAME, "vethc");
    tcmsg control{};
    control.tcm_ifindex = 11;
    Message qdisc(RTM_NEWQDISC, control);
    qdisc.text(TCA_KIND, "clsact");
    Message entry = fdb(RTM_NEWNEIGH, NUD_REACHABLE, 0);
    entry.u16(NDA_VLAN, 5).u32(NDA_FLAGS_EXT, 2);
    return {veth_port(),
            bridge_device([](Message& m) { m.u32(IFLA_BR_AGEING_TIME, 30000).u8(IFLA_BR_VLAN_FILTERING, 1); }),
            port_change([](Message& m) { m.u8(IFLA_BRPORT_STATE, 3).u32(IFLA_BRPORT_BACKUP_PORT, 4); }),
            vlan_device([](Message& m) {
                const ifla_vlan_flags flags{1, 0xffffffff};
                m.u16(IFLA_VLAN_ID, 10).be16(IFLA_VLAN_PROTOCOL, 0x88a8).put(IFLA_VLAN_FLAGS, &flags, sizeof(flags));
            }),
            vxlan_device([](Message& m) {
                put_address(m, IFLA_VXLAN_LOCAL, "192.0.2.1");
                m.u32(IFLA_VXLAN_LINK, 11).u32(IFLA_VXLAN_AGEING, 300).u8(IFLA_VXLAN_LEARNING, 1);
            }),
            vtep(RTM_NEWNEIGH, NUD_REACHABLE, "192.0.2.2"),
            neighbour(RTM_NEWNEIGH, NUD_REACHABLE, "192.0.2.9", mac(9)),
            neighbour(RTM_DELNEIGH, NUD_FAILED, "2001:db8::9"),
            ip_route(RTM_NEWROUTE, "192.0.2.0", 24),
            ip_route(RTM_DELROUTE, "2001:db8::", 32),
            nexthop(RTM_NEWNEXTHOP),
            vtep(RTM_DELNEIGH, NUD_REACHABLE, "2001:db8::2"),
            port_vlans(),
            del,
            entry,
            fdb(RTM_DELNEIGH, 0, 0),
            qdisc,
            nft_chain(NFPROTO_BRIDGE),
            nft_flowtable(),
            netdev_event(kNetdevChanged, 11)};
}

// Cut anywhere, a message gives nothing, or what its whole attributes up to there say: never half a value.
TEST(DecodeMalformed, TruncatedAtEveryByte) {
    for (const Message& message : all_messages()) {
        const std::vector<char> whole = message.bytes();
        ASSERT_TRUE(decode_all(whole).any());
        nlmsghdr header;
        std::memcpy(&header, whole.data(), sizeof(header));
        for (std::size_t length = sizeof(nlmsghdr); length < whole.size(); length++) {
            SCOPED_TRACE("type " + std::to_string(header.nlmsg_type) + ", " + std::to_string(length) + " of " +
                         std::to_string(whole.size()) + " bytes");
            const Decoded cut = decode_all({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)});
            if (!cut.any()) continue;
            // As much as up to three bytes before it: those are padding, or too few to be an attribute.
            const std::size_t aligned = length & ~std::size_t{3};
            Decoded nearest = decode_all({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(aligned)});
            if (!nearest.any())
                nearest = decode_all({whole.begin(), whole.begin() + NLMSG_ALIGN(static_cast<int>(length))});
            EXPECT_EQ(cut, nearest);
        }
    }
}

TEST(DecodeMalformed, RandomBytesFlipped) {
    const char* wanted = std::getenv("UNDERPASS_SEED");
    const std::uint32_t seed =
        wanted == nullptr ? std::random_device{}() : static_cast<std::uint32_t>(std::strtoul(wanted, nullptr, 10));
    // Before anything is tried: a crash says nothing afterwards.
    std::cout << "again with UNDERPASS_SEED=" << seed << std::endl;
    std::mt19937 random(seed);
    const auto number = [&random](std::size_t below) {
        return std::uniform_int_distribution<std::size_t>(0, below - 1)(random);
    };
    std::size_t understood = 0;
    std::size_t refused = 0;
    for (const Message& message : all_messages()) {
        for (int round = 0; round < 3000; round++) {
            std::vector<char> bytes = message.bytes();
            for (std::size_t flips = 1 + number(4); flips > 0; flips--)
                bytes[number(bytes.size())] = static_cast<char>(number(256));
            if (number(4) == 0) bytes.resize(std::max(sizeof(nlmsghdr), number(bytes.size())));
            (decode_all(bytes).any() ? understood : refused)++;
        }
    }
    EXPECT_GT(understood, 1000U) << "or nothing was tried";
    EXPECT_GT(refused, 1000U);
}

TEST(DecodeMalformed, AttributeThatClaimsMore) {
    for (const Message& message : all_messages()) {
        Message longer = message;
        longer.put(200, "1234", 4);
        std::vector<char> bytes = longer.bytes();
        nlattr attribute{9, 200};
        std::memcpy(bytes.data() + bytes.size() - 8, &attribute, sizeof(attribute));
        nlmsghdr header;
        std::memcpy(&header, bytes.data(), sizeof(header));
        // These read no attributes.
        if (header.nlmsg_type == RTM_NEWQDISC || header.nlmsg_type == RTM_NEWNEXTHOP) continue;
        EXPECT_FALSE(decode_all(bytes).any()) << header.nlmsg_type;
        attribute.nla_len = 3;
        std::memcpy(bytes.data() + bytes.size() - 8, &attribute, sizeof(attribute));
        EXPECT_FALSE(decode_all(bytes).any()) << header.nlmsg_type;
    }
}

}  // namespace
}  // namespace underpass
