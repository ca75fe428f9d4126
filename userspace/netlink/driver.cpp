// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netlink/driver.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <exception>
#include <filesystem>
#include <functional>
#include <set>
#include <string_view>
#include <thread>

#include "loader/fd.h"
#include "netlink/attribute.h"
#include "netlink/dump.h"
#include "netlink/ethtool.h"
#include "netlink/netdev.h"
#include "netlink/request.h"

namespace underpass {

namespace {

// Drivers that run XDP natively and redirect, for kernels that do not tell (before 6.3).
constexpr std::array<std::string_view, 19> kXdpDrivers = {
    "veth",  "virtio_net", "bnxt_en", "ena",       "fsl_dpaa2_eth", "gve",   "i40e", "ice", "igb",          "igc",
    "ixgbe", "ixgbevf",    "mlx4_en", "mlx5_core", "mvneta",        "mvpp2", "qede", "sfc", "thunder-nicvf"};

// What a device has off if it is to finish checksums, segments and tags itself; not every kernel has all of them.
constexpr std::array<const char*, 10> kHandedOver = {
    "tx-checksum-ip-generic", "tx-checksum-sctp",      "tx-scatter-gather",   "tx-generic-segmentation",
    "tx-tcp-segmentation",    "tx-tcp6-segmentation",  "tx-udp-segmentation", "tx-sctp-segmentation",
    "tx-vlan-hw-insert",      "tx-vlan-stag-hw-insert"};

// The id that the calling namespace has for another; absent if it has none.
std::optional<int> netnsid_of(NetlinkSocket& route, const Fd& there) {
    DumpRequest<rtgenmsg> request(RTM_GETNSID);
    mnl_attr_put_u32(request.message, NETNSA_FD, static_cast<std::uint32_t>(there.get()));
    std::optional<int> id;
    try {
        route.request(request.message, "read the id of a network namespace", [&](const nlmsghdr* message) {
            const auto payload = payload_of<rtgenmsg>(message);
            if (!payload) return;
            for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
                if (attribute.type == NETNSA_NSID) id = attribute.s32();
                return true;
            });
        });
    } catch (const NetlinkError&) {
        return std::nullopt;  // it ended meanwhile
    }
    return id && *id >= 0 ? id : std::nullopt;
}

// Runs `work` in the namespace behind `there`; false if it could not be entered or `work` failed.
bool run_inside(const Fd& there, const std::function<void()>& work) {
    bool done = false;
    std::thread([&] {
        try {
            if (::setns(there.get(), CLONE_NEWNET) != 0) return;
            work();
            done = true;
        } catch (const std::exception&) {
            // The device went away while it was looked at: absent, as if it had been before.
        }
    }).join();
    return done;
}

// Of a device in the calling thread's namespace.
DriverFacts::Peer read_peer(const Link& link) {
    DriverFacts::Peer peer;
    peer.mac = link.mac;
    peer.mtu = link.mtu;
    peer.up = (link.flags & IFF_UP) != 0;
    peer.has_xdp = link.xdp_program != 0;
    peer.has_generic_xdp = link.xdp_generic;
    const auto features = Ethtool(link.name).features();
    const auto any = [&features](auto matches) {
        return std::ranges::any_of(features, [&](const auto& one) { return one.second && matches(one.first); });
    };
    peer.checksum_offload = any([](const std::string& name) { return name.starts_with("tx-checksum-"); });
    peer.segmentation_offload =
        any([](const std::string& name) { return name.starts_with("tx-") && name.ends_with("-segmentation"); });
    peer.vlan_offload = any([](const std::string& name) { return name.starts_with("tx-vlan-"); });
    peer.gro = any([](const std::string& name) { return name == "rx-gro"; });
    // The flag alone may lie, for a device that came from another namespace.
    if (const auto napi = runs_napi(link.index)) peer.gro = *napi;
    return peer;
}

}  // namespace

std::optional<std::string> DriverProbe::namespace_path(NetlinkSocket& route, int netnsid) {
    std::set<std::pair<dev_t, ino_t>> seen;
    const auto leads_there = [&](const std::string& path) {
        struct stat status = {};
        if (::stat(path.c_str(), &status) != 0 || !seen.emplace(status.st_dev, status.st_ino).second) return false;
        const Fd there(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        return there && netnsid_of(route, there) == netnsid;
    };
    const auto known = paths_.find(netnsid);
    if (known != paths_.end() && leads_there(known->second)) return known->second;
    const auto remember = [&](const std::string& path) {
        paths_[netnsid] = path;
        return path;
    };
    std::error_code ignored;
    for (const char* directory : {"/run/netns", "/run/docker/netns"})
        for (const auto& entry : std::filesystem::directory_iterator(directory, ignored))
            if (leads_there(entry.path())) return remember(entry.path());
    for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
        const std::string name = entry.path().filename();
        if (!std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; })) continue;
        if (leads_there(entry.path() / "ns/net")) return remember(entry.path() / "ns/net");
    }
    paths_.erase(netnsid);
    return std::nullopt;
}

DriverFacts DriverProbe::probe(NetlinkSocket& route, const Link& link) {
    DriverFacts facts;
    try {
        const Ethtool device(link.name);
        facts.driver = device.driver();
        const auto features = device.features();
        const auto on = [&features](const char* name) {
            const auto found = features.find(name);
            return found != features.end() && found->second;
        };
        facts.offloads_whole = std::ranges::all_of(kHandedOver, [&features](const char* name) {
            const auto found = features.find(name);
            return found == features.end() || found->second;
        });
        // A veth has these flags too, but strips nothing: there the sender's tell.
        if (link.kind != "veth") facts.strips_vlan = on("rx-vlan-hw-parse") || on("rx-vlan-stag-hw-parse");
    } catch (const std::system_error&) {
        return facts;  // gone, or a driver without ethtool
    }
    const auto xdp = xdp_features(link.index);
    facts.native_xdp = xdp ? xdp->redirects : std::ranges::count(kXdpDrivers, facts.driver) != 0;
    if (xdp) facts.xdp_target = xdp->target;
    facts.xdp_frags = xdp && xdp->frags;
    if (link.kind != "veth" || !link.lower) return facts;

    const auto look = [&] {
        NetlinkSocket inside(NETLINK_ROUTE);
        if (const auto peer = get_link(inside, *link.lower)) facts.peer = read_peer(*peer);
    };
    if (!link.lower_netnsid) {
        look();
    } else if (*link.lower_netnsid >= 0) {
        if (const auto path = namespace_path(route, *link.lower_netnsid)) {
            const Fd there(::open(path->c_str(), O_RDONLY | O_CLOEXEC));
            if (there) run_inside(there, look);
        }
    }
    // A veth takes redirected frames only while its peer polls; and, where the kernel tells, once it says that it does,
    // which it does as soon as it runs a program itself.
    const bool polled = facts.peer && facts.peer->up && (facts.peer->gro || facts.peer->has_xdp);
    facts.xdp_target = polled && (!xdp || xdp->target || link.xdp_program == 0);
    // It says so, too, where its peer runs a program of others, which may see no more than the first buffer.
    facts.xdp_frags = facts.xdp_frags && facts.peer && !facts.peer->has_xdp;
    return facts;
}

}  // namespace underpass
