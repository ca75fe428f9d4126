// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/network.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "lab/address.h"
#include "lab/ethtool.h"
#include "lab/link.h"
#include "lab/macvlan.h"
#include "lab/nftables.h"
#include "lab/vlan.h"
#include "lab/vxlan.h"

namespace underpass::lab {

namespace {

// "net.ipv4.ip_forward" or, where a device's name has dots, "net/ipv4/conf/eth0.10/rp_filter": below /proc/sys/net.
std::string sysctl_below_net(std::string_view name) {
    std::string path(name.substr(std::string_view("net.").size()));
    if (name.find('/') == std::string_view::npos) std::ranges::replace(path, '.', '/');
    return path;
}

const Interface* settings(const Node& node, const std::string& device) {
    const auto found = std::ranges::find(node.interfaces, device, &Interface::name);
    return found == node.interfaces.end() ? nullptr : &*found;
}

void apply_mac_and_mtu(const Interface& interface) {
    if (interface.mac) set_mac(interface.name, *interface.mac);
    if (interface.mtu) set_mtu(interface.name, *interface.mtu);
}

}  // namespace

class Builder {
public:
    Builder(const Spec& spec, const BuildObserver& observer) : spec_(spec), observer_(observer) {}

    Network build() {
        for_each_space([this](const Node& node) { make_space(node); }, false);
        for (const Link& link : spec_.links) told_of(link.ends[0].text(), [&] { make_link(link); });
        for_each_space([this](const Node& node) { make_devices(node); });
        // On devices of other nodes, so after all of those.
        for_each_space([this](const Node& node) { make_macvlans(node); });
        for_each_space([](const Node& node) { join_bridges(node); });
        for (const Link& link : spec_.links)
            if (link.wire)
                for (const Endpoint& end : link.ends) space(end.node).run([&] { make_wire_like(end.device); });
        // What is sent as soon as a device on another comes up must arrive: so the links come first, with all
        // addresses.
        for (const Link& link : spec_.links)
            for (const Endpoint& end : link.ends)
                if (is_space(end)) told_of(end.node, [&] { space(end.node).run([&] { set_up(end.device); }); });
        for_each_space([this](const Node& node) {
            for (const std::string& device : running_[node.name]) wait_until_running(device);
            for (const Interface* each : interfaces_of(node))
                for (const IpPrefix& address : each->addresses) add_address(each->name, address);
        });
        for_each_space([this](const Node& node) {
            for (const std::string& device : devices_[node.name]) set_up(device);
        });
        for_each_space([](const Node& node) { configure(node); });
        for_each_space([this](const Node& node) { wait_for(node); });
        return std::move(network_);
    }

private:
    const Namespace& space(const std::string& node) const { return network_.space(node); }

    // What fails names the node or the device: the kernel's answer does not.
    template <class Work>
    static void told_of(const std::string& where, Work&& work) {
        try {
            work();
        } catch (const std::system_error& error) {
            throw std::runtime_error(fmt::format("{}: {}", where, error.what()));
        }
    }

    template <class Work>
    void for_each_space(Work&& work, bool inside = true) const {
        for (const Node& node : spec_.nodes) {
            if (node.kind != NodeKind::space) continue;
            told_of(node.name, [&] { inside ? space(node.name).run([&] { work(node); }) : work(node); });
        }
    }

    void step(const std::string& object) const {
        if (observer_.step) observer_.step(object);
    }

    void make_space(const Node& node) {
        const std::string name = namespace_name(spec_.name, node.name);
        step("node " + node.name);
        if (::access(("/run/netns/" + name).c_str(), F_OK) == 0)
            throw std::runtime_error(fmt::format(
                "the network namespace {} is there already, and not by this lab: remove it (`ip netns del {}`), or "
                "choose another name for the lab",
                name, name));
        if (observer_.making) observer_.making(name);
        const Namespace& made = network_.spaces_.emplace(node.name, Namespace::create(name)).first->second;
        if (observer_.made) observer_.made(made);
        // Before there is any device: what is set for "default" is theirs from the start.
        made.run([&] { set_sysctls(node, true); });
    }

    // Those that are there, or, at the end, the rest.
    static void set_sysctls(const Node& node, bool early) {
        for (const auto& [name, value] : node.sysctls) {
            const bool optional = name.starts_with('-');
            const std::string below = sysctl_below_net(std::string_view(name).substr(optional ? 1 : 0));
            const bool there = ::access(("/proc/sys/net/" + below).c_str(), F_OK) == 0;
            if (there || (!early && !optional)) set_sysctl(below, value);
        }
    }

    bool is_space(const Endpoint& end) const { return spec_.find(end.node)->kind == NodeKind::space; }

    void make_link(const Link& link) {
        const Endpoint &a = link.ends[0], &b = link.ends[1];
        step(fmt::format("link {} - {}", a.text(), b.text()));
        for (const Endpoint& end : link.ends)
            if (is_space(end)) devices_[end.node].push_back(end.device);
        if (!is_space(a)) return make_tap(b, link);
        if (!is_space(b)) return make_tap(a, link);
        const auto settings_of = [this](const Endpoint& end) { return settings(*spec_.find(end.node), end.device); };
        const Interface *at_a = settings_of(a), *at_b = settings_of(b);
        space(a.node).run([&] {
            create_veth(a.device, b.device,
                        {.peer_namespace = &space(b.node),
                         .mac = at_a != nullptr ? at_a->mac : std::nullopt,
                         .peer_mac = at_b != nullptr ? at_b->mac : std::nullopt,
                         .mtu = link.mtu});
        });
        for (const Endpoint& end : link.ends) {
            const Interface* own = settings_of(end);
            if (own != nullptr && own->mtu) space(end.node).run([&] { set_mtu(end.device, *own->mtu); });
            running_[end.node].push_back(end.device);
        }
    }

