// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/survey.h"

#include <linux/netlink.h>

#include <algorithm>

#include "loader/attach.h"
#include "loader/object.h"
#include "loader/probe.h"
#include "maps/abi.h"
#include "netlink/dump.h"
#include "netlink/netfilter.h"
#include "netlink/traffic_control.h"
#include "netlink/vlan_device.h"
#include "sync/mirror.h"

namespace underpass {

Survey::Survey() : route_(NETLINK_ROUTE) {}

void Survey::dump(const std::function<void(const Event&)>& sink) {
    dump_links(route_, sink);
    dump_fdb(route_, sink);
    dump_neighbours(route_, sink);
}

void Survey::read_silent_changes(Host& host, const std::set<Ifindex>& devices) {
    for (const Ifindex device : devices) {
        const auto link = host.links.find(device);
        if (link == host.links.end()) continue;
        const auto now = get_link(route_, device);
        if (!now) continue;
        link->second.promiscuity = now->promiscuity;
        link->second.vlan = now->vlan;  // by ioctl
    }
}

void Survey::probe(Host& host, const std::set<Ifindex>& devices) {
    for (const Ifindex device : devices) {
        const auto link = host.links.find(device);
        if (link == host.links.end()) continue;
        DriverFacts& facts = host.drivers[device] = drivers_.probe(route_, link->second);
        facts.foreign_xdp = link->second.xdp_program != 0 && xdp_is_foreign(number(device));
    }
}

void Survey::read_traffic_control(Host& host, const std::set<Ifindex>& devices) {
    if (devices.empty()) return;
    auto ours = program_ids(PROGRAM_TC);
    for (const std::uint32_t id : program_ids(PROGRAM_WITNESS)) ours.push_back(id);
    const auto is_foreign = [&ours](std::uint32_t program) { return std::ranges::count(ours, program) == 0; };
    const Qdiscs qdiscs = list_qdiscs(route_);
    for (const Ifindex device : devices) {
        TrafficControl control;
        control.clsact = qdiscs.clsact.contains(device);
        // A qdisc that is set up makes no event of the link.
        const auto link = host.links.find(device);
        const auto root = qdiscs.root.find(device);
        if (link != host.links.end() && root != qdiscs.root.end()) link->second.qdisc = root->second;
        const auto sees = [&](bool ingress) {
            if (std::ranges::any_of(tcx_programs(number(device), ingress), is_foreign)) return true;
            if (!control.clsact) return false;
            return std::ranges::any_of(tc_filters(route_, device, ingress), [&](const TcFilter& filter) {
                return filter.kind != "bpf" || is_foreign(filter.program);
            });
        };
        control.foreign_ingress = sees(true);
        control.foreign_egress = sees(false);
        host.traffic_control[device] = control;
    }
}

void Survey::read_netfilter(Host& host) {
    host.netfilter = underpass::read_netfilter();
    const QuickFacts facts = read_quick_facts();
    host.vlan_devices = facts.vlan_devices;
    host.forwards = facts.forwards;
}

void Survey::read_vlans(Host& host, const std::set<Ifindex>& devices) {
    for (const Ifindex device : devices) {
        auto vlans = underpass::read_vlans(route_, device);
        if (vlans)
            host.vlans[device] = std::move(*vlans);
        else
            host.vlans.erase(device);
    }
}

void Survey::find_vlan_uppers(Host& host, bool ask) {
    std::set<Ifindex> ports;
    for (const auto& [index, bridge] : host.links) {
        if (!host.vlan_devices || !bridge.bridge || !bridge.bridge->vlan_filtering) continue;
        const std::uint16_t protocol = bridge.bridge->vlan_protocol;
        auto visible = vlan_devices_by_lower(host, protocol);
        for (const auto& [port, link] : host.links) {
            if (link.master != index) continue;
            ports.insert(port);
            find_vlan_uppers(host, link, protocol, visible[port], ask);
        }
    }
    const auto is_no_port = [&ports](const auto& entry) { return !ports.contains(entry.first); };
    std::erase_if(asked_, is_no_port);
    std::erase_if(host.vlan_uppers, is_no_port);
}

void Survey::find_vlan_uppers(Host& host, const Link& port, std::uint16_t protocol, const VidSet& visible, bool ask) {
    const bool forgotten = !host.vlan_uppers.contains(port.index);  // it has joined anew
    Asked& asked = asked_[port.index];
    std::set<Vid>& taken = host.vlan_uppers[port.index];
    if (forgotten || asked.protocol != protocol) {
        asked = {protocol, {}, 0};
        taken.clear();
    }
    const auto vlans = host.vlans.find(port.index);
    VidSet wanted = vlans == host.vlans.end() ? VidSet() : members(vlans->second);
    wanted.set(0);
    // A device of this namespace has events; once it is gone, or elsewhere, its VID is asked about.
    asked.vids &= ~visible;
    const VidSet unknown = wanted & ~visible & ~asked.vids;
    for (std::size_t vid = 0; unknown.any() && vid < unknown.size(); vid++) {
        if (!unknown.test(vid)) continue;
        const Vid here{static_cast<std::uint16_t>(vid)};
        if (!ask || has_vlan_device(route_, port, protocol, here).value_or(true))
            taken.insert(here);
        else
            taken.erase(here);
    }
    if (ask) asked.vids |= unknown;
}

void Survey::ask_for_vlan_uppers_again(const std::set<Ifindex>& ports) {
    constexpr std::size_t kAtOnce = 64;  // each takes some microseconds
    for (const Ifindex port : ports) {
        const auto asked = asked_.find(port);
        if (asked == asked_.end()) continue;
        auto& [protocol, vids, next] = asked->second;
        std::size_t count = 0;
        for (std::size_t seen = 0; seen < vids.size() && count < kAtOnce; seen++, next = (next + 1) % vids.size()) {
            count += vids.test(next) ? 1 : 0;
            vids.reset(next);
        }
    }
}

Host Survey::take() {
    Survey survey;
    Mirror mirror;
    survey.dump([&mirror](const Event& event) { mirror.apply(event); });
    Host host = std::move(mirror.host());
    const auto devices = devices_of(host, {}, true);
    survey.probe(host, devices);
    survey.read_traffic_control(host, devices);
    survey.read_netfilter(host);
    host.finds_connections = probe_conntrack().present;
    survey.read_vlans(host, devices);
    survey.find_vlan_uppers(host);
    return host;
}

namespace {

// With what it sits on, if it is a VLAN device.
void insert_with_lower(const Host& host, const Link& link, std::set<Ifindex>& devices) {
    devices.insert(link.index);
    if (link.vlan && link.lower && !link.lower_netnsid && host.links.contains(*link.lower)) devices.insert(*link.lower);
}

}  // namespace

std::set<Ifindex> devices_of(const Host& host, const std::set<std::string>& named, bool all) {
    std::set<Ifindex> devices;
    for (const auto& [index, link] : host.links) {
        const auto master = host.links.find(link.master.value_or(Ifindex::none));
        const bool is_port = master != host.links.end() && master->second.kind == "bridge";
        const bool is_taken = named.contains(link.name) || (all && master == host.links.end());
        if (!is_port && link.kind != "bridge" && !is_taken) continue;
        insert_with_lower(host, link, devices);
        if (link.vxlan && link.vxlan->lower && !link.lower_netnsid)
            if (const auto underlay = host.links.find(*link.vxlan->lower); underlay != host.links.end())
                insert_with_lower(host, underlay->second, devices);
    }
    return devices;
}

}  // namespace underpass
