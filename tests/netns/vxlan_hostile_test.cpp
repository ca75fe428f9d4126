// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Outer packets as nobody should send them, raw on the underlay: what of them arrives in the containers, and what the
// VXLAN device learns by them, is as without Underpass, frame by frame.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>

#include "harness/frame_socket.h"
#include "trial.h"
#include "vxlan_fixture.h"

namespace underpass::test {

namespace {

constexpr MacAddr kLinkLocal = {{0x01, 0x80, 0xc2, 0, 0, 0x0e}}, kGroup = {{0x01, 0, 0x5e, 1, 2, 3}},
                  kStranger = {{2, 0, 0, 0, 0x77, 1}}, kNobody = {{2, 0, 0, 0, 0x77, 2}};
constexpr std::size_t kEthernet = 14, kUdpAndVxlan = 16;

const MacAddr kTo = VxlanNet::container_mac(1), kFrom = VxlanNet::container_mac(2);

// What somebody says of a packet that has nothing else about it.
struct Outer {
    MacAddr mac = VxlanNet::uplink_mac(1);
    std::string source;  // none: the second machine's
    std::string destination;
    IPv4 ip;  // what else is said of its header, if it is one of IPv4
    IPv6 ip6;
    UDP udp = {.sport = 50000, .dport = VxlanNet::kPort};
    std::vector<std::uint8_t> vxlan = {8, 0, 0, 0, 0, 0, VxlanNet::kVni, 0};
};

class Writer {
public:
    explicit Writer(bool v6) : v6_(v6) {}

    Frame operator()(const Outer& outer, const Frame& inner) const {
        std::vector<std::uint8_t> bytes = outer.vxlan;
        bytes.insert(bytes.end(), inner.begin(), inner.end());
        return on(outer) / outer.udp / Bytes{bytes};
    }
    Frame operator()(const Frame& inner) const { return (*this)(Outer{}, inner); }

