// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "scenario.h"

#include <fmt/format.h>

#include <array>
#include <random>

#include "overloaded.h"

namespace underpass::test {

namespace {

constexpr std::size_t kHosts = 10;
constexpr MacAddr kLinkLocal = {{0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e}};

class Maker {
public:
    explicit Maker(std::uint64_t seed) : random_(seed) {}

    Scenario make() {
        scenario_.ports = 2 + below(kMostPorts - 1);
        // A host lives at a port; the device at the port's other end is one of them.
        for (std::size_t i = 0; i < scenario_.ports; i++) hosts_.push_back({far_mac(i), i});
        for (std::size_t i = 0; i < kHosts; i++)
            hosts_.push_back({mac(static_cast<std::uint16_t>(0x1000 + i)), any_port()});
        step(SetBridgeNetfilter{chance(30)});
        for (std::size_t i = 0; i < scenario_.ports; i++)
            if (chance(35)) step(SetPort{i, port_options()});
        if (chance(80)) let_all_speak();
        const std::size_t acts = 15 + below(35);
        for (std::size_t i = 0; i < acts; i++) act();
        return std::move(scenario_);
    }

private:
    struct Host {
        MacAddr mac;
        std::size_t port;
    };

    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    bool chance(std::uint64_t percent) { return below(100) < percent; }
    std::size_t any_port() { return below(scenario_.ports); }
    Host& any_host() { return hosts_[below(hosts_.size())]; }
    void step(Step step) { scenario_.steps.push_back(std::move(step)); }

    // Twice, so that whoever mirrors the bridge's FDB has read each entry and seen its host since.
    void let_all_speak() {
        for (int round = 0; round < 2; round++) {
            for (const Host& host : hosts_) send(host.port, plain(any_host().mac, host.mac));
            step(CatchUp{});
        }
    }

    void act() {
        if (chance(25)) return let_two_talk();
        if (chance(60)) return send_some();
        change();
        step(CatchUp{});
    }

    void send(std::optional<std::size_t> port, Frame frame) { step(Send{port, std::move(frame)}); }

    void send_some() {
        const std::size_t count = 1 + below(6);
        for (std::size_t i = 0; i < count; i++) {
            Host& host = any_host();
            if (chance(8)) host.port = any_port();  // it has moved, and says so by this frame
            if (chance(8)) {
                send(std::nullopt, frame(any_host().mac, bridge_mac()));  // the host itself
                continue;
            }
            send(chance(94) ? host.port : any_port(), frame(destination(), source(host)));
        }
        if (chance(50)) step(CatchUp{});
    }

    void let_two_talk() {
        const Host one = any_host(), other = any_host();
        for (std::size_t i = 0; i < 8; i++) {
            const Host& from = i % 2 == 0 ? one : other;
            const Host& to = i % 2 == 0 ? other : one;
            send(from.port, i < 2 ? plain(to.mac, from.mac) : frame(to.mac, from.mac));
            if (i == 1) step(CatchUp{});
        }
    }

    MacAddr source(const Host& host) {
        if (chance(92)) return host.mac;
        switch (below(5)) {
            case 0: return mac(static_cast<std::uint16_t>(0x2000 + below(4)));  // never seen before
            case 1: return {};
            case 2: return {{0x03, 0, 0, 0, 0, 1}};  // a group's
            case 3: return bridge_mac();
            default: return port_mac(any_port());
        }
    }

    MacAddr destination() {
        if (chance(75)) return any_host().mac;
        switch (below(8)) {
            case 0: return kBroadcast;
            case 1: return {{0x01, 0x00, 0x5e, 0x01, 0x02, 0x03}};
            case 2: return {{0x33, 0x33, 0x00, 0x01, 0x02, 0x03}};
            case 3: return kLinkLocal;
            case 4: return bridge_mac();
            case 5: return port_mac(any_port());
            case 6: return {};
            default: return mac(static_cast<std::uint16_t>(0x3000 + below(4)));  // nobody's
        }
    }

    std::uint8_t next_mark() { return mark_++; }

    Frame plain(const MacAddr& to, const MacAddr& from) {
        return Ethernet{.destination = to, .source = from} / IPv4{.id = next_id()} / UDP{} / Payload{18, next_mark()};
    }

    std::uint16_t next_id() { return static_cast<std::uint16_t>(random_()); }

