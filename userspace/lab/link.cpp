// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/link.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/neighbour.h>
#include <linux/veth.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <string_view>
#include <thread>

#include "lab/request.h"
#include "loader/error.h"
#include "netlink/dump.h"
#include "netlink/socket.h"

namespace underpass::lab {

namespace {

constexpr std::uint32_t kMstBit = 1U << BR_BOOLOPT_MST_ENABLE;

// The kernel counts in clock ticks as user space sees them: hundredths of a second.
std::uint32_t ticks(std::chrono::milliseconds time) {
    return static_cast<std::uint32_t>(time.count() / 10);
}

// One attribute of a device that exists.
template <class Value>
void set_attribute(const std::string& name, const std::string& what, int attribute, const Value& value) {
    Request request(RTM_NEWLINK, 0, what);
    request.header<ifinfomsg>().ifi_index = index_of(name);
    request.put(attribute, value).send();
}

void set_flag_up(const std::string& name, bool up) {
    Request request(RTM_NEWLINK, 0, "set " + name + (up ? " up" : " down"));
    auto& header = request.header<ifinfomsg>();
    header.ifi_index = index_of(name);
    header.ifi_change = IFF_UP;
    header.ifi_flags = up ? unsigned{IFF_UP} : 0;
    request.send();
}

void put_bridge(Request& request, const BridgeOptions& options) {
    const Request::Nest info(request, IFLA_LINKINFO);
    request.put_text(IFLA_INFO_KIND, "bridge");
    const Request::Nest data(request, IFLA_INFO_DATA);
    put_if<std::uint32_t>(request, IFLA_BR_STP_STATE, options.stp);
    if (options.ageing) request.put(IFLA_BR_AGEING_TIME, ticks(*options.ageing));
    if (options.forward_delay) request.put(IFLA_BR_FORWARD_DELAY, ticks(*options.forward_delay));
    put_if<std::uint8_t>(request, IFLA_BR_VLAN_FILTERING, options.vlan_filtering);
    if (options.vlan_protocol) request.put(IFLA_BR_VLAN_PROTOCOL, htons(*options.vlan_protocol));
    if (options.mst)
        request.put(IFLA_BR_MULTI_BOOLOPT, br_boolopt_multi{.optval = *options.mst ? kMstBit : 0, .optmask = kMstBit});
    put_if<std::uint8_t>(request, IFLA_BR_MCAST_SNOOPING, options.multicast_snooping);
}

std::uint16_t neighbour_state(FdbKind kind) {
    switch (kind) {
        case FdbKind::dynamic: return NUD_REACHABLE;
        case FdbKind::local: return NUD_PERMANENT;
        case FdbKind::fixed:
        case FdbKind::sticky: break;
    }
    return NUD_NOARP;
}

void put_fdb(Request& request, const std::string& port, const MacAddr& mac, std::uint16_t state, std::uint8_t flags,
             Vid vid) {
    auto& header = request.header<ndmsg>();
    header.ndm_family = PF_BRIDGE;
    header.ndm_ifindex = index_of(port);
    header.ndm_state = state;
    header.ndm_flags = flags;
    request.put(NDA_LLADDR, mac.bytes);
    if (vid != Vid::none) request.put(NDA_VLAN, number(vid));
}

ifreq device_request(const std::string& name) {
    if (name.size() >= IFNAMSIZ) throw_errno(ENAMETOOLONG, "use the device name " + name);
    ifreq request = {};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    return request;
}

void wait_until(std::chrono::milliseconds time, const std::string& what, const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!done()) {
        if (std::chrono::steady_clock::now() > end) throw_errno(ETIMEDOUT, what);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

std::string sysctl_path(const std::string& name) {
    return "/proc/sys/net/" + name;
}

}  // namespace

void create_veth(const std::string& name, const std::string& peer, const VethOptions& options) {
    Request request(RTM_NEWLINK, kCreate, "create the veth pair " + name + " and " + peer);
    request.header<ifinfomsg>();
    const auto put_end = [&](const std::string& end, const std::optional<MacAddr>& mac) {
        request.put_text(IFLA_IFNAME, end);
        put_mac(request, IFLA_ADDRESS, mac);
        put_if<std::uint32_t>(request, IFLA_MTU, options.mtu);
        request.put(IFLA_NUM_TX_QUEUES, options.queues).put(IFLA_NUM_RX_QUEUES, options.queues);
    };
    put_end(name, options.mac);
    {
        const Request::Nest info(request, IFLA_LINKINFO);
        request.put_text(IFLA_INFO_KIND, "veth");
        const Request::Nest data(request, IFLA_INFO_DATA);
        Request::Nest other(request, VETH_INFO_PEER);
        other.header<ifinfomsg>();
        put_end(peer, options.peer_mac);
        if (options.peer_namespace != nullptr) request.put(IFLA_NET_NS_FD, options.peer_namespace->fd());
    }
    request.send("veth devices (module veth)");
}

void create_bridge(const std::string& name, BridgeOptions options) {
    if (!options.multicast_snooping) options.multicast_snooping = false;
    Request request(RTM_NEWLINK, kCreate, "create the bridge " + name);
    request.header<ifinfomsg>();
    request.put_text(IFLA_IFNAME, name);
    put_mac(request, IFLA_ADDRESS, options.mac);
    put_bridge(request, options);
    request.send(options.vlan_filtering ? kVlanFiltering : "bridges (module bridge)");
}

void set_bridge(const std::string& name, const BridgeOptions& options) {
    Request request(RTM_NEWLINK, 0, "set options of the bridge " + name);
    request.header<ifinfomsg>().ifi_index = index_of(name);
    put_mac(request, IFLA_ADDRESS, options.mac);
    put_bridge(request, options);
    request.send(options.vlan_filtering ? kVlanFiltering : std::string_view());
}

void create_dummy(const std::string& name) {
    Request request(RTM_NEWLINK, kCreate, "create the dummy device " + name);
    request.header<ifinfomsg>();
    request.put_text(IFLA_IFNAME, name);
    {
        const Request::Nest info(request, IFLA_LINKINFO);
        request.put_text(IFLA_INFO_KIND, "dummy");
    }
    request.send("dummy devices (module dummy)");
}

Fd create_tap(const std::string& name) {
    Fd tap(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!tap)
        throw_errno(errno, errno == ENOENT || errno == ENODEV
                               ? "open /dev/net/tun: this kernel has no taps (module tun)"
                               : "open /dev/net/tun");
    ifreq request = device_request(name);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (::ioctl(tap.get(), TUNSETIFF, &request) != 0) throw_errno(errno, "create the tap " + name);
    return tap;
}

void create_persistent_tap(const std::string& name) {
    // One that is there would be opened instead, whosever it is.
    if (find_ifindex(name)) throw_errno(EEXIST, "create the tap " + name);
    const Fd tap = create_tap(name);
    if (::ioctl(tap.get(), TUNSETPERSIST, 1) != 0) throw_errno(errno, "keep the tap " + name);
}

void delete_link(const std::string& name) {
    const auto index = find_ifindex(name);
    if (!index) return;
    Request request(RTM_DELLINK, 0, "delete the device " + name);
    request.header<ifinfomsg>().ifi_index = static_cast<int>(number(*index));
    try {
        request.send();
    } catch (const NetlinkError& error) {
        // It went between the two steps, with its veth peer for one.
        if (error.code().value() != ENODEV) throw;
    }
}

void set_up(const std::string& name) {
    set_flag_up(name, true);
}

void set_down(const std::string& name) {
    set_flag_up(name, false);
}

void wait_until_running(const std::string& name, std::chrono::milliseconds time) {
    NetlinkSocket route(NETLINK_ROUTE);
    const Ifindex index = ifindex(name);
    wait_until(time, "wait for the carrier of " + name, [&] {
        const auto link = get_link(route, index);
        if (!link || (link->flags & IFF_RUNNING) == 0) return false;
        // Going by its source, the kernel may say so before it has set up the queue, and drops what is sent till then.
        if (link->qdisc == "noop") return false;
        if (!link->port || link->port->state != PortState::disabled) return true;
        const auto bridge = get_link(route, link->master.value_or(Ifindex::none));
        return !bridge || (bridge->flags & IFF_UP) == 0;
    });
}

void wait_until_decided(const std::string& port, std::chrono::milliseconds time) {
    NetlinkSocket route(NETLINK_ROUTE);
    const Ifindex index = ifindex(port);
    wait_until(time, "wait for STP at " + port, [&] {
        const auto link = get_link(route, index);
        return link && link->port &&
               (link->port->state == PortState::forwarding || link->port->state == PortState::blocking);
    });
}

void set_master(const std::string& name, const std::string& master) {
    set_attribute(name, "make " + name + " a port of " + master, IFLA_MASTER, number(ifindex(master)));
}

void clear_master(const std::string& name) {
    set_attribute(name, "take " + name + " out of its bridge", IFLA_MASTER, std::uint32_t{0});
}

void set_mac(const std::string& name, const MacAddr& mac) {
    set_attribute(name, "set the address of " + name + " to " + mac.text(), IFLA_ADDRESS, mac.bytes);
}

void set_mtu(const std::string& name, std::uint32_t mtu) {
    set_attribute(name, "set the MTU of " + name + " to " + std::to_string(mtu), IFLA_MTU, mtu);
}

void set_port(const std::string& name, const PortOptions& options) {
    Request request(RTM_SETLINK, 0, "set options of the bridge port " + name);
    auto& header = request.header<ifinfomsg>();
    header.ifi_family = PF_BRIDGE;
    header.ifi_index = index_of(name);
    {
        const Request::Nest port(request, IFLA_PROTINFO | NLA_F_NESTED);
        put_if<std::uint8_t>(request, IFLA_BRPORT_STATE, options.state);
        put_if<std::uint8_t>(request, IFLA_BRPORT_ISOLATED, options.isolated);
        put_if<std::uint8_t>(request, IFLA_BRPORT_MODE, options.hairpin);
        put_if<std::uint8_t>(request, IFLA_BRPORT_LEARNING, options.learning);
        put_if<std::uint8_t>(request, IFLA_BRPORT_UNICAST_FLOOD, options.flood);
        put_if<std::uint8_t>(request, IFLA_BRPORT_MCAST_FLOOD, options.multicast_flood);
        put_if<std::uint8_t>(request, IFLA_BRPORT_BCAST_FLOOD, options.broadcast_flood);
        put_if<std::uint8_t>(request, IFLA_BRPORT_LOCKED, options.locked);
        put_if<std::uint8_t>(request, IFLA_BRPORT_NEIGH_SUPPRESS, options.neigh_suppress);
    }
    request.send();
}

void set_fdb(const std::string& port, const MacAddr& mac, FdbKind kind, Vid vid) {
    Request request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, "add the FDB entry " + mac.text() + " at " + port);
    const bool sticky = kind == FdbKind::sticky;
    put_fdb(request, port, mac, neighbour_state(kind),
            static_cast<std::uint8_t>(NTF_MASTER | (sticky ? NTF_STICKY : 0)), vid);
    request.send();
}

void delete_fdb(const std::string& port, const MacAddr& mac, Vid vid) {
    Request request(RTM_DELNEIGH, 0, "delete the FDB entry " + mac.text() + " at " + port);
    put_fdb(request, port, mac, 0, NTF_MASTER, vid);
    try {
        request.send();
    } catch (const NetlinkError& error) {
        if (error.code().value() != ENOENT) throw;
    }
}

void add_local_fdb(const std::string& bridge, const MacAddr& mac, Vid vid) {
    Request request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, "add the FDB entry " + mac.text() + " at " + bridge);
    put_fdb(request, bridge, mac, NUD_PERMANENT, NTF_SELF, vid);
    request.send();
}

