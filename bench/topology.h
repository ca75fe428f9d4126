// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is measured on: a lab with a bridge in the middle, and around it namespaces with one veth each.
//
//   wire, left          ubench.host          wire, right
//   ubench.wl ===== wl [ubench-br] wr ===== ubench.wr
//   container, left       |     |       container, right
//   ubench.cl ===== cl ---+     +--- cr ===== ubench.cr
//
// It goes with the object; what a killed run left is removed first. Wires carry frames as a NIC's wire would, with the
// offloads off that break it, and whole frames go in and out by XDP. Containers have addresses and a stack with all its
// offloads.
//
// Routed, the bridge has the left end alone and an address, the right end is the host's uplink, and rules of nftables
// may see what is between them. Behind either end there are hosts that only frames tell of, or the end has an address
// and a stack itself. Then its MAC is that of the router's other side: what a bare redirect brings is for it, too.
//
// Tunnelled, see Tunnel.
//
// With VLANs, the bridge is VLAN-aware and either wire an access port or a trunk of the one VLAN of the bench; where
// the kernel has no VLAN filtering, it is a plain bridge for its ports alone (see planted.h).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/frames.h"
#include "bench/generator.h"
#include "bench/place.h"
#include "lab/network.h"

namespace underpass::bench {

inline constexpr const char* kBridge = "ubench-br";
// Rules of a routed topology: what leaves by the uplink has the host's address.
inline constexpr const char* kMasquerade =
    "table ip n { chain post { type nat hook postrouting priority srcnat; oifname $uplink masquerade; }; }";

enum class Ports { wires, containers, both };

// An access port has frames of the VLAN untagged, a trunk has them tagged.
enum class WireKind { access, trunk };
struct WireVlans {
    WireKind left, right;

    WireKind of(Side side) const { return side == Side::left ? left : right; }
};

struct Routing {
    std::string rules = {};  // in nft's language; $uplink is the device
    Ports ports = Ports::wires;
    bool stacks = false;
    std::uint16_t hosts = 1;  // at either side, without stacks
};

// The kernel shows the frames between the bridge's wires to iptables and nftables (net.bridge.bridge-nf-call-*).
struct Filtered {
    std::string rules = {};  // in nft's language
};

// A VXLAN device is a port of the bridge, and the right end is the host's underlay: behind that wire are the hosts of
// the right and the other VTEP, of which only frames tell. With stacks, the other VTEP is a second host with such a
// bridge, and either bridge has a container.
struct Tunnel {
    bool stacks = false;
    bool summed = true;  // the kernel sends UDP checksums, as is its default
};

// A third wire, beside the one at the right.
struct Spare {};

// Whether bridges of this kernel have VLAN filtering. Makes one, in a namespace of its own, to know.
bool kernel_filters_vlans();

class Topology {
public:
    explicit Topology(Ports ports);
    // Wires only. `lab`: its name, so that several are there at once. `filtering`: what kernel_filters_vlans() said.
    Topology(const std::string& lab, const WireVlans& vlans, bool filtering);
    Topology(const std::string& lab, const Filtered& filtered);
    Topology(const std::string& lab, const Spare& spare);
    Topology(const std::string& lab, const Routing& routing);
    Topology(const std::string& lab, const Tunnel& tunnel);

    // A port's other end: its namespace, and the ifindex of either device in its own namespace.
    struct End {
        const lab::Namespace& there;
        std::uint32_t device = 0;
        std::uint32_t port = 0;
    };

    const lab::Namespace& bridge() const { return network_.space("host"); }
    // Throws std::out_of_range if the topology has none.
    const End& end(Ports kind, Side side) const { return (kind == Ports::wires ? wires_ : containers_).at(side); }
    // Throws std::bad_optional_access if the topology has none.
    const End& spare() const { return spare_.value(); }
    // A host with a bridge, and its two devices between which all traffic goes.
    struct Host {
        const lab::Namespace& there;
        std::uint32_t left = 0, right = 0;
    };
    std::vector<Host> hosts(Ports kind) const;

    const std::optional<WireVlans>& vlans() const { return vlans_; }
    // With VLANs: whether the kernel's own bridge goes by them.
    bool filtering() const { return filtering_; }
    bool routed() const { return !uplink_.empty(); }
    // Routed: the uplink's name.
    const std::string& uplink() const { return uplink_; }
    // Routed, with stacks: of an end.
    static std::string routed_address(Side side) { return side == Side::left ? "10.1.0.1" : "10.2.0.1"; }
    // Routed: the address of the host at the end of that side.
    static std::array<unsigned char, 6> router_mac(Side side) { return mac_of(side, kRouter); }
    static std::uint32_t router_address(Side side) { return address_of(side, kRouter); }
    static constexpr std::uint16_t kRouter = 0xfffe;
    // Tunnelled: what an outer packet from that side is. Of the left, `from` is the host itself.
    static TunnelEnds tunnel_ends(Side from, bool summed);
    // Of a container.
    static std::string address(Side side) { return side == Side::left ? "10.66.0.1" : "10.66.0.2"; }

private:
    // Of the port of that name at a bridge.
    static End end_of(const lab::Namespace& there, const lab::Namespace& at, const std::string& name);
    void find_ends(Ports ports, bool two_hosts = false);

    lab::Network network_;
    std::optional<WireVlans> vlans_;
    bool filtering_ = false;
    std::string uplink_;  // empty: not routed
    std::map<Side, End> wires_, containers_;
    std::optional<End> spare_;
    std::optional<std::array<std::uint32_t, 2>> underlays_;  // of two hosts joined by a tunnel
};

// Frames from wire to wire: a generator and a sink at either end. Every host of the bench is made known to the
// bridge (and whatever mirrors it) before a measurement.
class Traffic {
public:
    // Forward: from left to right, at `cpu`. `frame_bytes` without a tag: a trunk's frames are longer by it.
    Traffic(const Topology& topology, std::uint16_t frame_bytes, std::uint16_t pairs, std::uint16_t flows, int cpu);

    // One frame from every host of both sides, twice: the first makes the bridge learn it, and Underpass, which by then
    // has read the bridge's entry, believes it when the host has been seen once more.
    void learn();

    struct Passed {
        double seconds = 0;
        std::uint64_t sent = 0;
        std::uint64_t received = 0;  // at the right
        std::uint64_t tagged = 0;    // of those
        std::uint64_t bytes = 0;
        double busy_seconds = 0;  // of the generator's CPU

        // Frames a second.
        double rate() const { return static_cast<double>(received) / seconds; }
    };
    Passed forward(const Load& load);
    // The bytes of one from the left.
    std::vector<unsigned char> frame() { return from_left_->frame(); }
    // What `send` sends at `place`, and `to` gets.
    static Passed pass(const Place& place, const Sink& to, const std::function<Sent()>& send);

private:
    const Topology& topology_;
    std::uint16_t pairs_;
    int cpu_;
    std::optional<Sink> left_sink_, right_sink_;
    std::optional<Generator> from_left_, from_right_;
};

}  // namespace underpass::bench