    Stack on(const Outer& outer) const {
        const Ethernet ethernet{.destination = outer.mac, .source = VxlanNet::uplink_mac(2)};
        const std::string own = v6_ ? "fd02::1" : "192.0.2.1", other = v6_ ? "fd02::2" : "192.0.2.2";
        IPv4 ip = outer.ip;
        IPv6 ip6 = outer.ip6;
        ip.source = ip6.source = outer.source.empty() ? other : outer.source;
        ip.destination = ip6.destination = outer.destination.empty() ? own : outer.destination;
        return v6_ ? ethernet / Layer(ip6) : ethernet / Layer(ip);
    }
    bool v6() const { return v6_; }
    std::size_t header() const { return v6_ ? 40 : 20; }
    // Whether the byte is of the outer IPv6 source address.
    bool is_source6(std::size_t at) const { return v6_ && at >= kEthernet + 8 && at < kEthernet + 24; }
    std::string address(int machine) const { return fmt::format("{}{}", v6_ ? "fd02::" : "192.0.2.", machine); }

private:
    bool v6_;
};

Frame inner(std::uint16_t mark, const MacAddr& to = kTo, const MacAddr& from = kFrom) {
    return Ethernet{.destination = to, .source = from} /
           IPv4{.source = "10.14.0.2", .destination = "10.14.0.1", .id = mark} / UDP{.sport = mark} / Payload{40};
}

// Each has a number of its own in it, by which it is known where it arrives.
std::vector<Frame> hostile_frames(const Writer& write) {
    std::vector<Frame> frames;
    std::uint16_t mark = 1000;
    const auto plain = [&] { return inner(mark++); };
    const auto add = [&](const Outer& outer) { frames.push_back(write(outer, plain())); };
    const auto add_inner = [&](const Frame& frame) {
        frames.push_back(write(frame));
        mark++;
    };
    const auto vxlan = [&](std::vector<std::uint8_t> bytes) { add({.vxlan = std::move(bytes)}); };
    add({});
    // The outer UDP header: no checksum, a wrong one, wrong lengths, other ports.
    add({.udp = {.sport = 50000, .dport = VxlanNet::kPort, .checksum = 0}});
    add({.udp = {.sport = 50000, .dport = VxlanNet::kPort, .checksum = 0x1234}});
    for (const std::uint16_t length : std::initializer_list<std::uint16_t>{0, 7, 8, 12, 16, 29, 30, 40, 2000, 65535})
        add({.udp = {.sport = 50000, .dport = VxlanNet::kPort, .length = length, .checksum = 0}});
    add({.udp = {.sport = VxlanNet::kPort, .dport = VxlanNet::kPort}});
    add({.udp = {.sport = 0, .dport = VxlanNet::kPort}});
    add({.udp = {.sport = 50000, .dport = 8472}});
    // The VXLAN header: flags, reserved bits, other networks.
    vxlan({0, 0, 0, 0, 0, 0, 7, 0});
    vxlan({0x0c, 0, 0, 0, 0, 0, 7, 0});
    vxlan({0x88, 0, 0, 5, 0, 0, 7, 0});
    vxlan({0xff, 0xff, 0xff, 0xff, 0, 0, 7, 0});
    vxlan({8, 0, 0, 1, 0, 0, 7, 0});
    vxlan({8, 0, 0, 0, 0, 0, 7, 1});
    vxlan({8, 0, 0, 0, 0, 0, 8, 0});
    vxlan({8, 0, 0, 0, 0, 7, 0, 0});
    vxlan({8, 0, 0, 0, 7, 0, 7, 0});
    vxlan({8, 0, 0, 0});
    vxlan({});
    // Who sends it, and to whom.
    for (const std::string& source :
         {write.address(99), write.address(3), write.address(1), std::string(write.v6() ? "::1" : "127.0.0.1"),
          std::string(write.v6() ? "::" : "0.0.0.0"), std::string(write.v6() ? "ff02::1" : "224.0.0.1")})
        add({.source = source});
    for (const std::string& destination : {write.address(9), std::string(write.v6() ? "ff02::1" : "224.0.0.1"),
                                           std::string(write.v6() ? "::1" : "127.0.0.1")})
        add({.destination = destination});
    for (const MacAddr& to : {kBroadcast, kStranger, VxlanNet::bridge_mac(1)}) add({.mac = to});
    // The outer IP header.
    for (const std::uint8_t ttl : std::initializer_list<std::uint8_t>{0, 1, 255})
        add({.ip = {.ttl = ttl}, .ip6 = {.hop_limit = ttl}});
    for (const std::uint8_t tos : std::initializer_list<std::uint8_t>{1, 2, 3, 0xff}) add({.ip = {.tos = tos}});
    add({.ip = {.options = {1, 1, 1, 0}}});
    add({.ip = {.options = {7, 4, 4, 0}}});
    add({.ip = {.version = 5}, .ip6 = {.version = 4}});
    add({.ip = {.checksum = 0x1234}});
    for (const std::uint16_t length : std::initializer_list<std::uint16_t>{20, 27, 28, 36, 60, 9000})
        add({.ip = {.total_length = length}, .ip6 = {.payload_length = length}});
    add({.ip = {.fragment = 0x2000}});
    add({.ip = {.fragment = 0x0001}});
    add({.ip = {.fragment = 0x8000}});
    // Two fragments of one, the first with both headers.
    if (!write.v6()) {
        const Frame whole = write(plain());
        for (const bool second : {false, true}) {
            constexpr std::size_t kCut = 40;
            const auto begin = whole.begin() + kEthernet + 20, cut = begin + kCut;
            frames.push_back(write.on({.ip = {.id = 77,
                                              .fragment = static_cast<std::uint16_t>(second ? kCut / 8 : 0x2000),
                                              .protocol = 17}}) /
                             Bytes{second ? Frame(cut, whole.end()) : Frame(begin, cut)});
        }
    }
    // Padding behind it, and a tag before it.
    Frame padded = write(plain());
    padded.resize(padded.size() + 20);
    frames.push_back(padded);
    Frame tagged = write(plain());
    const std::vector<std::uint8_t> tag = {0x81, 0, 0, 5};
    tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
    frames.push_back(tagged);
    // Cut anywhere, with lengths that say so and lengths that do not.
    for (const unsigned size : {0U, 1U, 6U, 12U, 13U, 14U, 15U, 20U, 33U, 34U, 41U, 42U}) {
        Frame cut = inner(mark++);
        cut.resize(size);
        frames.push_back(write(cut));
        Frame longer = write(inner(mark++));
        longer.resize(kEthernet + write.header() + kUdpAndVxlan + size);
        frames.push_back(longer);
    }
    // The inner addresses.
    for (const MacAddr& from : {MacAddr{}, kBroadcast, kGroup, kStranger, VxlanNet::bridge_mac(1),
                                VxlanNet::vxlan_mac(1), VxlanNet::container_mac(3)})
        add_inner(inner(mark, kTo, from));
    for (const MacAddr& to : {MacAddr{}, kBroadcast, kGroup, kLinkLocal, kNobody, VxlanNet::bridge_mac(1),
                              VxlanNet::vxlan_mac(1), VxlanNet::container_mac(VxlanNet::kNeighbour), kFrom})
        add_inner(inner(mark, to, kFrom));
    // What else is inside.
    const Ethernet ethernet{.destination = kTo, .source = kFrom};
    const IPv4 ip{.source = "10.14.0.2", .destination = "10.14.0.1", .id = mark};
    for (const std::uint16_t vid : std::initializer_list<std::uint16_t>{0, 1, 5, 4095}) {
        add_inner(ethernet / Vlan{.vid = vid, .pcp = 3} / ip / UDP{} / Payload{40});
        add_inner(ethernet / Vlan{.vid = vid, .tpid = 0x88a8} / Vlan{.vid = 7} / ip / UDP{} / Payload{40});
    }
    add_inner(write(plain()));
    add_inner(Ethernet{.destination = kTo, .source = kFrom} / ip / UDP{.dport = VxlanNet::kPort} /
              Bytes{{8, 0, 0, 0, 0, 0, 7, 0}} / Payload{40});
    add_inner(Ethernet{kTo, kFrom, 0x88b5} / Payload{60});
    add_inner(Ethernet{kTo, kFrom, 0x0030} / Payload{60});
    add_inner(ethernet / IPv4{.id = mark, .options = {1, 1, 1, 0}} / UDP{} / Payload{40});
    add_inner(ethernet / IPv4{.id = mark, .fragment = 0x2000} / UDP{} / Payload{40});
    add_inner(ethernet / IPv4{.id = mark, .total_length = 2000} / UDP{} / Payload{40});
    add_inner(ethernet / IPv4{.id = mark, .checksum = 1} / UDP{.checksum = 1} / Payload{40});
    for (const std::uint8_t tos : std::initializer_list<std::uint8_t>{0, 1, 2, 3}) {
        IPv4 marked = ip;
        marked.tos = tos;
        for (const std::uint8_t outer : std::initializer_list<std::uint8_t>{0, 1, 2, 3})
            frames.push_back(write({.ip = {.tos = outer}}, ethernet / marked / UDP{.sport = mark++} / Payload{40}));
    }
    add_inner(ethernet / IPv6{} / UDP{} / Payload{40});
    add_inner(ethernet / ip / Payload{1380});
    add_inner(ethernet / ip / Payload{1410});  // as long as the device takes, and longer
    if (write.v6()) return frames;             // there the underlay takes no longer ones
    add_inner(ethernet / ip / Payload{1411});
    add_inner(ethernet / ip / Payload{1430});
    return frames;
}

// Good ones with some bytes changed, wherever it may be. The source of the outer IPv6 header, which no sum of its own
// protects, is changed in few: an address that is seen behind another VTEP is the kernel's until the daemon has looked.
std::vector<Frame> changed_frames(const Writer& write, std::size_t count) {
    std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same in every run
    std::vector<Frame> frames;
    for (std::size_t i = 0; i < count; i++) {
        Outer outer;
        if (i % 2 == 0) outer.udp.checksum = 0;
        Frame frame = write(outer, inner(static_cast<std::uint16_t>(20000 + i)));
        const std::size_t end = kEthernet + write.header() + kUdpAndVxlan + 34;
        for (std::size_t change = 0; change <= random() % 3; change++) {
            std::size_t at = 12 + random() % (end - 12);
            while (i % 100 != 0 && write.is_source6(at)) at = 12 + random() % (end - 12);
            frame[at] ^= static_cast<std::uint8_t>(1U << random() % 8);
        }
        frames.push_back(std::move(frame));
    }
    return frames;
}

// The machine's ports say what groups of IPv6 they are in, some time.
bool is_own_report(const Frame& frame) {
    const MacAddr to = destination_of(frame);
    return to.bytes[0] == 0x33 && to.bytes[1] == 0x33;
}

// What is learnt, but for the other machine's own devices: they say so some time, too.
std::string learnt(const VxlanNet& net) {
    std::istringstream all(net.vteps(1));
    std::string kept;
    for (std::string line; std::getline(all, line);)
        if (!line.starts_with(VxlanNet::bridge_mac(2).text()) && !line.starts_with(VxlanNet::vxlan_mac(2).text()))
            kept += line + "\n";
    return kept;
}

// What arrives where, in no order, and what is learnt.
struct Arrived {
    std::map<std::string, std::vector<Frame>> frames;
    std::string vteps;
};

class VxlanHostileTest : public TestNet, public ::testing::WithParamInterface<std::tuple<const char*, const char*>> {
protected:
    static bool v6() { return std::string(std::get<1>(GetParam())) == "IPv6"; }

