// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A random life of a bridge with VXLAN devices among its ports. Their underlay is the first port, which is none of the
// bridge: all VTEPs behind it are whoever sends there.
//
//   192.0.2.2 ... 4 (or fd02::2 ...) at f0 -- p0: 192.0.2.1 -- vx0, vx1 -- [br0] -- p1 ... -- f1 ...
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>
#include <utility>

#include "scenario.h"

namespace underpass::test {

namespace {

constexpr std::size_t kVteps = 3, kFarHosts = 4;  // behind the VTEPs

class Maker {
public:
    explicit Maker(std::uint64_t seed) : random_(seed) {}

    Scenario make() {
        scenario_.ports = 3 + below(3);
        scenario_.joined = false;
        scenario_.tunnels = true;
        v6_ = chance(40);
        port_ = any_of(std::array<std::uint16_t, 3>{4789, 8472, 5555});
        devices_ = 1 + below(2);
        set_up_underlay();
        for (std::size_t i = 0; i < devices_; i++) add_device(i);
        for (std::size_t port = 1; port < scenario_.ports; port++) step(Join{port});
        for (std::size_t host = 0; host < kFarHosts; host++) at_[host] = below(kVteps);
        step(Settle{});
        for (int round = 0; round < 2; round++) introduce();
        const std::size_t acts = 10 + below(12);
        for (std::size_t i = 0; i < acts; i++) {
            const std::uint64_t kind = below(100);
            if (kind < 45)
                come_in();
            else if (kind < 80)
                go_out();
            else
                change();
        }
        return std::move(scenario_);
    }

private:
    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    bool chance(std::uint64_t percent) { return below(100) < percent; }
    template <class List>
    typename List::value_type any_of(const List& list) {
        return list[below(list.size())];
    }
    void step(Step step) { scenario_.steps.push_back(std::move(step)); }
    void type(std::string line) { step(Command{std::move(line)}); }
    void send(std::size_t port, Frame frame) { step(Send{port, std::move(frame)}); }
    void settle_sometimes() {
        if (chance(60)) step(Settle{});
    }

    std::string address(std::size_t vtep) const { return fmt::format("{}{}", v6_ ? "fd02::" : "192.0.2.", vtep + 2); }
    std::string own() const { return v6_ ? "fd02::1" : "192.0.2.1"; }
    static MacAddr vtep_mac(std::size_t vtep) { return mac(static_cast<std::uint16_t>(0x4400 + vtep)); }
    static MacAddr far_host(std::size_t host) { return mac(static_cast<std::uint16_t>(0x1400 + host)); }
    static std::string device(std::size_t number) { return fmt::format("vx{}", number); }
    static std::uint32_t vni(std::size_t number) { return static_cast<std::uint32_t>(42 + number); }
    std::size_t any_local() { return 1 + below(scenario_.ports - 1); }
    // A far host is in one network.
    std::size_t network_of(std::size_t host) const { return host % devices_; }

    std::string neighbour(std::size_t vtep, const MacAddr& at) const {
        return fmt::format("ip neigh replace {} lladdr {} nud permanent dev p0", address(vtep), at.text());
    }
    void set_up_underlay() {
        type(
            "ip addr flush dev p0; sysctl -q -w net.ipv4.conf.p0.rp_filter=0 net.ipv4.conf.all.rp_filter=0 "
            "net.ipv4.ip_forward=0; ethtool -K p0 tx off >/dev/null");
        address_underlay();
    }
    void address_underlay() {
        std::string line = v6_ ? "sysctl -q -w net.ipv6.conf.p0.accept_ra=0 net.ipv6.conf.p0.router_solicitations=0 "
                                 "net.ipv6.conf.p0.disable_ipv6=0; ip addr replace fd02::1/64 dev p0 nodad"
                               : "ip addr replace 192.0.2.1/24 dev p0";
        for (std::size_t vtep = 0; vtep < kVteps; vtep++) line += " && " + neighbour(vtep, vtep_mac(vtep));
        type(line);
    }

    void add_device(std::size_t number) {
        std::string line = fmt::format(
            "ip link add {} address 02:00:00:00:47:0{} type vxlan id {} dev p0 local {} "
            "dstport {} {} ",
            device(number), number, vni(number), own(), port_, chance(75) ? "learning" : "nolearning");
        line += any_of(std::array{"ttl 64", "ttl auto", "ttl 1", "ttl 64", "ttl inherit"});
        line += any_of(std::array{"", " tos 0x28", " tos inherit", ""});
        if (v6_)
            line += any_of(std::array{"", " udp6zerocsumtx", " udp6zerocsumrx", " udp6zerocsumtx udp6zerocsumrx"});
        else
            line += any_of(std::array{"", " udpcsum", " noudpcsum", " udpcsum"}) +
                    std::string(any_of(std::array{"", " df set", " df inherit", " df unset", ""}));
        line += fmt::format("; ip link set {0} mtu {1}; ip link set {0} master br0; ip link set {0} up", device(number),
                            v6_ ? 1430 : 1450);
        for (std::size_t vtep = 0; vtep < kVteps; vtep++)
            if (vtep == 0 || chance(60))
                line +=
                    fmt::format("; bridge fdb append 00:00:00:00:00:00 dev {} dst {}", device(number), address(vtep));
        type(line);
    }

