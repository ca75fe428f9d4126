// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The rules: may this be fast, by which hook, with which record in the maps? Pure: a host's state and a person's choice
// in, a plan with its reasons out. What the rules do not know is left to the kernel, as a switch driver does, and the
// plan says which attribute it was.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "maps/device.h"
#include "maps/fdb.h"
#include "maps/tunnel.h"
#include "maps/vlan.h"
#include "model/host.h"

namespace underpass {

// What a person asked for: bridges, and devices that packets are routed by, by name; or all that there are and will be,
// but for those named in `except`.
struct Selection {
    std::optional<HookChoice> all;
    std::map<std::string, HookChoice> bridges;
    std::set<std::string> except;
    bool rxvlan_off = false;  // devices that strip VLAN tags are told not to, so that XDP can run there

    bool operator==(const Selection&) const = default;
    bool empty() const { return !all && bridges.empty(); }
    std::optional<HookChoice> choice(const std::string& device) const;
};

struct PortPlan {
    Ifindex index = Ifindex::none;
    std::string name;
    Ifindex below = Ifindex::none;  // the device that runs the programs: the port, or what a VLAN device sits on
    std::string refusal;            // why the port is left to the kernel; empty: it goes fast
    bool xdp = false;               // the XDP program as well as the TC program, which every port of the bridge has
    bool xdp_target = false;        // an XDP redirect reaches it without loss
    std::optional<MacAddr> peer;    // address of the device behind it, where bpf_redirect_peer to it is right
    std::string why;                // why this hook
    std::string cost;               // what it takes away; empty: nothing
    std::string xdp_refusal;        // why not XDP; empty if it is, or was not asked for
    bool strips_tags = false;       // ... and all there is in the way is that the device strips VLAN tags
    device record{};                // for the devices map; flags 0 where the port is refused as a whole
    port_vlans vlans{};             // for the port_vlans map, on a VLAN-aware bridge
    // VLANs of a VLAN-aware bridge's port that are left to the kernel: "5", "10-20" -> why.
    std::map<std::string, std::string> vlan_refusals;

    // Of a VXLAN device: the packets that are taken out of its tunnel in one step, at the devices that they come and go
    // by; or why none are. And why frames are not put into it in one step; empty: they are, if the others are taken.
    std::optional<tunnel_key> tunnel;
    std::vector<std::string> underlays;
    std::string tunnel_refusal;
    std::string encap_refusal;

    Hook hook() const { return !refusal.empty() ? Hook::kernel : xdp ? Hook::xdp : Hook::tc; }
};

// A bridge with its ports; or a device of its own that packets are routed by, or that the packets of tunnels come and
// go by (an underlay). It is its only port then.
struct BridgePlan {
    Ifindex index = Ifindex::none;
    std::string name;
    HookChoice choice = HookChoice::automatic;
    bool is_bridge = true;
    bool vlan_aware = false;
    std::string refusal;  // why the bridge as a whole is left to the kernel; empty: it goes fast
    bool ruled = false;   // rules see what goes between its ports: it goes fast as flows that they have accepted
    std::string routing_refusal;  // why packets are not routed fast to and from it; empty: they are
    // Of a bridge that routes, or of a VLAN device on a VLAN-aware one whose packets come and go by the bridge's ports
    // in one step: its own record, for the devices map.
    device router{};
    std::set<std::uint16_t> routed_vids;           // VLANs of the VLAN-aware bridge that lead to it
    std::vector<PortPlan> ports;                   // in the order of their index
    std::map<std::string, std::uint32_t> carries;  // VXLAN devices that it is an underlay of, and their VNIs

    bool routes() const { return refusal.empty() && routing_refusal.empty(); }
    // Devices at whose egress it has to be seen what the kernel sends.
    std::set<Ifindex> witnessed() const;
};

using Plan = std::map<Ifindex, BridgePlan>;

// What `selection` asks for of `host`, each bridge with all its ports. `attach_failures`: hooks that the kernel refused
// when they were tried, by device, with its words.
struct AttachFailure {
    Hook hook = Hook::xdp;
    std::string why;

    bool operator==(const AttachFailure&) const = default;
};
using AttachFailures = std::map<Ifindex, AttachFailure>;

// What a person is told who names a device that is not there.
std::string no_such_device(const std::string& name);
// The bridge of that name, or the device that packets may be routed by. Throws std::runtime_error with a sentence if
// there is no such device, or it is a port.
const Link& require_bridge(const Host& host, const std::string& name);
// Whether it is a device that is neither a bridge nor a port, and that packets may be routed by.
bool is_of_its_own(const Host& host, const std::string& name);
// The bridges that are named and not there (yet), and why.
std::map<std::string, std::string> waited_for(const Host& host, const Selection& selection);

// One bridge, or one device of its own, as if it were the only one: packets are routed between two of them at least.
BridgePlan plan_bridge(const Host& host, const Link& bridge, HookChoice choice, const AttachFailures& attach_failures);
Plan make_plan(const Host& host, const Selection& selection, const AttachFailures& attach_failures);

// What the fdb map should hold for `key`, apart from the slot; absent: no entry.
struct FdbWanted {
    Ifindex port = Ifindex::none;  // none: the bridge itself (then local)
    std::uint8_t flags = 0;        // enum fdb_flags

    bool operator==(const FdbWanted&) const = default;
};
std::optional<FdbWanted> wanted_fdb(const Host& host, const Plan& plan, const FdbKey& key);

// The same for the vteps map.
std::optional<VtepRecord> wanted_vtep(const Host& host, const Plan& plan, const FdbKey& key);

}  // namespace underpass