    static Arrived send_all(const VxlanNet& net, const std::vector<Frame>& hostile, const Writer& write) {
        const FrameSocket attacker(net.host(2), "uplink");
        std::vector<FrameSocket> places;
        places.emplace_back(net.container(1), "eth0");
        places.emplace_back(net.neighbour(), "eth0");
        places.emplace_back(net.host(1), net.plan().bridge);
        std::uint16_t good = 40000;
        const auto rest = [](int ms) { std::this_thread::sleep_for(milliseconds(is_emulated() ? 10 * ms : ms)); };
        // They are where they are, and known for long enough to be believed.
        const auto introduce = [&] {
            for (FrameSocket* each : {&places[0], &places[1]}) {
                const MacAddr who = VxlanNet::container_mac(each == &places[0] ? 1 : VxlanNet::kNeighbour);
                each->send(Ethernet{.destination = kBroadcast, .source = who} / Arp{.sender_mac = who} / PadTo{60});
            }
            attacker.send(write(inner(good++)));
        };
        for (int i = 0; i < 5; i++) {
            introduce();
            rest(40);
        }
        for (FrameSocket& each : places) each.discard();
        good = 50000;
        for (const Frame& frame : hostile) {
            for (int i = 0; i < 2; i++) attacker.send(write(inner(good++)));
            attacker.send(frame);
            // Before the next, so that both ways' frames arrive in this order.
            rest(2);
            introduce();
            rest(1);
        }
        rest(300);
        Arrived arrived;
        for (FrameSocket& each : places) {
            auto& frames = arrived.frames[each.device() + " of " + (&each == &places[0] ? "c1" : "another")];
            for (Frame& frame : each.receive(milliseconds(0)))
                if (!is_own_report(frame)) frames.push_back(std::move(frame));
            std::ranges::sort(frames);
        }
        arrived.vteps = learnt(net);
        return arrived;
    }

