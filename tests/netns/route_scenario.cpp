// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A random life of a host that routes between two bridges: the host at port P is 10.9.B.(10+P), B being its bridge, and
// the host itself 10.9.B.1 on each. All neighbours are known, so that nothing but what was sent is on the wires.
#include <fmt/format.h>

#include <array>
#include <random>

#include "scenario.h"

namespace underpass::test {

namespace {

class Maker {
public:
    explicit Maker(std::uint64_t seed) : random_(seed) {}

    Scenario make() {
        scenario_.ports = 3 + below(kMostPorts - 2);
        scenario_.bridges = 2;
        scenario_.routed = true;
        for (std::size_t port = 1; port < scenario_.ports; port += 2) step(Join{port, 1});
        // As the kernel tells of itself at any time, not as its limits have it.
        type(
            "sysctl -q -w net.ipv4.icmp_ratemask=0 net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 "
            "net.ipv4.conf.br0.send_redirects=0 net.ipv4.conf.br1.send_redirects=0 net.ipv4.conf.all.rp_filter=0 "
            "net.ipv4.conf.br0.rp_filter=0 net.ipv4.conf.br1.rp_filter=0");
        type("ip addr add 10.9.0.1/24 dev br0 && ip addr add 10.9.1.1/24 dev br1");
        std::string neighbours = "true";
        for (std::size_t port = 0; port < scenario_.ports; port++)
            neighbours += " && " + neighbour(port, far_mac(port));
        type(neighbours);
        type(fmt::format("ip route add 10.8.0.0/16 via {}", address(1)));
        for (int round = 0; round < 2; round++) {
            for (std::size_t port = 0; port < scenario_.ports; port++)
                send(port, Ethernet{.destination = kBroadcast, .source = far_mac(port)} / Payload{46});
            step(CatchUp{});
        }
        step(Settle{});
        const std::size_t acts = 12 + below(20);
        for (std::size_t i = 0; i < acts; i++) {
            if (chance(80))
                converse();
            else
                change();
        }
        return std::move(scenario_);
    }

private:
    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    bool chance(std::uint64_t percent) { return below(100) < percent; }
    std::size_t any_port() { return below(scenario_.ports); }
    void step(Step step) { scenario_.steps.push_back(std::move(step)); }
    void type(std::string line) { step(Command{std::move(line)}); }
    void send(std::size_t port, Frame frame) { step(Send{port, std::move(frame)}); }

    static std::size_t bridge_of(std::size_t port) { return port % 2; }
    static std::string address(std::size_t port) { return fmt::format("10.9.{}.{}", bridge_of(port), 10 + port); }
    static std::string neighbour(std::size_t port, const MacAddr& mac) {
        return fmt::format("ip neigh replace {} lladdr {} nud permanent dev br{}", address(port), mac.text(),
                           bridge_of(port));
    }

    // One sends some frames to another, most of them alike, so that they are of one flow.
    void converse() {
        const std::size_t from = any_port();
        const std::string source = source_of(from), destination = destination_of(from);
        const MacAddr router = router_of(from);
        const Layer payload = upper();
        const std::size_t count = 4 + below(8);
        for (std::size_t i = 0; i < count; i++) {
            // XDP goes on later than TC.
            if (i == 2 && chance(40)) step(Settle{});
            IPv4 ip = {.source = source, .destination = destination};
            if (i > 0 && chance(20)) make_odd(ip);
            Stack frame = Ethernet{.destination = router, .source = far_mac(from)} / ip / payload;
            if (std::holds_alternative<UDP>(payload) || std::holds_alternative<TCP>(payload))
                frame = frame / Payload{kSizes[below(kSizes.size())]};
            if (chance(50)) frame = frame / PadTo{60};
            Frame bytes = frame;
            if (chance(3)) bytes.resize(std::max<std::size_t>(14, bytes.size() - below(30)));
            // Longer than the wire takes.
            if (bytes.size() > kUsualMtu + 14) bytes.resize(kUsualMtu + 14);
            send(from, std::move(bytes));
        }
    }

    std::string source_of(std::size_t port) {
        if (chance(93)) return address(port);
        constexpr std::array kOthers = {"127.0.0.1", "0.0.0.0",         "224.1.1.1", "10.9.0.1",  "10.9.1.1",
                                        "10.8.1.1",  "255.255.255.255", "192.0.2.7", "10.9.0.255"};
        return chance(30) ? address(any_port()) : kOthers[below(kOthers.size())];
    }

    std::string destination_of(std::size_t from) {
        if (chance(80)) {
            const std::size_t to = any_port();
            return address(bridge_of(to) == bridge_of(from) && chance(80) ? (to + 1) % scenario_.ports : to);
        }
        constexpr std::array kOthers = {"10.8.1.2",  "10.8.3.4",  "10.9.0.1",        "10.9.1.1",   "127.0.0.1",
                                        "224.0.0.5", "239.1.1.1", "255.255.255.255", "10.9.1.255", "192.0.2.9"};
        return kOthers[below(kOthers.size())];
    }

