// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "routed_life.h"

#include <fmt/format.h>

#include <array>

namespace underpass::test {

void RoutedLife::send(std::size_t port, Frame frame) {
    if (frame.size() > kUsualMtu + 14) frame.resize(kUsualMtu + 14);
    step(Send{port, std::move(frame)});
}

std::string RoutedLife::address(std::size_t port) {
    return fmt::format("10.9.{}.{}", bridge_of(port), 10 + port);
}

std::string RoutedLife::neighbour(std::size_t port, const MacAddr& mac) {
    return fmt::format("ip neigh replace {} lladdr {} nud permanent dev br{}", address(port), mac.text(),
                       bridge_of(port));
}

void RoutedLife::begin() {
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
    for (std::size_t port = 0; port < scenario_.ports; port++) neighbours += " && " + neighbour(port, far_mac(port));
    type(neighbours);
    type(fmt::format("ip route add 10.8.0.0/16 via {}", address(1)));
    for (int round = 0; round < 2; round++) {
        for (std::size_t port = 0; port < scenario_.ports; port++)
            send(port, Ethernet{.destination = kBroadcast, .source = far_mac(port)} / Payload{46});
        step(CatchUp{});
    }
    step(Settle{});
}

void RoutedLife::undo_changes() {
    if (undo_.empty()) return;
    for (; !undo_.empty(); undo_.pop_back()) type(undo_.back());
    step(Settle{});
}

void RoutedLife::make_odd(IPv4& ip) {
    constexpr std::array<std::uint8_t, 6> kTtls = {0, 1, 2, 3, 128, 255};
    switch (below(10)) {
        case 0:
        case 1:
        case 2: ip.ttl = kTtls[below(kTtls.size())]; break;
        case 3: ip.tos = static_cast<std::uint8_t>(below(256)); break;
        case 4: ip.fragment = static_cast<std::uint16_t>(std::array{0, 0x2000, 1, 0x8000, 0x6000}[below(5)]); break;
        case 5:
            ip.options =
                chance(50) ? std::vector<std::uint8_t>{1, 1, 1, 1} : std::vector<std::uint8_t>{7, 7, 4, 0, 0, 0, 0, 0};
            break;
        case 6: ip.checksum = static_cast<std::uint16_t>(below(65536)); break;
        case 7: ip.total_length = static_cast<std::uint16_t>(below(200)); break;
        case 8: ip.header_words = static_cast<std::uint8_t>(below(16)); break;
        default: ip.version = static_cast<std::uint8_t>(below(16)); break;
    }
}

void RoutedLife::change(std::uint64_t kinds) {
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
    switch (below(kinds)) {
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
            const std::string route = fmt::format("{} dev br{} mtu lock {}", host, bridge_of(port), 600 + below(900));
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

}  // namespace underpass::test