    void compare(const std::function<std::vector<Frame>(const Writer&)>& make, std::uint64_t least = 1) {
        VxlanPlan plan;
        plan.hook = std::get<0>(GetParam());
        plan.v6 = v6();
        plan.machines = 2;
        plan.quiet = true;
        const Writer write(v6());
        const std::vector<Frame> hostile = make(write);
        const VxlanNet alone(net(), plan, "k"), under(net(), plan, "u");
        under.up();
        const Arrived expected = send_all(alone, hostile, write), now = send_all(under, hostile, write);
        for (const auto& [place, frames] : expected.frames) {
            const auto& others = now.frames.at(place);
            fmt::print("{} frames at {}\n", frames.size(), place);
            std::vector<Frame> missing, added;
            std::ranges::set_difference(frames, others, std::back_inserter(missing));
            std::ranges::set_difference(others, frames, std::back_inserter(added));
            for (const Frame& frame : missing)
                ADD_FAILURE() << "only by the kernel, at " << place << ": " << describe(frame);
            for (const Frame& frame : added)
                ADD_FAILURE() << "only with Underpass, at " << place << ": " << describe(frame);
        }
        EXPECT_EQ(now.vteps, expected.vteps);
        EXPECT_GE(expected.frames.at("eth0 of c1").size(), 3 * hostile.size());
        // Two of four are good, and the fourth after the hostile one as well.
        under.expect_some(1, VxlanNet::kDevice, REASON_DECAPSULATED, least);
    }
};

TEST_P(VxlanHostileTest, ByHand) {
    compare(hostile_frames);
}

TEST_P(VxlanHostileTest, ChangedBytes) {
    // Of three good ones for each; or it is the kernel alone that is tried.
    const std::size_t count = is_emulated() ? 100 : 1000;
    compare([count](const Writer& write) { return changed_frames(write, count); }, is_emulated() ? 1 : count / 4);
}

INSTANTIATE_TEST_SUITE_P(Hooks, VxlanHostileTest,
                         ::testing::Combine(::testing::Values("tc", "xdp"), ::testing::Values("IPv4", "IPv6")),
                         [](const auto& test) {
                             return std::string(std::get<0>(test.param)) + "_" + std::get<1>(test.param);
                         });

}  // namespace

}  // namespace underpass::test
