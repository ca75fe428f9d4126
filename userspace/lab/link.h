// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Network devices, made and set through netlink in the calling thread's network namespace (see namespace.h).
//
// Devices are named as a person names them. Nothing here owns a device: it goes with its namespace, or by
// delete_link(). Whatever the kernel refuses is a NetlinkError (or std::system_error) that names the device and what
// was to be done. Times are rounded down to the kernel's hundredths of a second.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "lab/address.h"
#include "lab/namespace.h"
#include "loader/fd.h"
#include "model/host.h"
#include "model/types.h"

namespace underpass::lab {

struct VethOptions {
    const Namespace* peer_namespace = nullptr;  // where the peer is made; none: here
    std::optional<MacAddr> mac = std::nullopt;
    std::optional<MacAddr> peer_mac = std::nullopt;
    std::optional<std::uint32_t> mtu = std::nullopt;  // of both
    // As many as XDP needs on both ends: a program is refused where the peer sends by more queues than it receives by.
    std::uint32_t queues = 1;
};

void create_veth(const std::string& name, const std::string& peer, const VethOptions& options = {});

struct BridgeOptions {
    std::optional<bool> stp = std::nullopt;
    std::optional<std::chrono::milliseconds> ageing = std::nullopt;
    std::optional<std::chrono::milliseconds> forward_delay = std::nullopt;
    std::optional<bool> vlan_filtering = std::nullopt;
    std::optional<std::uint16_t> vlan_protocol = std::nullopt;  // EtherType of the tags that it goes by, in host order
    // States are those of spanning trees (set_msti, set_mst_state), not of ports and VLANs; only while there is no
    // VLAN.
    std::optional<bool> mst = std::nullopt;
    std::optional<bool> multicast_snooping = std::nullopt;
    std::optional<MacAddr> mac = std::nullopt;  // else the lowest of its ports', which changes with them
};

// `multicast_snooping` left open means off: its queries are frames that no test sent.
void create_bridge(const std::string& name, BridgeOptions options = {});
void set_bridge(const std::string& name, const BridgeOptions& options);

void create_dummy(const std::string& name);
// A tap: what is written to the descriptor comes in at the device, what the device sends is read from it, one frame
// at a time. The device goes with the descriptor. Not blocking.
Fd create_tap(const std::string& name);
// A tap that stays without a descriptor: whoever comes later (QEMU's `-netdev tap,ifname=NAME`) opens it by its name,
// in this namespace. Without a carrier until then. Throws std::system_error (EEXIST: the name is taken).
void create_persistent_tap(const std::string& name);

// An absent device is no error.
void delete_link(const std::string& name);

void set_up(const std::string& name);
void set_down(const std::string& name);
// Until the kernel has seen the carrier: before that, a bridge port forwards nothing and takes no dynamic FDB entry. A
// port of a bridge that is up is then not disabled any more. Throws std::system_error (ETIMEDOUT).
void wait_until_running(const std::string& name, std::chrono::milliseconds time = std::chrono::seconds(10));
// Until STP has decided about a port: forwarding or blocking. Twice the forward delay and what it takes to elect a
// root. Throws std::system_error (ETIMEDOUT).
void wait_until_decided(const std::string& port, std::chrono::milliseconds time = std::chrono::seconds(60));
void set_master(const std::string& name, const std::string& master);
void clear_master(const std::string& name);
void set_mac(const std::string& name, const MacAddr& mac);
void set_mtu(const std::string& name, std::uint32_t mtu);

struct PortOptions {
    // `blocking` does not hold on a bridge without STP (the kernel makes it forwarding at once), `listening` does.
    std::optional<PortState> state = std::nullopt;
    std::optional<bool> isolated = std::nullopt;
    std::optional<bool> hairpin = std::nullopt;
    std::optional<bool> learning = std::nullopt;
    std::optional<bool> flood = std::nullopt;  // unknown unicast
    std::optional<bool> multicast_flood = std::nullopt;
    std::optional<bool> broadcast_flood = std::nullopt;
    std::optional<bool> locked = std::nullopt;
    std::optional<bool> neigh_suppress = std::nullopt;
};

void set_port(const std::string& name, const PortOptions& options);

// An FDB entry at a bridge port.
enum class FdbKind {
    dynamic,  // ages, moves
    fixed,    // never ages ("static")
    sticky,   // neither ages nor moves
    local,    // the host's own
};

// Adds the entry or moves and changes the one that is there.
void set_fdb(const std::string& port, const MacAddr& mac, FdbKind kind = FdbKind::fixed, Vid vid = Vid::none);
// An absent entry is no error: the kernel may have aged it.
void delete_fdb(const std::string& port, const MacAddr& mac, Vid vid = Vid::none);
// One more address of the host, at the bridge itself.
void add_local_fdb(const std::string& bridge, const MacAddr& mac, Vid vid = Vid::none);
// All dynamic entries of a bridge, or of one of its ports.
void flush_fdb(const std::string& bridge);
void flush_port_fdb(const std::string& port);

Ifindex ifindex(const std::string& name);  // throws if there is none
std::optional<Ifindex> find_ifindex(const std::string& name);
MacAddr mac(const std::string& name);

// Writes /proc/sys/net/NAME ("ipv6/conf/veth0/disable_ipv6") of the calling thread's namespace.
void set_sysctl(const std::string& name, const std::string& value);
std::string sysctl(const std::string& name);  // without the line end
// No router solicitations, no neighbour discovery from this device: frames that are compared stay alone.
void disable_ipv6(const std::string& name);

}  // namespace underpass::lab
