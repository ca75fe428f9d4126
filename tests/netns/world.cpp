// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "world.h"

#include <fmt/format.h>
#include <linux/if.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "lab/ethtool.h"
#include "nat_fixture.h"
#include "netlink/dump.h"
#include "overloaded.h"
#include "sync/control.h"
#include "sync/state.h"

namespace underpass::test {

namespace {

constexpr const char* kBridge = "br0";   // the first
constexpr std::uint32_t kFarMtu = 3000;  // longer frames than any port takes can be sent

std::string bridge_name(std::size_t bridge) {
    return fmt::format("br{}", bridge);
}
std::string port_name(std::size_t port) {
    return fmt::format("{}{}", port < kMostPorts ? "p" : "v", port);
}
std::string port_or_bridge(const std::optional<std::size_t>& port) {
    return port ? port_name(*port) : kBridge;
}
std::string far_name(std::size_t port) {
    return fmt::format("f{}", port);
}
constexpr std::array kTunnels = {"vx0", "vx1"};  // that commands may have made
constexpr const char* kMarkerFrom = "m0";
constexpr const char* kMarkerTo = "m1";
constexpr int kQueues = 3;  // that a frame may wait in: a port's, the far end's, and one to spare

// The ports and their far ends, and a pair for markers, queued as frames are where XDP runs.
lab::Spec world_spec(bool wire) {
    lab::Spec spec;
    spec.nodes = {lab::quiet_node("host"), lab::quiet_node("far")};
    lab::Node &host = spec.nodes[0], &far = spec.nodes[1];
    // First, so that no other pair has one index at both ends: the kernel tells of such a carrier a second later.
    spec.links.push_back({.ends = {{{"far", kMarkerFrom}, {"far", kMarkerTo}}}, .wire = wire});
    for (std::size_t i = 0; i < kMostPorts; i++) {
        host.interfaces.push_back({.name = port_name(i), .mac = port_mac(i)});
        far.interfaces.push_back({.name = far_name(i), .mac = far_mac(i), .mtu = kFarMtu});
        spec.links.push_back({.ends = {{{"host", port_name(i)}, {"far", far_name(i)}}}, .wire = wire});
    }
    return spec;
}

}  // namespace

World::World(Net& net, const std::string& name, const std::string& hook)
    : name_(name),
      wire_(hook == "xdp"),
      network_(net.build(world_spec(wire_), name)),
      host_(network_.space("host")),
      far_(network_.space("far")) {
    for (std::size_t i = 0; i < kMostPorts; i++) far_sockets_.emplace_back(far_, far_name(i));
    for (const char* device : {kMarkerFrom, kMarkerTo}) marker_sockets_.emplace_back(far_, device);
    if (!hook.empty()) daemon_.emplace(start_daemon(host_, {"--all", "--hook", hook}));
}

void World::begin(const Scenario& scenario) {
    host_.run([&] {
        for (std::size_t i = 0; i < scenario.bridges; i++) {
            lab::create_bridge(bridge_name(i), {.mac = bridge_mac(i)});
            lab::set_up(bridge_name(i));
        }
        for (std::size_t i = 0; i < scenario.ports; i++) {
            lab::set_mtu(port_name(i), kUsualMtu);
            lab::set_mac(port_name(i), port_mac(i));
            lab::set_up(port_name(i));
            if (scenario.joined) lab::set_master(port_name(i), kBridge);
        }
        for (std::size_t i = 0; i < scenario.ports; i++) lab::wait_until_running(port_name(i));
    });
    far_.run([&] {
        for (std::size_t i = 0; i < scenario.ports; i++) lab::wait_until_running(far_name(i));
    });
    for (std::size_t i = 0; i < scenario.bridges; i++) bridge_sockets_.emplace_back(host_, bridge_name(i));
    catch_up();
    for (FrameSocket& socket : far_sockets_) socket.discard();
}

void World::end() {
    bridge_sockets_.clear();
    while (!vlan_devices_.empty()) remove(vlan_devices_.begin()->first);
    host_.run([] {
        for (const char* device : kTunnels) lab::delete_link(device);
        for (std::size_t i = 0; i < kMostBridges; i++) lab::delete_link(bridge_name(i));
    });
}

std::string World::apply(const Step& step) {
    try {
        do_step(step);
        return {};
    } catch (const std::system_error& error) {
        return error.code().message();
    } catch (const std::runtime_error& error) {
        return error.what();  // of a port that has left its bridge
    }
}

void World::do_step(const Step& step) {
    std::visit(
        Overloaded{
            [&](const Send& one) { send(one); },
            [&](const SetPort& set) { host_.run([&] { lab::set_port(port_name(set.port), set.options); }); },
            [&](const SetUp& set) { set_up(set.port, set.up); },
            [&](const Join& one) { join(one.port, one.bridge); },
            [&](const Leave& one) { leave(one.port); },
            [&](const SetMtu& set) { host_.run([&] { lab::set_mtu(port_name(set.port), set.mtu); }); },
            [&](const SetMac& set) { host_.run([&] { lab::set_mac(port_name(set.port), set.mac); }); },
            [&](const SetFdb& set) {
                host_.run([&] { lab::set_fdb(port_name(set.port), set.mac, set.kind, set.vid); });
            },
            [&](const DeleteFdb& gone) {
                host_.run([&] { lab::delete_fdb(port_name(gone.port), gone.mac, gone.vid); });
            },
            [&](const FlushFdb& flush) {
                host_.run([&] {
                    if (flush.port)
                        lab::flush_port_fdb(port_name(*flush.port));
                    else
                        lab::flush_fdb(kBridge);
                });
            },
            [&](const AddLocal& add) { host_.run([&] { lab::add_local_fdb(kBridge, add.mac); }); },
            [&](const SetBridgeUp& set) { host_.run([&] { set.up ? lab::set_up(kBridge) : lab::set_down(kBridge); }); },
            [&](const SetBridgeNetfilter& set) {
                host_.run([&] {
                    for (const char* tables : {"iptables", "ip6tables"})
                        lab::set_sysctl(std::string("bridge/bridge-nf-call-") + tables, set.on ? "1" : "0");
                });
            },
            [&](const SetBridge& set) { host_.run([&] { lab::set_bridge(bridge_name(set.bridge), set.options); }); },
            [&](const AddVlan& add) {
                host_.run([&] { lab::add_bridge_vlan(port_or_bridge(add.port), add.vid, add.flags, !add.port); });
            },
            [&](const DeleteVlan& gone) {
                host_.run([&] { lab::delete_bridge_vlan(port_or_bridge(gone.port), gone.vid, !gone.port); });
            },
            [&](const SetVlanState& set) {
                host_.run([&] { lab::set_vlan_state(port_name(set.port), set.vid, set.state); });
            },
            [&](const SetMsti& set) { host_.run([&] { lab::set_msti(kBridge, set.vid, set.instance); }); },
            [&](const SetMstState& set) {
                host_.run([&] { lab::set_mst_state(port_name(set.port), set.instance, set.state); });
            },
            [&](const CreateVlanDevice& device) { create(device); },
            [&](const DeleteVlanDevice& gone) { remove(gone.port); },
            [&](const Command& command) { type(command.line); },
            [&](const ForgetConnections&) { host_.run(forget_connections); },
            [&](const CatchUp&) { catch_up(); },
            [&](const Settle&) {
                catch_up();
                if (daemon_) std::this_thread::sleep_for(milliseconds(70));
            },
        },
        step);
}

void World::send(const Send& send) {
    const FrameSocket& socket = send.port ? far_sockets_[*send.port] : bridge_sockets_.front();
    // A device without a carrier, or one too small at its other end, refuses the frame or loses it, as it happens: what
    // counts is what comes out.
    [[maybe_unused]] const auto ignored = ::send(socket.fd(), send.frame.data(), send.frame.size(), 0);
    settle();
}

void World::settle() {
    const Frame marker = Ethernet{} / Payload{46};
    for (int queue = 0; queue < kQueues; queue++) {
        marker_sockets_[0].send(marker);
        if (marker_sockets_[1].receive_count(1, kPatience).empty())
            throw std::runtime_error("a marker does not arrive");
    }
}

void World::set_up(std::size_t port, bool up) {
    host_.run([&] { up ? lab::set_up(port_name(port)) : lab::set_down(port_name(port)); });
    const auto device = vlan_devices_.find(port);
    if (device != vlan_devices_.end()) {
        if (device->second) wait_for_carrier(host_, port_name(port), up);
        return;
    }
    wait_for_carrier(host_, port_name(port), up);
    wait_for_carrier(far_, far_name(port), up);
    // VLAN devices on it go down and come up with it.
    for (const auto& [upper, lower] : vlan_devices_)
        if (lower == port) wait_for_carrier(host_, port_name(upper), is_up(host_, port_name(upper)));
}

// What comes in by a port is not the host's: nobody listens there.
void World::join(std::size_t port, std::size_t bridge) {
    host_.run([&] { lab::set_master(port_name(port), bridge_name(bridge)); });
    vlan_sockets_.erase(port);
}

void World::leave(std::size_t port) {
    host_.run([&] { lab::clear_master(port_name(port)); });
    if (vlan_devices_.contains(port)) vlan_sockets_.try_emplace(port, host_, port_name(port));
}

void World::create(const CreateVlanDevice& device) {
    const std::string name = port_name(device.port);
    host_.run([&] { lab::create_vlan(name, port_or_bridge(device.lower), device.vid, device.service); });
    vlan_devices_.emplace(device.port, device.lower);
    vlan_sockets_.try_emplace(device.port, host_, name);
    host_.run([&] { lab::set_up(name); });  // refused if what it is on is down
    if (device.lower) wait_for_carrier(host_, name, true);
}

void World::remove(std::size_t vlan_device) {
    vlan_sockets_.erase(vlan_device);
    vlan_devices_.erase(vlan_device);
    host_.run([&] { lab::delete_link(port_name(vlan_device)); });
}

bool World::is_up(const lab::Namespace& where, const std::string& device) {
    return where.run([&] {
        NetlinkSocket route(NETLINK_ROUTE);
        const auto link = get_link(route, lab::ifindex(device));
        return link && (link->flags & IFF_UP) != 0;
    });
}

// The kernel tells a bridge of a port's carrier a moment later; until it has, worlds may differ.
void World::wait_for_carrier(const lab::Namespace& where, const std::string& device, bool carrier) {
    where.run([&] {
        NetlinkSocket route(NETLINK_ROUTE);
        const auto end = std::chrono::steady_clock::now() + kPatience;
        const Ifindex index = lab::ifindex(device);
        while (std::chrono::steady_clock::now() < end) {
            const auto link = get_link(route, index);
            if (link && ((link->flags & IFF_RUNNING) != 0) == carrier) return;
            std::this_thread::sleep_for(milliseconds(1));
        }
        throw std::runtime_error("the carrier of " + device + " does not change");
    });
}

void World::type(const std::string& line) const {
    const Finished finished = run(host_, {"sh", "-c", line});
    if (!finished.ok()) throw std::runtime_error(finished.text());
}

void World::catch_up() const {
    if (!daemon_) return;
    host_.run([&] {
        if (!control_request(RunDirectory::of_this_namespace().socket(), {{"operation", "sync"}}))
            throw std::runtime_error("the daemon is gone: " + daemon_->err());
    });
}

void World::collect(Output& output) {
    const auto take = [&output](FrameSocket& socket) {
        for (Frame& frame : socket.receive(milliseconds(0))) output[socket.device()].push_back(std::move(frame));
    };
    for (FrameSocket& socket : far_sockets_) take(socket);
    for (FrameSocket& socket : bridge_sockets_) take(socket);
    for (auto& [port, socket] : vlan_sockets_) take(socket);
}

std::set<std::string> World::fdb() const {
    std::set<std::string> lines;
    host_.run([&] {
        NetlinkSocket route(NETLINK_ROUTE);
        std::map<Ifindex, std::string> names;
        dump_links(route, [&names](Event&& event) {
            const Link& link = std::get<LinkChanged>(event).link;
            names[link.index] = link.name;
        });
        dump_fdb(route, [&](Event&& event) {
            if (const auto* vtep = std::get_if<VtepChanged>(&event))
                lines.insert(fmt::format("{} {} behind {}{}", vtep->key.mac.text(), names[vtep->key.bridge],
                                         vtep->record.address.text(), vtep->record.fixed ? " fixed" : ""));
            if (!std::holds_alternative<FdbChanged>(event)) return;
            const auto& [key, record] = std::get<FdbChanged>(event);
            lines.insert(fmt::format("{} vid {} {}{}{}{}{}", key.mac.text(), number(key.vid), names[record.port],
                                     record.local ? " local" : "", record.is_static ? " static" : "",
                                     record.sticky ? " sticky" : "", record.locked ? " locked" : ""));
        });
    });
    return lines;
}

World::Share World::share() const {
    Share share;
    if (!daemon_) return share;
    const auto status = host_.run([] {
        return control_request(RunDirectory::of_this_namespace().socket(), {{"operation", "status"}});
    });
    if (!status) throw std::runtime_error("the daemon is gone: " + daemon_->err());
    for (const auto& bridge : status->at("bridges"))
        for (const auto& port : bridge.at("ports")) {
            if (!port.contains("fast")) continue;
            share.fast += port["fast"]["packets"].get<std::uint64_t>();
            share.translated += port["translated"]["packets"].get<std::uint64_t>();
            share.all += port["fast"]["packets"].get<std::uint64_t>();
            for (const auto& slow : port["slow"]) share.all += slow["packets"].get<std::uint64_t>();
        }
    return share;
}

}  // namespace underpass::test