    // Everybody has spoken.
    void introduce() {
        for (std::size_t port = 1; port < scenario_.ports; port++)
            send(port, Ethernet{.destination = kBroadcast, .source = far_mac(port)} / Payload{46});
        for (std::size_t host = 0; host < kFarHosts; host++)
            send(0, around(host, Ethernet{.destination = kBroadcast, .source = far_host(host)} / Payload{46}));
        step(Settle{});
    }

    // What is odd of an outer packet, if anything.
    struct Outer {
        MacAddr mac = port_mac(0);
        std::string source, destination;
        IPv4 ip;
        IPv6 ip6;
        UDP udp;
        Vxlan vxlan;
        bool tagged = false;
    };
    Outer plain(std::size_t host) {
        Outer outer;
        outer.source = address(at_[host]);
        outer.destination = own();
        outer.udp = {.sport = static_cast<std::uint16_t>(50000 + host), .dport = port_};
        if (!v6_ && chance(30)) outer.udp.checksum = 0;
        outer.vxlan.vni = vni(network_of(host));
        return outer;
    }
    Frame wrap(Outer outer, const Frame& inner) const {
        Stack frame = Layer(Ethernet{.destination = outer.mac, .source = vtep_mac(0)});
        if (outer.tagged) frame = frame / Vlan{.vid = 5};
        outer.ip.source = outer.ip6.source = outer.source;
        outer.ip.destination = outer.ip6.destination = outer.destination;
        frame = v6_ ? frame / Layer(outer.ip6) : frame / Layer(outer.ip);
        return frame / outer.udp / outer.vxlan / Bytes{inner};
    }
    Frame around(std::size_t host, const Frame& inner) { return wrap(plain(host), inner); }

    void make_odd(Outer& outer) {
        switch (below(14)) {
            case 0: outer.ip.ttl = outer.ip6.hop_limit = static_cast<std::uint8_t>(below(3)); break;
            case 1:
            case 2: outer.ip.tos = outer.ip6.tos = static_cast<std::uint8_t>(below(8)); break;
            case 3: outer.udp.checksum = static_cast<std::uint16_t>(chance(50) ? 0 : below(65536)); break;
            case 4:  // unsummed: what a sum of another length is, a device with GRO and one without see differently
                outer.udp.length = static_cast<std::uint16_t>(below(120));
                outer.udp.checksum = 0;
                break;
            case 5:
                outer.vxlan.flags =
                    any_of(std::array<std::uint32_t, 6>{0, 0x0c000000, 0x88000000, 0xffffffff, 0x08000001, 0x08008000});
                break;
            case 6: outer.vxlan.vni = static_cast<std::uint32_t>(41 + below(4)); break;
            case 7: outer.vxlan.reserved = static_cast<std::uint8_t>(below(256)); break;
            case 8: outer.ip.options = {1, 1, 1, 0}; break;
            case 9: outer.ip.fragment = any_of(std::array<std::uint16_t, 4>{0, 0x2000, 1, 0x8000}); break;
            case 10:
                outer.destination = v6_ ? any_of(std::array{"fd02::77", "ff02::1", "::1"})
                                        : any_of(std::array{"192.0.2.77", "224.0.0.1", "127.0.0.1", "192.0.2.255"});
                break;
            case 11:
                outer.source = v6_ ? any_of(std::array{"fd02::9", "ff02::1", "::1", "::", "fd02::1"})
                                   : any_of(std::array{"192.0.2.9", "224.0.0.1", "127.0.0.1", "0.0.0.0", "192.0.2.1"});
                break;
            case 12: outer.mac = any_of(std::array{kBroadcast, mac(0x7777), bridge_mac()}); break;
            default: outer.tagged = true;
        }
    }