    MacAddr router_of(std::size_t port) {
        if (chance(93)) return bridge_mac(bridge_of(port));
        const std::array others = {bridge_mac(1 - bridge_of(port)), port_mac(port), far_mac(any_port()), kBroadcast};
        return others[below(others.size())];
    }

    Layer upper() {
        const auto port = [this] { return static_cast<std::uint16_t>(1000 + below(3)); };
        switch (below(8)) {
            case 0: return ICMP{.rest = static_cast<std::uint32_t>(below(2) << 16)};
            case 1: return ICMP{.type = static_cast<std::uint8_t>(chance(50) ? below(14) : 0), .rest = 7};
            case 2: return Bytes{{0, 0, 8, 0, 1, 2, 3, 4}};  // a protocol of no name
            case 3:
            case 4:
                return TCP{.sport = port(),
                           .dport = port(),
                           .flags = static_cast<std::uint8_t>(chance(70) ? 0x10 : below(64))};
            default: return UDP{.sport = port(), .dport = port()};
        }
    }

    // What a router has to look at frame by frame.
    void make_odd(IPv4& ip) {
        constexpr std::array<std::uint8_t, 6> kTtls = {0, 1, 2, 3, 128, 255};
        switch (below(10)) {
            case 0:
            case 1:
            case 2: ip.ttl = kTtls[below(kTtls.size())]; break;
            case 3: ip.tos = static_cast<std::uint8_t>(below(256)); break;
            case 4: ip.fragment = static_cast<std::uint16_t>(std::array{0, 0x2000, 1, 0x8000, 0x6000}[below(5)]); break;
            case 5:
                ip.options = chance(50) ? std::vector<std::uint8_t>{1, 1, 1, 1}
                                        : std::vector<std::uint8_t>{7, 7, 4, 0, 0, 0, 0, 0};
                break;
            case 6: ip.checksum = static_cast<std::uint16_t>(below(65536)); break;
            case 7: ip.total_length = static_cast<std::uint16_t>(below(200)); break;
            case 8: ip.header_words = static_cast<std::uint8_t>(below(16)); break;
            default: ip.version = static_cast<std::uint8_t>(below(16)); break;
        }
    }

    void change() {
        if (!undo_.empty() && chance(70)) {
            type(undo_.back());
            undo_.pop_back();
            return step(Settle{});
        }
        const std::size_t port = any_port();
        const std::string host = address(port);
        const std::string bridge = fmt::format("br{}", below(2));
        const auto make = [this](std::string line, std::string undo) {
            type(std::move(line));
            undo_.push_back(std::move(undo));
        };
        const auto sysctl = [&make](const std::string& name, std::uint64_t value, int before) {
            make(fmt::format("sysctl -q -w net.ipv4.{}={}", name, value),
                 fmt::format("sysctl -q -w net.ipv4.{}={}", name, before));
        };
        switch (below(9)) {
            case 0: {
                constexpr std::array kTypes = {"blackhole", "unreachable", "prohibit"};
                const std::string route = fmt::format("{} {}", kTypes[below(kTypes.size())], host);
                make("ip route add " + route, "ip route del " + route);
                break;
            }
            case 1:
                make(neighbour(port, mac(static_cast<std::uint16_t>(0x3000 + port))), neighbour(port, far_mac(port)));
                break;
            case 2: sysctl(fmt::format("conf.{}.rp_filter", chance(30) ? "all" : bridge), 1 + below(2), 0); break;
            case 3: sysctl("ip_forward", 0, 1); break;
            case 4: {
                const std::string rule = fmt::format("{} {} prohibit", chance(50) ? "from" : "to", host);
                make("ip rule add " + rule, "ip rule del " + rule);
                break;
            }
            case 5: {
                const std::string own = fmt::format("{}/32 dev {}", host, bridge);
                make("ip addr add " + own, "ip addr del " + own);
                break;
            }
            case 6: {
                const std::string route =
                    fmt::format("{} dev br{} mtu lock {}", host, bridge_of(port), 600 + below(900));
                make("ip route add " + route, "ip route del " + route);
                break;
            }
            case 7:
                make(fmt::format("ip link set dev {} address 02:00:00:00:bb:01", bridge),
                     fmt::format("ip link set dev {} address {}", bridge, bridge_mac(bridge == "br1" ? 1 : 0).text()));
                break;
            default:
                if (chance(50))
                    step(SetMtu{port, static_cast<std::uint32_t>(1000 + below(501))});
                else
                    step(Join{port, below(2)});
        }
        step(Settle{});
    }

    std::mt19937_64 random_;
    Scenario scenario_;
    std::vector<std::string> undo_;
    static constexpr std::array<std::size_t, 6> kSizes = {0, 1, 18, 100, 1000, 1472};
};

}  // namespace

Scenario make_route_scenario(std::uint64_t seed) {
    return Maker(seed).make();
}

}  // namespace underpass::test