void flush_fdb(const std::string& bridge) {
    Request request(RTM_NEWLINK, 0, "flush the FDB of " + bridge);
    request.header<ifinfomsg>().ifi_index = index_of(bridge);
    {
        const Request::Nest info(request, IFLA_LINKINFO);
        request.put_text(IFLA_INFO_KIND, "bridge");
        const Request::Nest data(request, IFLA_INFO_DATA);
        request.put_bytes(IFLA_BR_FDB_FLUSH, {});
    }
    request.send();
}

void flush_port_fdb(const std::string& port) {
    Request request(RTM_SETLINK, 0, "flush the FDB of the bridge port " + port);
    auto& header = request.header<ifinfomsg>();
    header.ifi_family = PF_BRIDGE;
    header.ifi_index = index_of(port);
    {
        const Request::Nest info(request, IFLA_PROTINFO | NLA_F_NESTED);
        request.put_bytes(IFLA_BRPORT_FLUSH, {});
    }
    request.send();
}

std::optional<Ifindex> find_ifindex(const std::string& name) {
    const unsigned index = ::if_nametoindex(name.c_str());
    return index != 0 ? std::optional(Ifindex{index}) : std::nullopt;
}

Ifindex ifindex(const std::string& name) {
    const unsigned index = ::if_nametoindex(name.c_str());
    if (index == 0) throw_errno(errno, "find the device " + name);
    return Ifindex{index};
}

