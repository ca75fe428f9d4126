// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A random life of a host that routes between two bridges, and has no rules.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "routed_life.h"

namespace underpass::test {

namespace {

class Maker : RoutedLife {
public:
    explicit Maker(std::uint64_t seed) : RoutedLife(seed) {}

    Scenario make() {
        begin();
        const std::size_t acts = 12 + below(20);
        for (std::size_t i = 0; i < acts; i++) {
            if (chance(80))
                converse();
            else
                change();
        }
        undo_changes();
        return std::move(scenario_);
    }

private:
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

    static constexpr std::array<std::size_t, 6> kSizes = {0, 1, 18, 100, 1000, 1472};
};

}  // namespace

Scenario make_route_scenario(std::uint64_t seed) {
    return Maker(seed).make();
}

}  // namespace underpass::test