    Frame frame(const MacAddr& to, const MacAddr& from) {
        const Ethernet ethernet{.destination = to, .source = from};
        if (chance(45)) return plain(to, from);
        if (chance(12)) return tagged(ethernet);
        if (chance(20)) return broken(ethernet);
        switch (below(9)) {
            case 0: return ethernet / IPv4{.id = next_id()} / TCP{.sequence = next_mark()} / Payload{below(1000)};
            // Around the MTU: just below, at, and above it.
            case 1: return ethernet / IPv4{.id = next_id()} / UDP{} / Payload{1460 + below(24), next_mark()};
            case 2: return ethernet / IPv6{} / UDP{} / Payload{below(300), next_mark()};
            case 3: return ethernet / IPv6{} / ICMP{.type = static_cast<std::uint8_t>(128 + below(12))} / Payload{24};
            case 4:
                return ethernet /
                       Arp{.operation = static_cast<std::uint16_t>(1 + below(2)), .sender_mac = from, .target_mac = to};
            case 5: return ethernet / IPv4{.id = next_id()} / ICMP{.rest = next_mark()} / Payload{below(100)};
            case 6: return ethernet / IPv4{.id = next_id()} / UDP{} / Payload{2, next_mark()} / PadTo{60};
            case 7: return Ethernet{to, from, static_cast<std::uint16_t>(0x0600 + below(0xf9ff))} / random_bytes(46);
            default: return ethernet / IPv4{.id = next_id(), .fragment = 0x2000} / UDP{} / Payload{64, next_mark()};
        }
    }

    Frame tagged(const Ethernet& ethernet) {
        const Vlan tag{.vid = static_cast<std::uint16_t>(below(4095)),
                       .pcp = static_cast<std::uint8_t>(below(8)),
                       .dei = chance(20),
                       .tpid = static_cast<std::uint16_t>(chance(70) ? 0x8100 : 0x88a8)};
        if (chance(30)) return ethernet / tag / Vlan{.vid = 7} / IPv4{.id = next_id()} / UDP{} / Payload{20};
        return ethernet / tag / IPv4{.id = next_id()} / UDP{} / Payload{20, next_mark()};
    }

    Frame broken(const Ethernet& ethernet) {
        switch (below(8)) {
            case 0: return ethernet / IPv4{.checksum = next_id()} / UDP{} / Payload{20};
            case 1: return ethernet / IPv4{.total_length = next_id()} / UDP{} / Payload{20};
            case 2: return ethernet / IPv4{.version = 5} / UDP{} / Payload{20};
            case 3: return ethernet / IPv4{.header_words = static_cast<std::uint8_t>(below(16))} / UDP{} / Payload{20};
            case 4: return ethernet / IPv4{.options = {1, 1, 1, 0}} / UDP{} / Payload{20};
            case 5: return ethernet / IPv6{.payload_length = next_id()} / UDP{} / Payload{20};
            case 6: return ethernet / IPv6{.next_header = 0} / random_bytes(40);
            default: {
                Frame whole = plain(ethernet.destination, ethernet.source);
                whole.resize(15 + below(whole.size() - 15));
                return whole;
            }
        }
    }

    Bytes random_bytes(std::size_t count) {
        Bytes bytes;
        for (std::size_t i = 0; i < count; i++) bytes.bytes.push_back(static_cast<std::uint8_t>(random_()));
        return bytes;
    }

    lab::PortOptions port_options() {
        lab::PortOptions options;
        for (auto* option :
             {&options.isolated, &options.hairpin, &options.learning, &options.flood, &options.multicast_flood,
              &options.broadcast_flood, &options.locked, &options.neigh_suppress})
            if (chance(20)) *option = chance(60) == (option != &options.learning && option != &options.flood);
        return options;
    }

    void change() {
        const std::size_t port = any_port();
        switch (below(14)) {
            case 0:
            case 1: return step(SetPort{port, port_options()});
            case 2:
            case 3: {
                constexpr std::array<PortState, 5> kStates = {PortState::disabled, PortState::listening,
                                                              PortState::learning, PortState::forwarding,
                                                              PortState::blocking};
                return step(SetPort{port, {.state = kStates[below(kStates.size())]}});
            }
            case 4: return step(SetUp{port, false});
            case 5: return step(SetUp{port, true});
            case 6: return step(Leave{port});
            case 7: return step(Join{port});
            case 8: return step(SetMtu{port, static_cast<std::uint32_t>(chance(50) ? kUsualMtu : 600 + below(1200))});
            case 9: {
                constexpr std::array<lab::FdbKind, 4> kKinds = {lab::FdbKind::dynamic, lab::FdbKind::fixed,
                                                                lab::FdbKind::sticky, lab::FdbKind::local};
                return step(SetFdb{port, any_host().mac, kKinds[below(kKinds.size())]});
            }
            case 10: return step(DeleteFdb{port, any_host().mac});
            case 11: return step(FlushFdb{chance(50) ? std::optional(port) : std::nullopt});
            case 12:
                if (chance(30)) return step(AddLocal{mac(static_cast<std::uint16_t>(0x4000 + below(3)))});
                return step(SetMac{port, mac(static_cast<std::uint16_t>(0x5000 + below(20)))});
            default:
                if (chance(70)) return step(SetBridgeNetfilter{chance(50)});
                return step(SetBridgeUp{chance(60)});
        }
    }