    // For a guest: its own end is not ours to make.
    void make_tap(const Endpoint& end, const Link& link) const {
        space(end.node).run([&] {
            create_persistent_tap(end.device);
            if (link.mtu) set_mtu(end.device, *link.mtu);
            if (const Interface* own = settings(*spec_.find(end.node), end.device)) apply_mac_and_mtu(*own);
        });
    }

    // Each after the one that it is on.
    void make_devices(const Node& node) {
        struct Job {
            std::string kind;
            const Interface* device;
            std::optional<std::string> on;
            std::function<void()> make;
        };
        std::vector<Job> jobs;
        for (const Bridge& each : node.bridges)
            jobs.push_back({"bridge", &each, std::nullopt, [&each] { make_bridge(each); }});
        for (const VxlanDevice& each : node.vxlans)
            jobs.push_back({"VXLAN", &each, each.on, [&each] { make_vxlan(each); }});
        for (const VlanDevice& each : node.vlans)
            jobs.push_back({"VLAN device", &each, each.on, [&each] {
                                create_vlan(each.name, each.on, each.id, each.service);
                                apply_mac_and_mtu(each);
                            }});
        while (!jobs.empty()) {
            const auto ready =
                std::ranges::find_if(jobs, [](const Job& job) { return !job.on || find_ifindex(*job.on); });
            if (ready == jobs.end())
                throw std::runtime_error(fmt::format("{}: devices are on each other in a circle, {} among them",
                                                     node.name, jobs.front().device->name));
            step(fmt::format("{} {}:{}", ready->kind, node.name, ready->device->name));
            ready->make();
            devices_[node.name].push_back(ready->device->name);
            jobs.erase(ready);
        }
    }

    static void make_bridge(const Bridge& bridge) {
        create_bridge(bridge.name, {.stp = bridge.stp,
                                    .ageing = bridge.ageing,
                                    .vlan_filtering = bridge.vlan_filtering ? std::optional(true) : std::nullopt,
                                    .multicast_snooping = bridge.multicast_snooping,
                                    .mac = bridge.mac});
        if (bridge.mtu) set_mtu(bridge.name, *bridge.mtu);
    }

    static void make_vxlan(const VxlanDevice& vxlan) {
        create_vxlan(vxlan);
        for (const IpAddress& remote : vxlan.remotes) add_vxlan_remote(vxlan.name, remote);
    }

    void make_macvlans(const Node& node) {
        for (const MacvlanDevice& macvlan : node.macvlans) {
            step(fmt::format("macvlan {}:{}", node.name, macvlan.name));
            space(macvlan.on.node).run([&] {
                create_macvlan(macvlan.name, macvlan.on.device, macvlan.mode, &space(node.name), macvlan.mac);
            });
            if (macvlan.mtu) set_mtu(macvlan.name, *macvlan.mtu);
            devices_[node.name].push_back(macvlan.name);
        }
    }

    static void join_bridges(const Node& node) {
        for (const Bridge& bridge : node.bridges) {
            for (const Port& port : bridge.ports) {
                set_master(port.device, bridge.name);
                set_membership(port.device, port.vlans, false);
                if (port.isolated || port.hairpin)
                    set_port(port.device, {.isolated = port.isolated, .hairpin = port.hairpin});
            }
            set_membership(bridge.name, bridge.self, true);
        }
    }

    static void configure(const Node& node) {
        for (const Route& route : node.routes) add_route(route);
        set_sysctls(node, false);
        try {
            if (!node.nat.empty()) load_rules(nat_rules(node.nat));
            if (node.nftables) load_rules(*node.nftables);
        } catch (const std::runtime_error& error) {
            throw std::runtime_error(fmt::format("{}: {}", node.name, error.what()));
        }
    }

    // Until frames pass: a tap has to wait for its guest, and a port of a bridge with STP for the protocol.
    void wait_for(const Node& node) {
        for (const std::string& device : running_[node.name]) wait_until_running(device);
        for (const Bridge& bridge : node.bridges)
            if (bridge.stp)
                for (const Port& port : bridge.ports)
                    if (std::ranges::count(running_[node.name], port.device) > 0) wait_until_decided(port.device);
    }

    const Spec& spec_;
    const BuildObserver& observer_;
    std::map<std::string, std::vector<std::string>> devices_;  // of each node, lower ones first
    std::map<std::string, std::vector<std::string>> running_;  // those of veths
    Network network_;
};

Network Network::open(const Spec& spec) {
    Network network;
    for (const Node& node : spec.nodes)
        if (node.kind == NodeKind::space)
            network.spaces_.emplace(node.name, Namespace::open(namespace_name(spec.name, node.name)));
    return network;
}

void Network::keep() {
    for (auto& [node, space] : spaces_) space.keep();
}

std::size_t steps_of(const Spec& spec) {
    std::size_t steps = spec.links.size();
    for (const Node& node : spec.nodes)
        if (node.kind == NodeKind::space)
            steps += 1 + node.bridges.size() + node.vxlans.size() + node.vlans.size() + node.macvlans.size();
    return steps;
}

Network build(const Spec& spec, const BuildObserver& observer) {
    return Builder(spec, observer).build();
}

}  // namespace underpass::lab
