// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "vxlan_fixture.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <thread>

#include "crowd.h"
#include "harness/frame_socket.h"
#include "lab/address.h"
#include "lab/ethtool.h"
#include "lab/link.h"
#include "loader/error.h"
#include "loader/map.h"
#include "loader/object.h"
#include "loader/pin.h"
#include "maps/abi.h"
#include "maps/counters.h"
#include "trial.h"

namespace underpass::test {

lab::Spec underlay_spec() {
    lab::Spec spec;
    spec.nodes.push_back(lab::quiet_node("underlay"));
    lab::Bridge hub;
    hub.name = "switch";
    hub.multicast_snooping = false;
    spec.nodes.front().bridges.push_back(std::move(hub));
    return spec;
}

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kUplink = "uplink";
constexpr const char* kInside = "eth0";

std::string host_name(std::size_t machine) {
    return fmt::format("host{}", machine);
}
// Of the container, and of the port that it is at.
std::string container_name(std::size_t container) {
    return container == VxlanNet::kNeighbour ? "d1" : fmt::format("c{}", container);
}
MacAddr mac_of(std::uint16_t kind, std::size_t number) {
    return mac(static_cast<std::uint16_t>(std::size_t{kind} << 8 | number));
}
std::string vtep_of(bool v6, std::size_t machine) {
    return fmt::format("{}{}", v6 ? "fd02::" : "192.0.2.", machine);
}
IpPrefix prefix(const std::string& text) {
    return IpPrefix::parse(text).value();
}

void add_container(lab::Spec& spec, const VxlanPlan& plan, std::size_t machine, std::size_t container) {
    const std::string name = container_name(container);
    lab::Node node = lab::quiet_node(name);
    if (!plan.quiet) node.sysctls.clear();
    lab::Interface inside{.name = kInside, .mac = VxlanNet::container_mac(container)};
    inside.addresses.push_back(prefix(VxlanNet::address(container) + "/24"));
    if (!plan.quiet) inside.addresses.push_back(prefix(VxlanNet::address6(container) + "/64"));
    node.interfaces.push_back(std::move(inside));
    spec.nodes.push_back(std::move(node));
    spec.links.push_back(
        {.ends = {{{host_name(machine), name}, {name, kInside}}}, .mtu = plan.inner_mtu, .wire = plan.hook == "xdp"});
    lab::Node& host = *std::ranges::find(spec.nodes, host_name(machine), &lab::Node::name);
    host.bridges.front().ports.push_back({.device = name});
}

void add_machine(lab::Spec& spec, const VxlanPlan& plan, std::size_t machine) {
    lab::Node node = lab::quiet_node(host_name(machine));
    // The underlay may need it; the bridge and its ports say nothing of themselves.
    std::erase_if(node.sysctls, [](const auto& each) { return each.first.find("ipv6.conf") != std::string::npos; });
    lab::Bridge bridge;
    bridge.name = plan.bridge;
    bridge.mac = VxlanNet::bridge_mac(machine);
    bridge.multicast_snooping = false;
    if (plan.vxlan) {
        lab::VxlanDevice vxlan;
        vxlan.name = VxlanNet::kDevice;
        vxlan.mac = VxlanNet::vxlan_mac(machine);
        vxlan.mtu = plan.inner_mtu;
        vxlan.vni = VxlanNet::kVni;
        vxlan.port = VxlanNet::kPort;
        vxlan.local = IpAddress::parse(vtep_of(plan.v6, machine)).value();
        vxlan.learning = plan.learning;
        vxlan.summed = plan.summed;
        for (std::size_t other = 1; other <= plan.machines && plan.floods; other++)
            if (other != machine) vxlan.remotes.push_back(IpAddress::parse(vtep_of(plan.v6, other)).value());
        bridge.ports.push_back({.device = vxlan.name});
        node.sysctls.emplace_back(fmt::format("-net.ipv6.conf.{}.disable_ipv6", vxlan.name), "1");
        node.vxlans.push_back(std::move(vxlan));
    }
    node.sysctls.emplace_back(fmt::format("-net.ipv6.conf.{}.disable_ipv6", bridge.name), "1");
    node.bridges.push_back(std::move(bridge));
    lab::Interface uplink{.name = kUplink, .mac = VxlanNet::uplink_mac(machine), .mtu = plan.underlay_mtu};
    uplink.addresses.push_back(prefix(vtep_of(plan.v6, machine) + (plan.v6 ? "/64" : "/24")));
    node.interfaces.push_back(std::move(uplink));
    spec.nodes.push_back(std::move(node));
    const std::string name = host_name(machine);
    spec.links.push_back(
        {.ends = {{{"underlay", name}, {name, kUplink}}}, .mtu = plan.underlay_mtu, .wire = plan.hook == "xdp"});
    spec.nodes.front().bridges.front().ports.push_back({.device = name});
}

lab::Spec spec_of(const VxlanPlan& plan) {
    lab::Spec spec = underlay_spec();
    for (std::size_t machine = 1; machine <= plan.machines; machine++) {
        add_machine(spec, plan, machine);
        add_container(spec, plan, machine, machine);
    }
    add_container(spec, plan, 1, VxlanNet::kNeighbour);
    return spec;
}

// A UDP socket at any address, or to that one.
Fd udp_socket(const lab::Namespace& where, const std::string& address, std::uint16_t port, bool connected) {
    const bool v6 = address.find(':') != std::string::npos;
    return where.run([&] {
        Fd made(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!made) throw_errno(errno, "make a UDP socket");
        sockaddr_storage storage = {};
        socklen_t size = sizeof(sockaddr_in);
        if (v6) {
            auto& name = reinterpret_cast<sockaddr_in6&>(storage);
            name.sin6_family = AF_INET6;
            name.sin6_port = htons(port);
            if (connected) ::inet_pton(AF_INET6, address.c_str(), &name.sin6_addr);
            size = sizeof(name);
        } else {
            reinterpret_cast<sockaddr_in&>(storage) = ipv4(connected ? address : "0.0.0.0", port);
        }
        const auto* name = reinterpret_cast<const sockaddr*>(&storage);
        if ((connected ? ::connect(made.get(), name, size) : ::bind(made.get(), name, size)) != 0)
            throw_errno(errno, "use a UDP socket for " + address);
        return made;
    });
}

// Absent if none comes in time.
std::optional<std::vector<std::uint8_t>> datagram(const Fd& socket, sockaddr_storage& from, socklen_t& size) {
    pollfd readable = {socket.get(), POLLIN, 0};
    std::vector<std::uint8_t> bytes(65536);
    if (::poll(&readable, 1, is_emulated() ? 5000 : 1000) <= 0) return std::nullopt;
    const ssize_t got =
        ::recvfrom(socket.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (got < 0) return std::nullopt;
    bytes.resize(static_cast<std::size_t>(got));
    return bytes;
}

}  // namespace

VxlanNet::VxlanNet(Net& net, VxlanPlan plan, const std::string& part)
    : plan_(std::move(plan)), network_(net.build(spec_of(plan_), part)) {
    // Else the first frames to a machine may wait for its neighbour discovery, and get lost.
    for (std::size_t machine = 1; machine <= plan_.machines; machine++)
        for (std::size_t other = 1; other <= plan_.machines; other++)
            if (other != machine) shell_in(host(machine), "ping -n -q -i 0.1 -c 1 -w 15 " + vtep(other));
}

const lab::Namespace& VxlanNet::host(std::size_t machine) const {
    return network_.space(host_name(machine));
}
const lab::Namespace& VxlanNet::container(std::size_t machine) const {
    return network_.space(container_name(machine));
}
std::string VxlanNet::vtep(std::size_t machine) const {
    return vtep_of(plan_.v6, machine);
}
std::string VxlanNet::address(std::size_t container) {
    return fmt::format("10.14.0.{}", container);
}
std::string VxlanNet::address6(std::size_t container) {
    return fmt::format("fd14::{}", container);
}
MacAddr VxlanNet::container_mac(std::size_t container) {
    return mac_of(0x14, container);
}
MacAddr VxlanNet::uplink_mac(std::size_t machine) {
    return mac_of(0x02, machine);
}
MacAddr VxlanNet::bridge_mac(std::size_t machine) {
    return mac_of(0xb0, machine);
}
MacAddr VxlanNet::vxlan_mac(std::size_t machine) {
    return mac_of(0x47, machine);
}

void VxlanNet::up(const std::vector<std::string>& more) const {
    // A VXLAN device has no XDP of its own; the others have, where there is something to reach by it.
    const std::string hook = plan_.hook == "xdp" ? "auto" : plan_.hook;
    for (std::size_t machine = 1; machine <= plan_.machines; machine++) {
        // The VXLAN devices are bound to none.
        std::vector<std::string> words = {"up", plan_.bridge, "uplink", "--hook", hook};
        words.insert(words.end(), more.begin(), more.end());
        const Finished finished = underpass(host(machine), words, kLoading);
        if (!finished.ok()) throw std::runtime_error(finished.text());
    }
}

void VxlanNet::down() const {
    for (std::size_t machine = 1; machine <= plan_.machines; machine++) {
        const Finished finished = underpass(host(machine), {"down"});
        if (!finished.ok()) throw std::runtime_error(finished.text());
    }
}

void VxlanNet::unplug(std::size_t container, std::size_t from) const {
    host(from).run([container] { lab::delete_link(container_name(container)); });
}

void VxlanNet::plug(std::size_t number, std::size_t at) const {
    const std::string port = container_name(number);
    const lab::Namespace& inside = container(number);
    host(at).run([&] {
        lab::create_veth(port, kInside,
                         {.peer_namespace = &inside, .peer_mac = container_mac(number), .mtu = plan_.inner_mtu});
        lab::disable_ipv6(port);
        lab::set_master(port, plan_.bridge);
        lab::set_up(port);
    });
    inside.run([&] {
        if (plan_.hook == "xdp") lab::make_wire_like(kInside);
        if (!plan_.quiet) lab::add_address(kInside, address6(number) + "/64");
        lab::add_address(kInside, address(number) + "/24");
        lab::set_up(kInside);
        lab::wait_until_running(kInside);
    });
    host(at).run([&] { lab::wait_until_running(port); });
}

void VxlanNet::announce(std::size_t number) const {
    const FrameSocket socket(container(number), kInside);
    socket.send(Ethernet{.destination = kBroadcast, .source = container_mac(number)} /
                Arp{.sender_mac = container_mac(number), .sender = address(number), .target = address(number)} /
                PadTo{60});
}

std::string VxlanNet::vteps(std::size_t machine) const {
    return run(host(machine), {"sh", "-c", fmt::format("bridge fdb show dev {} | grep dst | sort", kDevice)}).out;
}

std::uint64_t VxlanNet::frames(std::size_t machine, const std::string& device, reason how) const {
    return frames_of(host(machine), device, how);
}

std::uint64_t frames_of(const lab::Namespace& host, const std::string& device, reason how) {
    return host.run([&device, how]() -> std::uint64_t {
        const auto pins = PinDirectory::of_this_namespace();
        auto index = pins.open(MAP_DEVICE_INDEX), counters = pins.open(MAP_COUNTERS);
        if (!index || !counters) return 0;
        const std::uint32_t place = number(lab::ifindex(device)) % DEVICE_INDEX_SIZE;
        const auto slot = Map<std::uint32_t, std::uint32_t>(std::move(*index)).lookup(place);
        if (!slot) return 0;
        std::uint64_t sum = 0;
        for (const device_counters& of_cpu :
             PerCpuArray<device_counters>(std::move(*counters)).lookup(*slot, possible_cpus()))
            for (std::size_t i = 0; i < std::size(of_cpu.by_reason); i++)
                if (how == REASON_COUNT || i == how) sum += of_cpu.by_reason[i].packets;
        return sum;
    });
}

void VxlanNet::expect_some(std::size_t machine, const std::string& device, reason how, std::uint64_t least) const {
    const std::uint64_t some = frames(machine, device, how), all = frames(machine, device, REASON_COUNT);
    fmt::print("{} of {} frames at {} of machine {} ended as {}\n", some, all, device, machine, static_cast<int>(how));
    EXPECT_GE(some, least) << device << " of machine " << machine << ":\n"
                           << underpass(host(machine), {"status"}).text();
}

void shell_in(const lab::Namespace& where, const std::string& commands) {
    const Finished finished = run(where, {"sh", "-ec", commands});
    if (!finished.ok()) throw std::runtime_error(commands + ": " + finished.text());
}

std::string ping_words(const lab::Namespace& from, const std::string& words) {
    const Finished finished = run(from, {"sh", "-c",
                                         "ping -n -i 0.02 -W 2 " + words +
                                             " 2>&1 | grep -E 'transmitted|exceeded|needed|too big|too long'"
                                             " | sed 's/, time.*//; s/icmp_seq=[0-9]* //' | sort -u"});
    return words + ": " + finished.out;
}

std::string exchange_datagrams(const lab::Namespace& from, const lab::Namespace& to, const std::string& address,
                               std::size_t size, int count) {
    constexpr std::uint16_t kEchoPort = 7007;
    const Fd server = udp_socket(to, address, kEchoPort, false), client = udp_socket(from, address, kEchoPort, true);
    int came_back = 0;
    for (int i = 0; i < count; i++) {
        std::vector<std::uint8_t> sent(size);
        for (std::size_t at = 0; at < size; at++)
            sent[at] = static_cast<std::uint8_t>(at * 7 + static_cast<unsigned>(i));
        sockaddr_storage who = {};
        socklen_t length = sizeof(who);
        if (::send(client.get(), sent.data(), sent.size(), 0) < 0) continue;
        const auto there = datagram(server, who, length);
        if (!there) continue;
        ::sendto(server.get(), there->data(), there->size(), 0, reinterpret_cast<const sockaddr*>(&who), length);
        came_back += datagram(client, who, length) == sent ? 1 : 0;
    }
    return fmt::format("{} of {} bytes to {}\n", came_back, size, address);
}

std::string hold_connections(const lab::Namespace& from, const lab::Namespace& to, const std::string& address,
                             const std::string& address6) {
    std::string wrong;
    const std::size_t connections = is_emulated() ? 4 : 40;
    const CrowdPlan plan = {.connections = connections, .at_once = connections / 2, .bytes = 3000, .turns = 20};
    {
        const EchoServer server(to, {5001, 5002});
        const CrowdOutcome outcome = Crowd(from, address, {5001, 5002}, plan).finish();
        if (outcome.closed != connections) wrong += fmt::format("{} of {} closed\n", outcome.closed, connections);
        for (const auto& [how, count] : outcome.wrong) wrong += fmt::format("{}: {}\n", how, count);
        if (server.broken() != 0) wrong += fmt::format("{} broken at the server\n", server.broken());
    }
    for (const std::string& destination : {address, address6}) {
        if (destination.empty()) continue;
        for (const char* way : {"", "-R"}) {
            wrong += iperf3(from, fmt::format("-c {} -n {} {}", destination, is_emulated() ? "200K" : "10M", way), to);
        }
    }
    return wrong.empty() ? fmt::format("connections to {}: good\n", address) : wrong;
}

std::optional<milliseconds> time_until_reached(const lab::Namespace& from, const std::string& address,
                                               milliseconds limit) {
    const auto begun = Clock::now();
    const auto taken = [&begun] { return std::chrono::duration_cast<milliseconds>(Clock::now() - begun); };
    const Child ping(from, {"sh", "-c", fmt::format("exec ping -n -i 0.01 -c 100000 {}", address)});
    while (taken() < limit) {
        if (ping.out().find("bytes from") != std::string::npos) return taken();
        std::this_thread::sleep_for(milliseconds(1));
    }
    return std::nullopt;
}

}  // namespace underpass::test
