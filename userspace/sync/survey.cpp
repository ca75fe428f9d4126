// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/survey.h"

#include <linux/netlink.h>

#include <algorithm>

#include "loader/attach.h"
#include "loader/object.h"
#include "maps/abi.h"
#include "netlink/dump.h"
#include "netlink/netfilter.h"
#include "netlink/traffic_control.h"
#include "sync/mirror.h"

namespace underpass {

Survey::Survey() : route_(NETLINK_ROUTE) {}

void Survey::dump(const std::function<void(const Event&)>& sink) {
    dump_links(route_, sink);
    dump_fdb(route_, sink);
}

void Survey::read_promiscuity(Host& host, const std::set<Ifindex>& devices) {
    for (const Ifindex device : devices) {
        const auto link = host.links.find(device);
        if (link == host.links.end()) continue;
        if (const auto now = get_link(route_, device)) link->second.promiscuity = now->promiscuity;
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
    const auto ours = program_ids(PROGRAM_TC);
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
    host.vlan_devices = read_quick_facts().vlan_devices;
}

Host Survey::take() {
    Survey survey;
    Mirror mirror;
    survey.dump([&mirror](const Event& event) { mirror.apply(event); });
    Host host = std::move(mirror.host());
    const auto ports = ports_of(host);
    survey.probe(host, ports);
    survey.read_traffic_control(host, ports);
    survey.read_netfilter(host);
    return host;
}

std::set<Ifindex> ports_of(const Host& host) {
    std::set<Ifindex> ports;
    for (const auto& [index, link] : host.links) {
        if (!link.master) continue;
        const auto master = host.links.find(*link.master);
        if (master != host.links.end() && master->second.kind == "bridge") ports.insert(index);
    }
    return ports;
}

}  // namespace underpass