MacAddr mac(const std::string& name) {
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request = device_request(name);
    if (!socket || ::ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0)
        throw_errno(errno, "read the address of " + name);
    MacAddr result;
    std::memcpy(result.bytes.data(), request.ifr_hwaddr.sa_data, result.bytes.size());
    return result;
}

void set_sysctl(const std::string& name, const std::string& value) {
    const std::string path = sysctl_path(name);
    const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) throw_errno(errno, "open " + path);
    if (::write(file.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
        throw_errno(errno, "write " + value + " to " + path);
}

std::string sysctl(const std::string& name) {
    const std::string path = sysctl_path(name);
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) throw_errno(errno, "open " + path);
    std::array<char, 256> text{};
    const ssize_t size = ::read(file.get(), text.data(), text.size());
    if (size < 0) throw_errno(errno, "read " + path);
    std::string value(text.data(), static_cast<std::size_t>(size));
    if (!value.empty() && value.back() == '\n') value.pop_back();
    return value;
}

void disable_ipv6(const std::string& name) {
    const std::string sysctl_name = "ipv6/conf/" + name + "/disable_ipv6";
    // A kernel without IPv6 has nothing to disable.
    if (::access(sysctl_path(sysctl_name).c_str(), F_OK) == 0) set_sysctl(sysctl_name, "1");
}

}  // namespace underpass::lab