    // Inner packets of one flow, and what is odd of one of them.
    struct Inner {
        MacAddr to, from;
        bool v6;
        Layer upper;
        std::uint8_t tos;
    };
    Inner inner(const MacAddr& to, const MacAddr& from) {
        const auto port = [this] { return static_cast<std::uint16_t>(1000 + below(3)); };
        Layer upper = UDP{.sport = port(), .dport = port()};
        const std::uint64_t kind = below(10);
        if (kind < 3) upper = TCP{.sport = port(), .dport = port()};
        if (kind == 3) upper = ICMP{.type = 8, .rest = static_cast<std::uint32_t>(below(3) << 16)};
        if (kind == 4) upper = Bytes{{0, 1, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8}};
        return {to, from, chance(40), upper, static_cast<std::uint8_t>(chance(20) ? below(256) : 0)};
    }
    Frame frame_of(const Inner& one, bool odd) {
        IPv4 ip{.source = "10.14.0.1", .destination = "10.14.0.2", .tos = one.tos};
        IPv6 ip6{.source = "fd14::1", .destination = "fd14::2", .tos = one.tos};
        if (std::holds_alternative<Bytes>(one.upper))
            ip.protocol = ip6.next_header = any_of(std::array<std::uint8_t, 5>{132, 47, 4, 41, 50});
        std::optional<Vlan> tag;
        std::size_t cut = 0;
        Ethernet ethernet{.destination = one.to, .source = one.from};
        if (odd) switch (below(11)) {
                case 0: ip.ttl = ip6.hop_limit = static_cast<std::uint8_t>(below(3)); break;
                case 1:
                case 2: ip.tos = ip6.tos = static_cast<std::uint8_t>((one.tos & 0xfc) | below(4)); break;
                case 3: ip.fragment = any_of(std::array<std::uint16_t, 4>{0, 0x2000, 1, 0x8000}); break;
                case 4: ip.options = {1, 1, 1, 0}; break;
                case 5: tag = Vlan{.vid = static_cast<std::uint16_t>(below(8))}; break;
                case 6: cut = 1 + below(60); break;
                case 7: ethernet.type = static_cast<std::uint16_t>(below(1600)); break;
                case 8:
                    ethernet.source =
                        any_of(std::array{MacAddr{}, kBroadcast, bridge_mac(), MacAddr{{2, 0, 0, 0, 0x47, 0}}});
                    break;
                case 9: ip6.label = static_cast<std::uint32_t>(1 + below(3)); break;
                default: ip.total_length = ip6.payload_length = static_cast<std::uint16_t>(below(200)); break;
            }
        Stack frame = Layer(ethernet);
        if (tag) frame = frame / *tag;
        frame = one.v6 ? frame / Layer(ip6) : frame / Layer(ip);
        Frame bytes = frame / one.upper / Payload{any_of(std::array<std::size_t, 5>{0, 18, 100, 1000, 1370})};
        if (cut != 0) bytes.resize(std::min(bytes.size(), cut));
        return bytes;
    }

    void come_in() {
        const std::size_t host = below(kFarHosts);
        const MacAddr to = chance(92) ? far_mac(any_local()) : chance(50) ? bridge_mac() : far_host(below(kFarHosts));
        if (chance(8)) at_[host] = below(kVteps);  // it moves
        const Inner flow = inner(to, far_host(host));
        const Outer outer = plain(host);
        const std::size_t count = 5 + below(8);
        for (std::size_t i = 0; i < count; i++) {
            if (i == 2) settle_sometimes();
            Outer one = outer;
            const bool odd = i > 1 && chance(30);
            if (odd && chance(60)) make_odd(one);
            Frame frame = wrap(one, frame_of(flow, odd && chance(50)));
            if (odd && chance(8)) frame.resize(14 + below(frame.size() - 14));
            send(0, std::move(frame));
        }
    }

    void go_out() {
        const std::size_t from = any_local();
        const Inner flow = inner(far_host(below(kFarHosts)), far_mac(from));
        const std::size_t count = 5 + below(8);
        for (std::size_t i = 0; i < count; i++) {
            if (i == 2) settle_sometimes();
            Frame frame = frame_of(flow, i > 1 && chance(25));
            if (frame.size() >= 14) send(from, std::move(frame));
        }
    }

    void change() {
        const std::size_t host = below(kFarHosts), vtep = below(kVteps);
        const std::string vx = device(network_of(host)), who = far_host(host).text();
        switch (below(10)) {
            case 0:
            case 1:
                type(fmt::format("bridge fdb replace {} dev {} dst {} self {}", who, vx, address(vtep),
                                 any_of(std::array{"permanent", "dynamic", "static"})));
                break;
            case 2: type(fmt::format("bridge fdb del {} dev {} self", who, vx)); break;
            case 3: type(fmt::format("ip link set {0} down; ip link set {0} up", vx)); break;
            case 4: type(neighbour(vtep, vtep_mac(vtep + below(2) * 16))); break;
            case 5: type(fmt::format("ip link set {} mtu {}", vx, 1000 + below(430))); break;
            case 6:
                step(SetUp{0, false});
                step(SetUp{0, true});
                address_underlay();
                break;
            case 7:
                type(fmt::format("ip route {} {} via {} dev p0", chance(50) ? "replace" : "del", address(vtep),
                                 address((vtep + 1) % kVteps)));
                break;
            case 8:  // from the tunnel to a port, until it speaks there again
                send(any_local(), Ethernet{.destination = kBroadcast, .source = far_host(host)} / Payload{46});
                break;
            default: type(fmt::format("bridge fdb flush dev {} self", vx)); break;
        }
        if (chance(70)) step(Settle{});
    }

    std::mt19937_64 random_;
    Scenario scenario_;
    bool v6_ = false;
    std::uint16_t port_ = 0;
    std::size_t devices_ = 1;
    std::array<std::size_t, kFarHosts> at_{};
};

}  // namespace

Scenario make_vxlan_scenario(std::uint64_t seed) {
    return Maker(seed).make();
}

}  // namespace underpass::test
