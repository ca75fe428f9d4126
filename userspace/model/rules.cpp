// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/rules.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "model/vlan_rules.h"
#include "model/vxlan_rules.h"

namespace underpass {

namespace {

// What the kernel adds to a device's MTU before it calls a frame too long to forward (is_skb_forwardable).
constexpr std::uint32_t kVlanRoom = 4;

// A source passes one frame to the kernel in this part of the time after which the kernel would forget it.
constexpr std::uint64_t kPulsesPerAgeing = 4;
constexpr std::uint64_t kNsPerMs = 1000000;

// Root qdiscs that do nothing that an administrator asked for: XDP and bpf_redirect_peer pass them by.
constexpr std::array<std::string_view, 5> kDefaultQdiscs = {"noqueue", "mq", "pfifo_fast", "fq_codel", "fq"};

template <class Range>
bool contains(const Range& range, const auto& value) {
    return std::find(std::begin(range), std::end(range), value) != std::end(range);
}

template <class Value>
const Value& find_or_default(const std::map<Ifindex, Value>& map, Ifindex index) {
    static const Value nothing{};
    const auto found = map.find(index);
    return found == map.end() ? nothing : found->second;
}

bool is_bridge(const Host& host, Ifindex index) {
    const auto link = host.links.find(index);
    return link != host.links.end() && link->second.kind == "bridge";
}

// Who would miss the step through a device whose frames come and go by another one; empty: nobody.
std::string missed_by(const Host& host, const Link& link) {
    const TrafficControl& control = find_or_default(host.traffic_control, link.index);
    if (control.foreign_ingress || control.foreign_egress)
        return fmt::format("TC filters or programs of others are on it (tc filter show dev {})", link.name);
    if (link.qdisc != "noqueue") return fmt::format("somebody has set up a qdisc {} on it", link.qdisc);
    const std::uint32_t own = link.master && is_bridge(host, *link.master) ? 1 : 0;  // the bridge's
    if (link.promiscuity > own) return "it is promiscuous: a capture (tcpdump) wants to see every frame";
    if (link.xdp_program != 0) return "an XDP program is on it";
    return {};
}

bool calls_iptables(const Netfilter& netfilter, const BridgeAttributes& bridge) {
    return netfilter.call_iptables || netfilter.call_ip6tables || bridge.nf_call_iptables || bridge.nf_call_ip6tables;
}

// Who else looks at this bridge's frames: the reason to leave it to the kernel, or empty.
std::string governed_by(const Netfilter& netfilter, const BridgeAttributes& bridge) {
    if (netfilter.unknown) return "the packet filter's rules cannot be read (" + *netfilter.unknown + ")";
    if (!netfilter.bridge_chains.empty())
        return fmt::format("rules see its frames: {}", fmt::join(netfilter.bridge_chains, "; "));
    if (calls_iptables(netfilter, bridge) && netfilter.filter_tagged)
        return "br_netfilter looks into tagged frames (sysctl net.bridge.bridge-nf-filter-*)";
    return {};
}

std::string seen_each(const std::vector<std::string>& rules) {
    return fmt::format("rules have to see each of its packets: {}", fmt::join(rules, "; "));
}

// Why nothing that rules see can go fast; empty if flows that they have accepted can.
std::string flows_refusal(const Host& host) {
    const Netfilter& netfilter = host.netfilter;
    if (netfilter.unknown) return "the packet filter's rules cannot be read (" + *netfilter.unknown + ")";
    if (!netfilter.per_packet.empty()) return seen_each(netfilter.per_packet);
    if ((netfilter.tracks_ipv4 || netfilter.tracks_ipv6) && !host.finds_connections)
        return fmt::format(
            "rules see its packets ({}), and connections cannot be looked up: nf_conntrack was not there when the "
            "programs were loaded (`modprobe nf_conntrack`, then `underpass down` and `up`)",
            fmt::join(netfilter.ip_chains, "; "));
    return {};
}

// Why no packets of tunnels go fast; empty if they may. Rules see those as they see others: as they come in for the
// host, and as they leave it.
std::string tunnels_refusal(const Host& host) {
    if (!host.finds_connections)
        return "the programs can only do that where they can look connections up, and nf_conntrack was not there when "
               "they were loaded (`modprobe nf_conntrack`, then `underpass down` and `up`)";
    if (std::string why = flows_refusal(host); !why.empty()) return why;
    if (!host.netfilter.per_own_packet.empty()) return seen_each(host.netfilter.per_own_packet);
    return {};
}

// Whether rules see what goes from port to port. Packets that are routed, they see elsewhere.
bool shows_to_rules(const Netfilter& netfilter, const BridgeAttributes& bridge) {
    return !netfilter.ip_chains.empty() && calls_iptables(netfilter, bridge);
}

// Why what they see is left to the kernel; empty if there is no such thing, or flows of it can go fast.
std::string ruled_refusal(const Host& host, const BridgeAttributes& bridge) {
    if (!shows_to_rules(host.netfilter, bridge)) return {};
    const std::string why = bridge.vlan_filtering ? "the bridge filters VLANs" : flows_refusal(host);
    if (why.empty()) return {};
    return fmt::format("br_netfilter shows its frames to rules (sysctl net.bridge.bridge-nf-call-iptables): {}; {}",
                       fmt::join(host.netfilter.ip_chains, "; "), why);
}

// A device on top of the bridge that takes frames for an address of its own.
const Link* device_on_top(const Host& host, const Link& bridge) {
    constexpr std::array<std::string_view, 4> kKinds = {"macvlan", "macvtap", "ipvlan", "ipvtap"};
    for (const auto& [index, link] : host.links)
        if (link.lower == bridge.index && !link.lower_netnsid && contains(kKinds, link.kind)) return &link;
    return nullptr;
}

std::string bridge_refusal(const Host& host, const Link& link) {
    if (!link.bridge) return "its attributes are not known yet";
    const BridgeAttributes& bridge = *link.bridge;
    if (!bridge.unknown.empty())
        return fmt::format("it has attributes that this version does not know (IFLA_BR_* {})",
                           fmt::join(bridge.unknown, ", "));
    if (bridge.vlan_filtering && bridge.local_in_vlan_0)
        return "its own addresses are in VLAN 0 only (fdb_local_vlan_0 1)";
    if (bridge.mst) return "MST is on, whose states change without an event (mst_enabled 1)";
    if (bridge.ageing_ms == 0) return "it learns no addresses (ageing_time 0)";
    if (const Link* top = device_on_top(host, link))
        return fmt::format("{} on top of it, a {}, has addresses of its own", top->name, top->kind);
    if (link.promiscuity > 0)
        return "it is promiscuous: a capture (tcpdump) or a device on top of it wants to see every frame";
    const std::string governor = governed_by(host.netfilter, bridge);
    return governor.empty() ? ruled_refusal(host, bridge) : governor;
}

// Why frames that come in by the device cannot be taken there; empty if they can.
std::string device_refusal(const Host& host, const Link& link) {
    constexpr std::array<std::string_view, 7> kKinds = {"", "veth", "tun", "bond", "vlan", "dummy", "vxlan"};
    if (!contains(kKinds, link.kind))
        return fmt::format("devices of kind {} are not supported as ports yet", link.kind);
    if (link.kind == "vxlan")
        if (std::string why = vxlan_refusal(host, link); !why.empty()) return why;
    if (link.arp_type != ARPHRD_ETHER) return "it is not an Ethernet device";
    if (link.switchdev) return "it is a port of a hardware switch, which forwards by itself";
    const auto chain = host.netfilter.device_chains.find(link.name);
    if (chain != host.netfilter.device_chains.end()) return "rules see its frames: " + chain->second;
    // Ours stands before them: first among tcx programs, which run before a clsact qdisc's filters.
    if (find_or_default(host.traffic_control, link.index).foreign_ingress)
        return fmt::format("TC filters or programs of others see its frames (tc filter show dev {} ingress)",
                           link.name);
    // The kernel lets it see no frame that was redirected to it, by a VLAN device on it either.
    for (const Ifindex index :
         {link.index, link.vlan && !link.lower_netnsid ? link.lower.value_or(link.index) : link.index})
        if (const auto& peer = find_or_default(host.drivers, index).peer; peer && peer->has_generic_xdp)
            return "its other end runs an XDP program in generic mode, which redirected frames pass by";
    return {};
}

std::string port_refusal(const Host& host, const Link& link) {
    if (!link.port) return "its port attributes are not known yet";
    const PortAttributes& port = *link.port;
    if (!port.unknown.empty())
        return fmt::format("it has attributes that this version does not know (IFLA_BRPORT_* {})",
                           fmt::join(port.unknown, ", "));
    if (port.vlan_tunnel) return "vlan_tunnel is on";
    if (port.mrp_ring_open || port.mrp_in_open) return "it is part of an MRP ring";
    if (port.backup_port) return "it has a backup_port";
    if (port.backup_nexthop) return "it has a backup_nhid";
    return device_refusal(host, link);
}

// Why no XDP program should be on this port; empty if it may.
std::string xdp_refusal(const Host& host, const Link& link) {
    const DriverFacts& driver = find_or_default(host.drivers, link.index);
    const TrafficControl& control = find_or_default(host.traffic_control, link.index);
    if (link.kind == "tun") return "a guest or a process is behind the tap: XDP would lose its unfinished checksums";
    if (link.kind == "vxlan") return "its frames come by other devices, where XDP may take them out of the tunnel";
    if (!link.kind.empty() && link.kind != "veth") return fmt::format("a {} device runs no native XDP", link.kind);
    if (link.kind == "veth") {
        if (!driver.peer) return "its peer cannot be looked at, so frames with unfinished checksums may come";
        if (driver.peer->checksum_offload)
            return "a local stack is behind it: XDP would take TSO from it and lose its unfinished checksums "
                   "(on its peer: ethtool -K PEER tx off)";
        if (driver.peer->vlan_offload)
            return "its peer keeps VLAN tags beside the bytes, where XDP cannot see them "
                   "(on its peer: ethtool -K PEER txvlan off tx-vlan-stag-hw-insert off)";
    }
    if (!driver.native_xdp.value_or(false))
        return fmt::format("the driver {} has no native XDP", driver.driver.empty() ? "of it" : driver.driver);
    if (driver.foreign_xdp) return "another XDP program is on it, which does not share the device";
    if (control.foreign_egress) return "other TC filters on it would be passed by";
    if (!contains(kDefaultQdiscs, link.qdisc))
        return fmt::format("XDP would pass by its qdisc {}, which somebody has set up", link.qdisc);
    return {};
}

// ... where this is all there is in the way, it can be turned off.
std::string tag_refusal(const Host& host, const Link& link) {
    if (!find_or_default(host.drivers, link.index).strips_vlan.value_or(false)) return {};
    return fmt::format("it strips VLAN tags, which XDP then cannot see (ethtool -K {} rxvlan off, or --rxvlan-off)",
                       link.name);
}

// The longest frames that it may send reach XDP, at the device they come in by, in several buffers; and an XDP redirect
// loses those there.
bool is_too_long_for_xdp(const Host& host, const Link& link) {
    constexpr std::uint32_t kVethPage = 3400, kBuffer = 1500;  // what lies in one in any case, as an MTU
    const DriverFacts& driver = find_or_default(host.drivers, link.index);
    return !driver.xdp_frags && link.mtu > (link.kind == "veth" ? kVethPage : kBuffer);
}

bool is_xdp_target(const Host& host, const Link& link) {
    const DriverFacts& driver = find_or_default(host.drivers, link.index);
    // Not only those frames: those between them would overtake them.
    if (is_too_long_for_xdp(host, link)) return false;
    // A veth loses frames in silence unless its peer is known to run NAPI. Other drivers are ready once they run a
    // program, and every port with `xdp` does; those that know better say so.
    return link.kind == "veth" ? driver.xdp_target.value_or(false) : driver.xdp_target.value_or(true);
}

// bpf_redirect_peer passes by the port's qdisc, egress filters, captures and offloads, and the peer's XDP: right where
// there are none, and where the port leaves checksums and segments to its peer, as a veth does unless told.
std::optional<MacAddr> right_peer(const Host& host, const Link& link) {
    const DriverFacts& driver = find_or_default(host.drivers, link.index);
    const TrafficControl& control = find_or_default(host.traffic_control, link.index);
    if (link.kind != "veth" || !link.lower_netnsid || *link.lower_netnsid < 0 || !driver.peer) return std::nullopt;
    if (!driver.peer->up || driver.peer->has_xdp || link.qdisc != "noqueue" || control.foreign_egress ||
        link.promiscuity > 1 || !driver.offloads_whole.value_or(false))
        return std::nullopt;
    return driver.peer->mac;
}

// The longest frame that may leave by the port, with its Ethernet header. `room`: what the kernel allows beyond the
// MTU.
std::uint32_t longest_frame(const Host& host, const Link& link, const PortPlan& plan, std::uint32_t room) {
    std::uint32_t mtu = link.mtu;
    // What goes straight to a veth's other end, or there by XDP, is held against its MTU in silence.
    const auto& peer = find_or_default(host.drivers, plan.below).peer;
    if (peer && (plan.peer || plan.xdp_target)) mtu = std::min(mtu, peer->mtu);
    return mtu + ETH_HLEN + room;
}

bool is_up(const Link& link) {
    return (link.flags & IFF_UP) != 0 && link.carrier;
}

void set_address(device& record, const Link& router) {
    std::copy(router.mac.bytes.begin(), router.mac.bytes.end(), std::begin(record.mac));
}

void set_vlan_device(device& record, const Link& link) {
    record.flags |= DEVICE_VLAN_DEVICE;
    record.vid = number(link.vlan->id);
    record.vlan_protocol = htons(link.vlan->protocol);
}

void set_vxlan(device& record, const Link& link, const PortPlan& port) {
    if (!link.vxlan || !port.refusal.empty()) return;
    record.flags |= vxlan_flags(*link.vxlan);
    if (port.tunnel && port.encap_refusal.empty()) record.flags |= DEVICE_ENCAP;
}

// The time after which what a port has learned is forgotten: of a VXLAN device by its own FDB as well.
std::uint64_t forgets_ms(const Link& link, std::uint64_t bridge_ms) {
    if (!link.vxlan || !link.vxlan->learning || link.vxlan->ageing_ms == 0) return bridge_ms;
    return bridge_ms == 0 ? link.vxlan->ageing_ms : std::min(bridge_ms, link.vxlan->ageing_ms);
}

void set_xdp_frags(device& record, const Host& host, const PortPlan& port) {
    if (port.xdp_target && find_or_default(host.drivers, port.below).xdp_frags) record.flags |= DEVICE_XDP_FRAGS;
}

// Of a device of its own.
device routed_record(const Host& host, const Link& link, const PortPlan& port, const BridgePlan& plan) {
    device record{};
    record.ifindex = number(link.index);
    record.out = number(port.below);
    record.flags = DEVICE_PRESENT | DEVICE_VLAN_UPPERS;
    if (is_up(link)) record.flags |= DEVICE_FORWARDING;
    if (plan.routes() && port.refusal.empty()) record.flags |= DEVICE_INGRESS | DEVICE_EGRESS | DEVICE_ROUTED;
    if (!plan.carries.empty() && port.refusal.empty()) record.flags |= DEVICE_INGRESS | DEVICE_EGRESS | DEVICE_UNDERLAY;
    set_vxlan(record, link, port);
    set_xdp_frags(record, host, port);
    record.pulse_ns = forgets_ms(link, 0) * kNsPerMs / kPulsesPerAgeing;
    if (port.below != link.index) set_vlan_device(record, link);
    set_address(record, link);
    record.max_len = longest_frame(host, link, port, kVlanRoom);
    return record;
}

// For what is routed out of `router`, which is the bridge or a VLAN device on it.
device router_record(const Link& router, const Link& bridge) {
    device record{};
    record.ifindex = record.out = number(router.index);
    record.bridge = number(bridge.index);
    record.flags = DEVICE_BRIDGE | DEVICE_ROUTED | DEVICE_EGRESS;
    if (is_up(router) && is_up(bridge)) record.flags |= DEVICE_FORWARDING;
    set_address(record, router);
    return record;
}

// Of a VLAN-aware bridge: in which VLAN it sends what is routed out of it, and from which it routes.
void set_router_vlans(BridgePlan& plan, const Host& host, const BridgeAttributes& bridge) {
    const PortVlans& own = find_or_default(host.vlans, plan.index);
    const VidSet untagged = forwarding(own, true), tagged = forwarding(own, false);
    const std::uint16_t pvid = number(own.pvid);
    plan.router.flags |= DEVICE_VLAN_AWARE;
    plan.router.vid = pvid;
    plan.router.vlan_protocol = htons(bridge.vlan_protocol);
    if (pvid == 0 || !(untagged | tagged).test(pvid)) plan.router.flags &= ~static_cast<std::uint32_t>(DEVICE_EGRESS);
    for (std::uint16_t vid = 1; vid < VLAN_VIDS; vid++)
        if (untagged.test(vid)) plan.routed_vids.insert(vid);
}

// A VLAN device on a VLAN-aware bridge: what is routed from or to it comes and goes by the bridge's ports in one step,
// unless somebody would miss the step between. (Else it is a device of its own, above the bridge.)
void join_bridge(BridgePlan& plan, const Host& host, const Plan& all) {
    const Link& link = host.links.at(plan.index);
    // (What carries tunnels has its packets at itself.)
    if (plan.is_bridge || !plan.carries.empty() || link.kind != "vlan" || !link.vlan || !link.lower ||
        link.lower_netnsid)
        return;
    const auto below = all.find(*link.lower);
    if (below == all.end() || !below->second.vlan_aware || !below->second.routes()) return;
    const Link& bridge = host.links.at(below->first);
    const std::uint16_t vid = number(link.vlan->id);
    if (link.vlan->protocol != bridge.bridge->vlan_protocol || !link.vlan->reorder_header || link.vlan->maps_priority ||
        !link.vlan->unknown.empty() || link.mac != bridge.mac || !missed_by(host, link).empty() ||
        !forwarding(find_or_default(host.vlans, bridge.index), false).test(vid))
        return;
    plan.router = router_record(link, bridge);
    plan.router.flags |= DEVICE_VLAN_AWARE;
    plan.router.vid = vid;
    plan.router.vlan_protocol = htons(link.vlan->protocol);
    plan.routed_vids = {vid};
}

device device_record(const Host& host, const Link& bridge, const Link& link, const PortPlan& plan,
                     const BridgePlan& of_bridge) {
    device record{};
    record.ifindex = number(link.index);
    record.out = number(plan.below);
    record.bridge = number(bridge.index);
    record.flags = DEVICE_PRESENT;
    set_address(record, bridge);
    const BridgeAttributes attributes = bridge.bridge.value_or(BridgeAttributes{});
    // While the topology changes the kernel forgets an address after forward_delay.
    const std::uint64_t bridge_ms =
        attributes.stp ? std::min(attributes.ageing_ms, attributes.forward_delay_ms) : attributes.ageing_ms;
    record.pulse_ns = forgets_ms(link, bridge_ms) * kNsPerMs / kPulsesPerAgeing;
    if (!link.port) return record;

    const PortAttributes& port = *link.port;
    const auto set = [&record](bool condition, device_flags flag) {
        if (condition) record.flags |= flag;
    };
    set(is_up(link) && port.state == PortState::forwarding, DEVICE_FORWARDING);
    // On a locked port an unauthorised source is dropped, not learned.
    set((port.state == PortState::forwarding || port.state == PortState::learning) && port.learning && !port.locked,
        DEVICE_LEARNS);
    if (of_bridge.refusal.empty() && plan.refusal.empty()) record.flags |= DEVICE_INGRESS | DEVICE_EGRESS;
    set_vxlan(record, link, plan);
    set_xdp_frags(record, host, plan);
    set(of_bridge.routes(), DEVICE_ROUTED);
    set(of_bridge.ruled, DEVICE_RULED);
    set(port.isolated, DEVICE_ISOLATED);
    set(host.vlan_devices || plan.below != link.index, DEVICE_VLAN_UPPERS);
    set(host.netfilter.call_iptables || attributes.nf_call_iptables, DEVICE_BRNF_IPV4);
    set(host.netfilter.call_ip6tables || attributes.nf_call_ip6tables, DEVICE_BRNF_IPV6);
    if (attributes.vlan_filtering) {
        record.flags |= DEVICE_VLAN_AWARE;
        record.vid = number(find_or_default(host.vlans, link.index).pvid);
        record.vlan_protocol = htons(attributes.vlan_protocol);
    } else if (plan.below != link.index) {
        set_vlan_device(record, link);
    }
    // br_netfilter fragments what is longer than the MTU; without it the kernel leaves room for a tag.
    const bool netfilter = (record.flags & (DEVICE_BRNF_IPV4 | DEVICE_BRNF_IPV6)) != 0;
    record.max_len = longest_frame(host, link, plan, netfilter ? 0 : kVlanRoom);
    return record;
}

std::string tc_why(const Link& link, const PortPlan& plan) {
    if (link.kind == "vlan" && plan.below == link.index) return "TC works on every device";
    if (plan.peer) return "a local stack is behind it: frames for it go straight into its namespace";
    if (link.kind == "veth" || link.kind == "tun")
        return "a local stack is behind it: TC keeps TSO and checksums whole";
    return "TC works on every device";
}

// Decides about XDP once all ports are known that frames may go between: it pays only where one can reach another by
// it. A NIC that takes such frames has to run a program for that, also where it can send none so itself.
void choose_xdp(const std::vector<BridgePlan*>& group, const Host& host) {
    const auto is_able = [](const BridgePlan& plan, const PortPlan& port) {
        return plan.choice != HookChoice::tc && port.refusal.empty() && port.xdp_refusal.empty();
    };
    std::size_t able = 0, targets = 0;
    for (BridgePlan* plan : group)
        for (PortPlan& port : plan->ports) {
            if (!is_able(*plan, port)) continue;
            port.xdp_target = is_xdp_target(host, host.links.at(port.below));
            able++;
            targets += port.xdp_target ? 1 : 0;
        }
    for (BridgePlan* plan : group)
        for (PortPlan& port : plan->ports) {
            if (!is_able(*plan, port)) continue;
            const Link& link = host.links.at(port.below);
            if (plan->choice == HookChoice::automatic && (able < 2 || targets == 0)) {
                port.xdp_target = false;
                port.xdp_refusal = plan->is_bridge ? "no other port of the bridge can be reached by XDP"
                                   : plan->routes() || plan->carries.empty()
                                       ? "no other device that packets are routed by can be reached by XDP"
                                       : "no port that its tunnels lead to can be reached by XDP";
                if (able > 1)
                    port.xdp_refusal += is_too_long_for_xdp(host, link)
                                            ? " (their MTU lets frames be longer than it can redirect here)"
                                            : " (at the other end of those: ethtool -K DEVICE gro on)";
                continue;
            }
            port.xdp = true;
            port.why = link.kind == "veth" ? "it carries frames as a wire does: no skb is made"
                                           : "its driver runs XDP natively: no skb is made";
            port.cost = link.kind == "veth" ? "the peer's TSO and GSO stay off while XDP is on"
                                            : "some drivers reset the link when a program comes or goes";
            if (port.xdp_target) continue;
            port.cost +=
                is_too_long_for_xdp(host, link)
                    ? "; frames to it go by TC, since its MTU lets them be longer than XDP can redirect (the kernel "
                      "before 6.3, or its driver)"
                    : "; frames to it go by TC, since its other end does not take XDP frames (GRO is off there)";
        }
}

// The device that runs the programs for a port: the port itself. For a VLAN device it is the one below, where the frame
// comes in and leaves with its tag, so that it takes one step; unless somebody would miss the step between, or the
// kernel has more to do there than to put a tag on.
Ifindex below(const Host& host, const Link& bridge, const Link& link) {
    constexpr std::array<std::string_view, 4> kKinds = {"", "veth", "tun", "dummy"};
    if (link.kind != "vlan" || !link.vlan || !link.lower || link.lower_netnsid) return link.index;
    const auto lower = host.links.find(*link.lower);
    if (lower == host.links.end() || !contains(kKinds, lower->second.kind)) return link.index;
    if (bridge.bridge && bridge.bridge->vlan_filtering) return link.index;
    if (!link.vlan->reorder_header || link.vlan->maps_priority || !link.vlan->unknown.empty()) return link.index;
    if (!missed_by(host, link).empty()) return link.index;
    if (lower->second.master && !is_bridge(host, *lower->second.master)) return link.index;
    return device_refusal(host, lower->second).empty() ? lower->first : link.index;
}

const Link* find_link(const Host& host, const std::string& name) {
    const auto found =
        std::ranges::find_if(host.links, [&name](const auto& entry) { return entry.second.name == name; });
    return found == host.links.end() ? nullptr : &found->second;
}

// Empty for a bridge, and for a device of its own.
std::string why_not_taken(const Host& host, const std::string& name) {
    const Link* link = find_link(host, name);
    if (link != nullptr && link->kind == "bridge") return {};
    if (link == nullptr) return no_such_device(name);
    const auto master = host.links.find(link->master.value_or(Ifindex::none));
    if (master == host.links.end()) return {};
    return fmt::format("{} is not a bridge: it is a port of {}, so name that", name, master->second.name);
}

// Why frames to and from the device's own address are the kernel's to route; empty if they need not be.
std::string routing_refusal(const Host& host, const Link& link, const AttachFailures& attach_failures) {
    if (!host.forwards)
        return "the host forwards no packets (sysctl net.ipv4.ip_forward, net.ipv6.conf.all.forwarding)";
    if (std::string why = flows_refusal(host); !why.empty()) return why;
    const auto chain = host.netfilter.device_chains.find(link.name);
    if (chain != host.netfilter.device_chains.end()) return "rules see its packets: " + chain->second;
    const TrafficControl& control = find_or_default(host.traffic_control, link.index);
    if (control.foreign_ingress || control.foreign_egress)
        return fmt::format("TC filters or programs of others see its packets (tc filter show dev {})", link.name);
    if (link.kind == "bridge" && link.qdisc != "noqueue")
        return fmt::format("packets would pass by its qdisc {}, which somebody has set up", link.qdisc);
    if (link.kind == "bridge" && link.xdp_program != 0) return "another XDP program is on it";
    const auto failure = attach_failures.find(link.index);
    if (failure != attach_failures.end() && failure->second.hook == Hook::tc) return failure->second.why;
    return {};
}

PortPlan begin_port(const Host& host, const Link& bridge, const Link& link, const AttachFailures& attach_failures) {
    PortPlan port;
    port.index = link.index;
    port.name = link.name;
    port.refusal = bridge.kind == "bridge" ? port_refusal(host, link) : device_refusal(host, link);
    port.below = below(host, bridge, link);
    const Link& device = host.links.at(port.below);
    // (The witness is at the port itself.)
    const auto failure = attach_failures.find(attach_failures.contains(port.index) ? port.index : port.below);
    const bool failed = failure != attach_failures.end();
    if (port.refusal.empty() && failed && failure->second.hook == Hook::tc) port.refusal = failure->second.why;
    if (port.refusal.empty()) port.xdp_refusal = xdp_refusal(host, device);
    if (port.refusal.empty() && port.xdp_refusal.empty()) {
        port.xdp_refusal = tag_refusal(host, device);
        port.strips_tags = !port.xdp_refusal.empty();
    }
    if (port.xdp_refusal.empty() && failed && failure->second.hook == Hook::xdp) port.xdp_refusal = failure->second.why;
    if (port.refusal.empty() && bridge.kind == "bridge") port.peer = right_peer(host, link);
    port.why = tc_why(device, port);
    return port;
}

// Everything but what depends on XDP, and on other plans.
BridgePlan begin_plan(const Host& host, const Link& bridge, HookChoice choice, const AttachFailures& attach_failures) {
    BridgePlan plan;
    plan.index = bridge.index;
    plan.name = bridge.name;
    plan.choice = choice;
    plan.is_bridge = bridge.kind == "bridge";
    plan.vlan_aware = bridge.bridge && bridge.bridge->vlan_filtering;
    plan.routing_refusal = routing_refusal(host, bridge, attach_failures);
    if (!plan.is_bridge) {
        plan.ports.push_back(begin_port(host, bridge, bridge, attach_failures));
        if (plan.routing_refusal.empty()) plan.routing_refusal = plan.ports[0].refusal;
        return plan;
    }
    plan.refusal = bridge_refusal(host, bridge);
    plan.ruled = bridge.bridge && shows_to_rules(host.netfilter, *bridge.bridge);
    for (const auto& [index, link] : host.links)
        if (link.master == bridge.index) plan.ports.push_back(begin_port(host, bridge, link, attach_failures));
    return plan;
}

// Of a bridge that can do nothing, or a device that neither routes nor carries anything.
std::string refusal_as_a_whole(const BridgePlan& plan) {
    if (!plan.refusal.empty() || plan.ports.empty()) return plan.refusal;
    if (!plan.is_bridge && !plan.ports[0].refusal.empty()) return plan.ports[0].refusal;
    if (!plan.is_bridge) return plan.carries.empty() ? plan.routing_refusal : "";
    const auto is_left = [](const PortPlan& port) { return !port.refusal.empty(); };
    if (!std::ranges::all_of(plan.ports, is_left)) return {};
    return fmt::format("no port of it can go fast ({}: {})", plan.ports.front().name, plan.ports.front().refusal);
}

void finish_plan(BridgePlan& plan, const Host& host) {
    const Link& bridge = host.links.at(plan.index);
    std::map<Ifindex, VidSet> taken;
    if (plan.vlan_aware) taken = vlan_devices_by_lower(host, bridge.bridge->vlan_protocol);
    for (PortPlan& port : plan.ports) {
        // Whoever asked for XDP by name gets XDP or is told why not.
        // (What comes by a VXLAN device runs XDP at its underlay.)
        const Link& link = host.links.at(port.index);
        if (plan.choice == HookChoice::xdp && port.refusal.empty() && !port.xdp && !link.vxlan)
            port.refusal = "no XDP here: " + port.xdp_refusal;
        port.record =
            plan.is_bridge ? device_record(host, bridge, link, port, plan) : routed_record(host, link, port, plan);
        if ((port.record.flags & DEVICE_VLAN_AWARE) != 0) plan_vlans(host, link, taken[port.index], port);
    }
    if (plan.is_bridge && plan.routes()) {
        plan.router = router_record(bridge, bridge);
        if (plan.vlan_aware) set_router_vlans(plan, host, *bridge.bridge);
    }
    plan.refusal = refusal_as_a_whole(plan);
}

// Why the packets of tunnels cannot come and go by the device in one step; empty if they can.
std::string underlay_refusal(const Host& host, const Link& link) {
    const auto master = host.links.find(link.master.value_or(Ifindex::none));
    if (master != host.links.end()) return fmt::format("it is a port of {}", master->second.name);
    if (link.kind == "bridge" || link.kind == "vxlan") return fmt::format("it is a {} device", link.kind);
    return device_refusal(host, link);
}

std::string carried_by_kernel(const std::string& underlay, const std::string& why) {
    return fmt::format("its packets come and go by {}, which is left to the kernel: {}", underlay, why);
}

// A VXLAN device of the plan that goes fast.
struct Tunnel {
    const BridgePlan* of_device;
    PortPlan* port;
};

std::vector<Tunnel> tunnels_of(Plan& plan, const Host& host) {
    std::vector<Tunnel> tunnels;
    for (auto& [index, of_device] : plan) {
        if (!of_device.refusal.empty() || (!of_device.is_bridge && !of_device.routes())) continue;
        for (PortPlan& port : of_device.ports)
            if (host.links.at(port.index).vxlan && port.refusal.empty()) tunnels.push_back({&of_device, &port});
    }
    return tunnels;
}

// The device that the tunnel is bound to: of the plan from now on, but no router, unless somebody has named it.
std::set<Ifindex> take_bound(Plan& plan, const Host& host, const Tunnel& tunnel, Ifindex bound,
                             const AttachFailures& attach_failures) {
    const auto lower = host.links.find(bound);
    if (lower == host.links.end()) {
        tunnel.port->tunnel_refusal = "the device that its packets come and go by is not there";
        return {};
    }
    const Link& link = lower->second;
    if (const std::string why = underlay_refusal(host, link); !why.empty()) {
        tunnel.port->tunnel_refusal = carried_by_kernel(link.name, why);
        return {};
    }
    if (!plan.contains(bound)) {
        const bool tc = tunnel.of_device->choice == HookChoice::tc;
        BridgePlan fresh = begin_plan(host, link, tc ? HookChoice::tc : HookChoice::automatic, attach_failures);
        fresh.routing_refusal = fmt::format(
            "it is taken only for the tunnels that it carries (to route by it as well: `underpass up {}`)", link.name);
        plan.emplace(bound, std::move(fresh));
    }
    return {bound};
}

// Those devices that the tunnel's packets may come and go by. VLAN devices on the bridge whose port it is are that
// bridge's routers, which they cannot be while they carry tunnels: they are taken only if there is nothing else.
std::set<Ifindex> likely_underlays(const Host& host, const Tunnel& tunnel, const std::set<Ifindex>& able) {
    std::set<Ifindex> others = able;
    std::erase_if(others, [&](const Ifindex index) {
        const Link& link = host.links.at(index);
        return link.kind == "vlan" && !link.lower_netnsid && link.lower == tunnel.of_device->index;
    });
    return others.empty() ? able : others;
}

// Finds by which devices the packets of each tunnel come and go. One that is bound to no device may use any: those of
// the plan are taken.
void take_underlays(Plan& plan, const Host& host, const AttachFailures& attach_failures) {
    std::set<Ifindex> able;
    for (const auto& [index, of_device] : plan)
        if (underlay_refusal(host, host.links.at(index)).empty()) able.insert(index);
    for (const Tunnel& tunnel : tunnels_of(plan, host)) {
        const Link& link = host.links.at(tunnel.port->index);
        std::string& why = tunnel.port->tunnel_refusal;
        why = link.lower_netnsid ? "its tunnel is in another network namespace" : missed_by(host, link);
        if (why.empty()) why = tunnels_refusal(host);
        if (!why.empty()) continue;
        const auto underlays = link.vxlan->lower ? take_bound(plan, host, tunnel, *link.vxlan->lower, attach_failures)
                                                 : likely_underlays(host, tunnel, able);
        if (underlays.empty() && why.empty())
            why = fmt::format("no device that its packets may come and go by is accelerated (`underpass up {} DEVICE`)",
                              tunnel.of_device->name);
        for (const Ifindex underlay : underlays) plan.at(underlay).carries[link.name] = link.vxlan->vni;
    }
}

// Once it is known which underlays go fast.
void settle_tunnel(PortPlan& port, const Link& link, const Plan& plan) {
    std::string why;
    for (const auto& [index, of_device] : plan) {
        if (!of_device.carries.contains(link.name)) continue;
        const std::string& refusal = of_device.ports[0].refusal;
        if (refusal.empty())
            port.underlays.push_back(of_device.name);
        else
            why = carried_by_kernel(of_device.name, refusal);
    }
    if (port.tunnel_refusal.empty() && port.underlays.empty()) port.tunnel_refusal = why;
    if (port.underlays.empty()) return;
    port.tunnel = tunnel_of(*link.vxlan);
    port.encap_refusal = encap_refusal(*link.vxlan);
}

// Plans between whose ports frames may go: routers, and a bridge or device with the underlays of its tunnels.
std::vector<std::vector<BridgePlan*>> xdp_groups(Plan& plan, const std::vector<BridgePlan*>& routers) {
    std::map<Ifindex, std::size_t> group;  // by the plan's index
    std::map<std::string, Ifindex> plan_of;
    std::size_t next = 0;
    for (const auto& [index, of_device] : plan) {
        group[index] = next++;
        for (const PortPlan& port : of_device.ports) plan_of[port.name] = index;
    }
    const auto join = [&group](Ifindex one, Ifindex other) {
        const std::size_t from = group.at(other), to = group.at(one);
        for (auto& [index, place] : group)
            if (place == from) place = to;
    };
    for (const BridgePlan* router : routers) join(routers.front()->index, router->index);
    for (const auto& [index, of_device] : plan)
        for (const auto& [vxlan, vni] : of_device.carries) join(index, plan_of.at(vxlan));
    std::map<std::size_t, std::vector<BridgePlan*>> groups;
    for (auto& [index, of_device] : plan) groups[group.at(index)].push_back(&of_device);
    std::vector<std::vector<BridgePlan*>> result;
    result.reserve(groups.size());
    for (auto& [place, members] : groups) result.push_back(std::move(members));
    return result;
}

// Of those that nobody has named. Of devices of their own those that packets may be routed by.
bool is_one_of_all(const Host& host, const Link& link) {
    return link.kind == "bridge" || ((link.flags & IFF_UP) != 0 && device_refusal(host, link).empty());
}

}  // namespace

std::optional<HookChoice> Selection::choice(const std::string& device) const {
    const auto found = bridges.find(device);
    if (found != bridges.end()) return found->second;
    return except.contains(device) ? std::nullopt : all;
}

std::set<Ifindex> BridgePlan::witnessed() const {
    std::set<Ifindex> devices;
    if (routes() || (!carries.empty() && ports[0].refusal.empty())) devices.insert(index);
    if (!ruled || !refusal.empty()) return devices;
    for (const PortPlan& port : ports)
        if (port.refusal.empty()) devices.insert(port.index);
    return devices;
}

std::string no_such_device(const std::string& name) {
    return fmt::format("there is no device {} in this network namespace: `underpass check` lists the bridges there are",
                       name);
}

const Link& require_bridge(const Host& host, const std::string& name) {
    const std::string why = why_not_taken(host, name);
    if (!why.empty()) throw std::runtime_error(why);
    return *find_link(host, name);
}

bool is_of_its_own(const Host& host, const std::string& name) {
    const Link* link = find_link(host, name);
    return link != nullptr && link->kind != "bridge" && why_not_taken(host, name).empty();
}

std::map<std::string, std::string> waited_for(const Host& host, const Selection& selection) {
    std::map<std::string, std::string> waiting;
    for (const auto& [name, choice] : selection.bridges)
        if (std::string why = why_not_taken(host, name); !why.empty()) waiting.emplace(name, std::move(why));
    return waiting;
}

BridgePlan plan_bridge(const Host& host, const Link& bridge, HookChoice choice, const AttachFailures& attach_failures) {
    BridgePlan plan = begin_plan(host, bridge, choice, attach_failures);
    choose_xdp({&plan}, host);
    finish_plan(plan, host);
    return plan;
}

Plan make_plan(const Host& host, const Selection& selection, const AttachFailures& attach_failures) {
    Plan plan;
    for (const auto& [index, link] : host.links) {
        const auto choice = selection.choice(link.name);
        if (choice && why_not_taken(host, link.name).empty() &&
            (selection.bridges.contains(link.name) || is_one_of_all(host, link)))
            plan.emplace(index, begin_plan(host, link, *choice, attach_failures));
    }
    std::vector<BridgePlan*> routers;
    for (auto& [index, of_device] : plan)
        if (of_device.routes()) routers.push_back(&of_device);
    if (routers.size() < 2)
        for (BridgePlan* router : std::exchange(routers, {}))
            router->routing_refusal =
                "there is no other device to route to that is accelerated too (name it with this one: `underpass up`)";
    take_underlays(plan, host, attach_failures);
    std::erase_if(plan, [&](const auto& entry) {
        const BridgePlan& of_device = entry.second;
        return !of_device.is_bridge && !of_device.routes() && of_device.carries.empty() &&
               !attach_failures.contains(entry.first) && !selection.bridges.contains(of_device.name);
    });
    for (const auto& group : xdp_groups(plan, routers)) choose_xdp(group, host);
    // Whether a tunnel goes fast depends on its underlays, which are no tunnels themselves.
    for (auto& [index, of_device] : plan)
        if (!of_device.carries.empty()) finish_plan(of_device, host);
    for (const Tunnel& tunnel : tunnels_of(plan, host))
        settle_tunnel(*tunnel.port, host.links.at(tunnel.port->index), plan);
    for (auto& [index, of_device] : plan)
        if (of_device.carries.empty()) finish_plan(of_device, host);
    for (BridgePlan* router : routers) join_bridge(*router, host, plan);
    return plan;
}

std::optional<FdbWanted> wanted_fdb(const Host& host, const Plan& plan, const FdbKey& key) {
    const auto record = host.fdb.find(key);
    if (record == host.fdb.end()) return std::nullopt;
    const auto bridge = plan.find(key.bridge);
    if (bridge == plan.end()) return std::nullopt;
    // Without VLAN filtering the kernel looks addresses up without a VLAN, with it never so.
    if ((key.vid != Vid::none) != bridge->second.vlan_aware) return std::nullopt;
    // A locked entry authorises nobody.
    if (record->second.locked) return std::nullopt;
    FdbWanted wanted;
    wanted.port = record->second.port;
    if (record->second.local) {
        wanted.flags = FDB_LOCAL;
        return wanted;
    }
    const auto& ports = bridge->second.ports;
    const auto port = std::find_if(ports.begin(), ports.end(),
                                   [&wanted](const PortPlan& candidate) { return candidate.index == wanted.port; });
    if (port == ports.end()) return std::nullopt;
    if (record->second.sticky) wanted.flags |= FDB_STICKY;
    if (port->peer == key.mac) wanted.flags |= FDB_PEER;
    return wanted;
}

std::optional<VtepRecord> wanted_vtep(const Host& host, const Plan& plan, const FdbKey& key) {
    const auto record = host.vteps.find(key);
    const auto link = host.links.find(key.bridge);
    if (record == host.vteps.end() || link == host.links.end() || !link->second.vxlan) return std::nullopt;
    const Ifindex master = link->second.master.value_or(Ifindex::none);
    const auto of_device = plan.find(is_bridge(host, master) ? master : key.bridge);
    if (of_device == plan.end()) return std::nullopt;
    const auto is_the_device = [&key](const PortPlan& port) { return port.index == key.bridge; };
    const auto port = std::ranges::find_if(of_device->second.ports, is_the_device);
    if (port == of_device->second.ports.end() || (port->record.flags & DEVICE_VXLAN) == 0) return std::nullopt;
    VtepRecord wanted = record->second;
    wanted.fixed = wanted.fixed || !link->second.vxlan->learning;
    return wanted;
}

}  // namespace underpass
