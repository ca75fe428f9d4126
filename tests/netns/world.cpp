// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "world.h"

#include <fmt/format.h>
#include <linux/if.h>
#include <sys/socket.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "lab/ethtool.h"
#include "netlink/dump.h"
#include "overloaded.h"
#include "sync/control.h"
#include "sync/state.h"

namespace underpass::test {

namespace {

constexpr const char* kBridge = "br0";
constexpr std::uint32_t kFarMtu = 3000;  // longer frames than any port takes can be sent

std::string port_name(std::size_t port) {
    return fmt::format("p{}", port);
}
std::string far_name(std::size_t port) {
    return fmt::format("f{}", port);
}
constexpr const char* kMarkerFrom = "m0";
constexpr const char* kMarkerTo = "m1";
constexpr int kQueues = 3;  // that a frame may wait in: a port's, the far end's, and one to spare

// The ports and their far ends, and a pair for markers, queued as frames are where XDP runs.
lab::Spec world_spec(const std::string& hook) {
    lab::Spec spec;
    spec.nodes = {lab::quiet_node("host"), lab::quiet_node("far")};
    lab::Node &host = spec.nodes[0], &far = spec.nodes[1];
    const bool wire = hook == "xdp";
    for (std::size_t i = 0; i < kMostPorts; i++) {
        host.interfaces.push_back({.name = port_name(i), .mac = port_mac(i)});
        far.interfaces.push_back({.name = far_name(i), .mac = far_mac(i), .mtu = kFarMtu});
        spec.links.push_back({.ends = {{{"host", port_name(i)}, {"far", far_name(i)}}}, .wire = wire});
    }
    spec.links.push_back({.ends = {{{"far", kMarkerFrom}, {"far", kMarkerTo}}}, .wire = wire});
    return spec;
}

}  // namespace

World::World(Net& net, const std::string& name, const std::string& hook)
    : name_(name),
      network_(net.build(world_spec(hook), name)),
      host_(network_.space("host")),
      far_(network_.space("far")) {
    for (std::size_t i = 0; i < kMostPorts; i++) far_sockets_.emplace_back(far_, far_name(i));
    for (const char* device : {kMarkerFrom, kMarkerTo}) marker_sockets_.emplace_back(far_, device);
    if (!hook.empty()) daemon_.emplace(start_daemon(host_, {"--all", "--hook", hook}));
}

void World::begin(std::size_t ports) {
    ports_ = ports;
    host_.run([&] {
        lab::create_bridge(kBridge, {.mac = bridge_mac()});
        for (std::size_t i = 0; i < kMostPorts; i++) {
            lab::set_mtu(port_name(i), kUsualMtu);
            lab::set_mac(port_name(i), port_mac(i));
            lab::set_up(port_name(i));
            if (i < ports) lab::set_master(port_name(i), kBridge);
        }
        lab::set_up(kBridge);
        for (std::size_t i = 0; i < ports; i++) lab::wait_until_running(port_name(i));
    });
    far_.run([&] {
        for (std::size_t i = 0; i < ports; i++) lab::wait_until_running(far_name(i));
    });
    bridge_socket_.emplace(host_, kBridge);
    catch_up();
    for (FrameSocket& socket : far_sockets_) socket.discard();
}

void World::end() {
    bridge_socket_.reset();
    host_.run([] { lab::delete_link(kBridge); });
}

std::string World::apply(const Step& step) {
    try {
        do_step(step);
        return {};
    } catch (const std::system_error& error) {
        return error.code().message();
    }
}

void World::do_step(const Step& step) {
    std::visit(
        Overloaded{
            [&](const Send& one) { send(one); },
            [&](const SetPort& set) { host_.run([&] { lab::set_port(port_name(set.port), set.options); }); },
            [&](const SetUp& set) { set_up(set.port, set.up); },
            [&](const Join& join) { host_.run([&] { lab::set_master(port_name(join.port), kBridge); }); },
            [&](const Leave& leave) { host_.run([&] { lab::clear_master(port_name(leave.port)); }); },
            [&](const SetMtu& set) { host_.run([&] { lab::set_mtu(port_name(set.port), set.mtu); }); },
            [&](const SetMac& set) { host_.run([&] { lab::set_mac(port_name(set.port), set.mac); }); },
            [&](const SetFdb& set) { host_.run([&] { lab::set_fdb(port_name(set.port), set.mac, set.kind); }); },
            [&](const DeleteFdb& gone) { host_.run([&] { lab::delete_fdb(port_name(gone.port), gone.mac); }); },
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
            [&](const CatchUp&) { catch_up(); },
        },
        step);
}

void World::send(const Send& send) {
    const FrameSocket& socket = send.port ? far_sockets_[*send.port] : *bridge_socket_;
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
    wait_for_carrier(host_, port_name(port), up);
    wait_for_carrier(far_, far_name(port), up);
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
    if (bridge_socket_) take(*bridge_socket_);
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
            share.all += port["fast"]["packets"].get<std::uint64_t>();
            for (const auto& slow : port["slow"]) share.all += slow["packets"].get<std::uint64_t>();
        }
    return share;
}

}  // namespace underpass::test