    std::mt19937_64 random_;
    Scenario scenario_;
    std::vector<Host> hosts_;
    std::uint8_t mark_ = 0;
};

std::string text(const lab::PortOptions& options) {
    std::string text;
    if (options.state) text += fmt::format(" state {}", name(*options.state));
    const auto add = [&text](const char* what, const std::optional<bool>& value) {
        if (value) text += fmt::format(" {} {}", what, *value ? "on" : "off");
    };
    add("isolated", options.isolated);
    add("hairpin", options.hairpin);
    add("learning", options.learning);
    add("flood", options.flood);
    add("mcast_flood", options.multicast_flood);
    add("bcast_flood", options.broadcast_flood);
    add("locked", options.locked);
    add("neigh_suppress", options.neigh_suppress);
    return text;
}

std::string text(const lab::BridgeOptions& options) {
    std::string text;
    if (options.vlan_filtering) text += fmt::format(" vlan_filtering {}", *options.vlan_filtering ? "on" : "off");
    if (options.vlan_protocol) text += fmt::format(" vlan_protocol {:#06x}", *options.vlan_protocol);
    if (options.mst) text += fmt::format(" mst {}", *options.mst ? "on" : "off");
    return text;
}

std::string in_vlan(Vid vid) {
    return vid == Vid::none ? std::string() : fmt::format(" vlan {}", number(vid));
}

std::string port_or_bridge(const std::optional<std::size_t>& port) {
    return port ? fmt::format("port {}", *port) : std::string("the bridge");
}

const char* text(lab::FdbKind kind) {
    switch (kind) {
        case lab::FdbKind::dynamic: return "dynamic";
        case lab::FdbKind::fixed: return "static";
        case lab::FdbKind::sticky: return "sticky";
        case lab::FdbKind::local: return "local";
    }
    return "";
}

}  // namespace

MacAddr bridge_mac(std::size_t bridge) {
    return mac(static_cast<std::uint16_t>(0x0fff - bridge));
}
MacAddr port_mac(std::size_t port) {
    return mac(static_cast<std::uint16_t>(0x0100 + port));
}
MacAddr far_mac(std::size_t port) {
    return mac(static_cast<std::uint16_t>(0x0200 + port));
}

Scenario make_scenario(std::uint64_t seed) {
    return Maker(seed).make();
}

std::string describe(const Step& step) {
    return std::visit(
        Overloaded{
            [](const Send& send) {
                return fmt::format("send from {}: {}", send.port ? fmt::format("port {}", *send.port) : "the host",
                                   describe(send.frame));
            },
            [](const SetPort& set) { return fmt::format("port {} set{}", set.port, text(set.options)); },
            [](const SetUp& set) { return fmt::format("port {} {}", set.port, set.up ? "up" : "down"); },
            [](const Join& join) { return fmt::format("port {} joins bridge {}", join.port, join.bridge); },
            [](const Leave& leave) { return fmt::format("port {} leaves", leave.port); },
            [](const SetMtu& set) { return fmt::format("port {} mtu {}", set.port, set.mtu); },
            [](const SetMac& set) { return fmt::format("port {} address {}", set.port, set.mac.text()); },
            [](const SetFdb& set) {
                return fmt::format("fdb {} port {} {}{}", set.mac.text(), set.port, text(set.kind), in_vlan(set.vid));
            },
            [](const DeleteFdb& gone) {
                return fmt::format("fdb delete {} port {}{}", gone.mac.text(), gone.port, in_vlan(gone.vid));
            },
            [](const FlushFdb& flush) {
                return flush.port ? fmt::format("fdb flush port {}", *flush.port) : std::string("fdb flush");
            },
            [](const AddLocal& add) { return fmt::format("fdb {} local at the bridge", add.mac.text()); },
            [](const SetBridgeUp& set) { return fmt::format("bridge {}", set.up ? "up" : "down"); },
            [](const SetBridgeNetfilter& set) { return fmt::format("br_netfilter {}", set.on ? "on" : "off"); },
            [](const SetBridge& set) { return fmt::format("bridge {} set{}", set.bridge, text(set.options)); },
            [](const AddVlan& add) {
                return fmt::format("{}{}{}{}", port_or_bridge(add.port), in_vlan(add.vid),
                                   add.flags.pvid ? " pvid" : "", add.flags.untagged ? " untagged" : "");
            },
            [](const DeleteVlan& gone) {
                return fmt::format("{} no more{}", port_or_bridge(gone.port), in_vlan(gone.vid));
            },
            [](const SetVlanState& set) {
                return fmt::format("port {}{} state {}", set.port, in_vlan(set.vid), name(set.state));
            },
            [](const SetMsti& set) { return fmt::format("tree {} for{}", set.instance, in_vlan(set.vid)); },
            [](const SetMstState& set) {
                return fmt::format("port {} tree {} state {}", set.port, set.instance, name(set.state));
            },
            [](const CreateVlanDevice& create) {
                return fmt::format("port {} is made on {}:{}{}", create.port, port_or_bridge(create.lower),
                                   in_vlan(create.vid), create.service ? " 802.1ad" : "");
            },
            [](const DeleteVlanDevice& gone) { return fmt::format("port {} is deleted", gone.port); },
            [](const Command& command) { return command.line; },
            [](const ForgetConnections&) { return std::string("forget all connections"); },
            [](const CatchUp&) { return std::string("catch up"); },
            [](const Settle&) { return std::string("settle"); },
        },
        step);
}

}  // namespace underpass::test
