// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A plain good host, from which each row of a table takes or changes one thing.
//
//   br0 (10)  eth1 (11) eth2 (12) eth3 (13)  NICs with native XDP
//             vethc (14)                     a container behind it, in a namespace that was looked into
//             tap0 (15)                      a virtual machine behind it
//             wire0 (16)                     a veth whose other end sends whole frames, as a NIC would
//
// Everything is up and forwarding; nobody filters; nothing is asked for that the fast path does not do.
#pragma once

#include <linux/if.h>
#include <linux/if_arp.h>

#include <cstdint>
#include <string>

#include "model/host.h"
#include "model/rules.h"

namespace underpass {

constexpr Ifindex kBridge{10};
constexpr Ifindex kNic{11};
constexpr Ifindex kOtherNic{12};
constexpr Ifindex kThirdNic{13};
constexpr Ifindex kContainer{14};
constexpr Ifindex kTap{15};
constexpr Ifindex kWire{16};

constexpr std::uint32_t kRunning = IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_MULTICAST;

constexpr MacAddr mac(std::uint32_t number) {
    return {{0x02, 0, static_cast<std::uint8_t>(number >> 24), static_cast<std::uint8_t>(number >> 16),
             static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)}};
}

constexpr MacAddr kContainerMac = mac(0xc0ffee);

inline FdbKey key(std::uint32_t address, Ifindex bridge = kBridge) {
    return {bridge, Vid::none, mac(address)};
}

inline Link plain_link(Ifindex index, const std::string& name, const std::string& kind, const std::string& qdisc) {
    Link link;
    link.index = index;
    link.name = name;
    link.kind = kind;
    link.arp_type = ARPHRD_ETHER;
    link.flags = kRunning;
    link.carrier = true;
    link.mac = mac(0xff0000 + number(index));
    link.mtu = 1500;
    link.qdisc = qdisc;
    return link;
}

inline Link plain_bridge(Ifindex index, const std::string& name) {
    Link link = plain_link(index, name, "bridge", "noqueue");
    link.bridge = BridgeAttributes{};
    return link;
}

inline Link plain_port(Ifindex index, const std::string& name, const std::string& kind, const std::string& qdisc) {
    Link link = plain_link(index, name, kind, qdisc);
    link.promiscuity = 1;
    link.master = kBridge;
    link.port = PortAttributes{.state = PortState::forwarding};
    return link;
}

// vlan10 for VID 10: in no bridge.
inline Link plain_vlan_device(Ifindex index, Ifindex lower, Vid vid) {
    Link link = plain_link(index, "vlan" + std::to_string(number(vid)), "vlan", "noqueue");
    link.lower = lower;
    link.vlan = VlanAttributes{.id = vid};
    return link;
}

inline DriverFacts plain_nic() {
    DriverFacts facts;
    facts.driver = "virtio_net";
    facts.native_xdp = true;
    facts.strips_vlan = false;
    return facts;
}

// `local_stack`: the other end sends what a TCP stack makes (unfinished checksums), not whole frames.
inline DriverFacts plain_veth(bool local_stack) {
    DriverFacts facts;
    facts.driver = "veth";
    facts.native_xdp = true;
    facts.xdp_target = true;
    facts.strips_vlan = false;
    facts.offloads_whole = true;
    DriverFacts::Peer peer;
    peer.mac = kContainerMac;
    peer.mtu = 1500;
    peer.up = true;
    peer.gro = true;
    peer.checksum_offload = local_stack;
    peer.segmentation_offload = local_stack;
    peer.vlan_offload = local_stack;
    facts.peer = peer;
    return facts;
}

inline Host plain_host() {
    Host host;
    host.links[kBridge] = plain_bridge(kBridge, "br0");
    host.links[kNic] = plain_port(kNic, "eth1", "", "mq");
    host.links[kOtherNic] = plain_port(kOtherNic, "eth2", "", "mq");
    host.links[kThirdNic] = plain_port(kThirdNic, "eth3", "", "mq");
    host.links[kContainer] = plain_port(kContainer, "vethc", "veth", "noqueue");
    host.links[kContainer].lower = Ifindex{2};
    host.links[kContainer].lower_netnsid = 0;
    host.links[kTap] = plain_port(kTap, "tap0", "tun", "fq_codel");
    host.links[kWire] = plain_port(kWire, "wire0", "veth", "noqueue");
    host.links[kWire].lower = Ifindex{3};
    for (const Ifindex nic : {kNic, kOtherNic, kThirdNic}) host.drivers[nic] = plain_nic();
    host.drivers[kContainer] = plain_veth(true);
    host.drivers[kTap].driver = "tun";
    host.drivers[kTap].native_xdp = true;
    host.drivers[kWire] = plain_veth(false);
    return host;
}

inline const PortPlan* find_port(const BridgePlan& plan, Ifindex index) {
    for (const PortPlan& port : plan.ports)
        if (port.index == index) return &port;
    return nullptr;
}

inline BridgePlan plan_of(const Host& host, HookChoice choice = HookChoice::automatic,
                          const AttachFailures& failures = {}) {
    return plan_bridge(host, host.links.at(kBridge), choice, failures);
}

}  // namespace underpass
