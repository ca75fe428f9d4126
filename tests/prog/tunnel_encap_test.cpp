// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames that are put into a VXLAN tunnel, on both hooks, with the outer headers that the kernel was seen to give
// them; and those that the VXLAN device has to take: TC sends them there, XDP passes them.
#include <bit>
#include <chrono>
#include <set>

#include "harness/frame_socket.h"
#include "prog/tunnel_fixture.h"

namespace underpass::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t kNative = 1, kInnerVid = 10, kOuterVid = 100;
constexpr std::uint32_t kUnderlayIfindex = kUpperIfindex + kOtherUpperSlot;

struct EncapFacts {
    bool ipv6 = false;
    std::uint32_t flags = DEVICE_ENCAP;  // of the VXLAN device, besides kVxlan
    std::uint32_t underlay_flags = kUnderlay;
    VtepFacts vtep = {};  // of the inner destination
    bool flow_known = true;
    std::uint32_t behind = 0, asked = 1, answered = 1, egress = 0;
    std::chrono::nanoseconds asked_ago = 200ms;
    std::uint32_t longest = 1514;
    bool summed = false, dont_fragment = false;
    std::uint8_t ttl = 64, tos = 0;
    std::uint32_t label = 0, vni = kVni, inner_label = 0;
    bool out_takes_xdp = true;
    bool vlan_aware = false;                // the frames are in kInnerVid
    std::uint8_t vxlan_rights = kUntagged;  // ... of which the VXLAN device may do this
    std::uint16_t outer_vid = 0;            // the underlay is a VLAN device on "out"
    std::uint16_t outer_protocol = k8021Q;
};

// What the inner flow is to the maps.
struct Inner {
    bool ipv6 = false;
    std::uint8_t protocol = IPPROTO_UDP;
    std::uint16_t sport = 1024, dport = 9;
    std::uint8_t tos = 0;
};

class Encap : public Tunnel {
protected:
    flow_key key(const Inner& inner) const {
        flow_key key = key_of(inner.ipv6, inner.ipv6 ? "fd00::1" : "10.0.0.1", inner.ipv6 ? "fd00::2" : "10.0.0.2",
                              inner.sport, inner.dport, inner.protocol, inner.tos);
        key.ifindex = kVxlanIfindex;
        key.kind = FLOW_ENCAP;
        return key;
    }

    flow entry(const EncapFacts& facts) const {
        flow entry = entry_of({.behind = facts.behind,
                               .asked = facts.asked,
                               .answered = facts.answered,
                               .asked_ago = facts.asked_ago,
                               .egress = facts.egress},
                              out_);
        if (facts.outer_vid != 0) entry.egress = kUnderlayIfindex;
        entry.mtu = facts.longest;
        std::copy(kRemoteRouter.bytes.begin(), kRemoteRouter.bytes.end(), entry.destination);
        std::copy(out_mac_.bytes.begin(), out_mac_.bytes.end(), entry.source);
        const auto here = words(facts.ipv6, facts.ipv6 ? kHere6 : kHere4),
                   there = words(facts.ipv6, facts.ipv6 ? kThere6 : kThere4);
        std::copy(here.begin(), here.end(), entry.out.source);
        std::copy(there.begin(), there.end(), entry.out.destination);
        entry.out.source_port = htons(kSourcePort);
        entry.out.destination_port = htons(kVxlanPort);
        entry.outer = {.vni = htonl(facts.vni << 8),
                       .label = htonl(facts.label),
                       .ttl = facts.ttl,
                       .tos = facts.tos,
                       .dont_fragment = facts.dont_fragment,
                       .summed = facts.summed,
                       .inner_label = facts.inner_label};
        return entry;
    }

    World world(const EncapFacts& facts) const {
        World world;
        world.out = {.flags = facts.underlay_flags, .bridge = 0};
        world.fdb = {{kFrom, {.slot = kInSlot}}, {kTo, {.slot = kVxlanSlot}}};
        world.out_takes_xdp = facts.out_takes_xdp;
        if (facts.outer_vid != 0) {
            world.out.flags = kReady | DEVICE_TRUNK;
            world.uppers[kOtherUpperSlot] = {.port = {.flags = facts.underlay_flags | DEVICE_VLAN_DEVICE,
                                                      .bridge = 0,
                                                      .vid = facts.outer_vid,
                                                      .vlan_protocol = facts.outer_protocol},
                                             .below = kOutSlot};
        }
        if (facts.vlan_aware) {
            world.in.flags |= DEVICE_VLAN_AWARE;
            world.in.vid = kNative;
            world.in.max_len = 1518;
            world.in.rights = {{kNative, kUntagged}, {kInnerVid, kTagged}};
            world.fdb = {{{kFrom, kInnerVid}, {.slot = kInSlot}}, {{kTo, kInnerVid}, {.slot = kVxlanSlot}}};
        }
        return world;
    }

    void write(const EncapFacts& facts, const Inner& inner) const {
        loaded_->set(world(facts));
        write_tunnel(facts, inner);
    }
    void write_tunnel(const EncapFacts& facts, const Inner& inner) const {
        loaded_->set_router(kOutSlot, out_mac_);
        device record = vxlan_record(kVxlanIfindex, kVxlan | facts.flags, kBridge);
        if (facts.ipv6) record.flags |= DEVICE_OUTER_IPV6;
        if (facts.vlan_aware) record.flags |= DEVICE_VLAN_AWARE;
        set_vxlan(record, {{kInnerVid, facts.vxlan_rights}});
        if (facts.outer_vid != 0) {
            ASSERT_FALSE(
                loaded_->programs().device_index.update(kUnderlayIfindex % DEVICE_INDEX_SIZE, kOtherUpperSlot));
        }
        set_vtep(kVxlanIfindex, kTo, facts.vtep, facts.ipv6);
        if (facts.flow_known) {
            ASSERT_FALSE(loaded_->programs().flows.update(key(inner), entry(facts)));
        }
    }

    // The packet that the frame becomes; its IPv4 identification is any, so it is taken from what came out. `tagged`:
    // the underlay's tag is in the bytes.
    Frame packet(const Frame& inner, const EncapFacts& facts, std::uint8_t ecn, const Frame& seen,
                 bool tagged = false) const {
        const Ethernet addresses = {.destination = kRemoteRouter, .source = out_mac_};
        const Stack eth =
            tagged ? addresses / Vlan{.vid = facts.outer_vid, .tpid = facts.outer_protocol} : Stack{Layer(addresses)};
        const auto tos = static_cast<std::uint8_t>(facts.tos | ecn);
        UDP udp = tunnel_udp();
        if (!facts.summed) udp.checksum = 0;
        const Vxlan vxlan = {.vni = facts.vni};
        if (facts.ipv6)
            return eth /
                   IPv6{.source = kHere6,
                        .destination = kThere6,
                        .hop_limit = facts.ttl,
                        .tos = tos,
                        .label = facts.label} /
                   udp / vxlan / Bytes{inner};
        return eth /
               IPv4{.source = kHere4,
                    .destination = kThere4,
                    .ttl = facts.ttl,
                    .tos = tos,
                    .id = id_of(seen, tagged),
                    .fragment = static_cast<std::uint16_t>(facts.dont_fragment ? 0x4000 : 0)} /
               udp / vxlan / Bytes{inner};
    }
    static std::uint16_t id_of(const Frame& packet, bool tagged = false) {
        const std::size_t at = tagged ? 22 : 18;
        return packet.size() < at + 2 ? std::uint16_t{0} : static_cast<std::uint16_t>(packet[at] << 8 | packet[at + 1]);
    }

    void expect_in(On hook, const Frame& in, const Frame& inner, const EncapFacts& facts, const Inner& flow,
                   std::uint8_t ecn = 0, const Gso& skb = {}) {
        SCOPED_TRACE(fmt::format("{}, outer {}, {} bytes", hook == On::xdp ? "XDP" : "TC", facts.ipv6 ? "IPv6" : "IPv4",
                                 in.size()));
        write(facts, flow);
        const Ran ran = loaded_->run(hook, in, skb);
        EXPECT_EQ(ran.action, expected(hook, true));
        // (What TC pushes is beside the bytes, and a test run does not show it.)
        const bool shows_tag = facts.outer_vid != 0 && hook == On::xdp;
        EXPECT_EQ(difference(packet(inner, facts, ecn, ran.frame, shows_tag), ran.frame), "");
        EXPECT_EQ(text(loaded_->counted()), text(Counted{{{kInSlot, REASON_ENCAPSULATED}, {1, in.size()}}}));
        const auto entry = loaded_->programs().flows.lookup(key(flow));
        ASSERT_TRUE(entry);
        EXPECT_EQ(entry->packets, 1U);
        EXPECT_EQ(entry->bytes, inner.size());
        EXPECT_EQ(entry->asked, facts.asked);
    }
    void expect_in(const Frame& in, const EncapFacts& facts = {}, const Inner& flow = {}, std::uint8_t ecn = 0) {
        for (const On hook : {On::tc, On::xdp}) expect_in(hook, in, in, facts, flow, ecn);
    }

    // By the VXLAN device: what a bridge would do. XDP passes it, and TC behind it counts it.
    void expect_by_device(const Frame& in, const EncapFacts& facts = {}, const Inner& flow = {},
                          std::optional<std::uint32_t> asked = {}) {
        for (const On hook : {On::tc, On::xdp}) {
            SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
            write(facts, flow);
            const Ran ran = loaded_->run(hook, in);
            EXPECT_EQ(ran.action, expected(hook, hook == On::tc));
            EXPECT_EQ(difference(in, ran.frame), "");
            Counted counted;
            if (hook == On::tc) counted[{kInSlot, REASON_FORWARDED}] = {1, in.size()};
            EXPECT_EQ(text(loaded_->counted()), text(counted));
            const auto entry = loaded_->programs().flows.lookup(key(flow));
            if (entry) {
                EXPECT_EQ(entry->packets, 0U);
            }
            if (asked) {
                ASSERT_EQ(entry.has_value(), facts.flow_known || hook == On::tc);
                if (entry) {
                    EXPECT_EQ(entry->asked, hook == On::tc ? *asked : facts.asked);
                }
            }
        }
    }
    void expect_passed(const Frame& in, reason why, const EncapFacts& facts) {
        for (const On hook : {On::tc, On::xdp}) {
            SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
            write(facts, {});
            expect_untouched(hook, loaded_->run(hook, in), in, why, in.size());
        }
    }
};

constexpr Inner kInner6 = {.ipv6 = true};

Ethernet eth() {
    return {.destination = kTo, .source = kFrom};
}
Frame frame4(std::size_t size = 60) {
    return eth() / IPv4{} / UDP{} / Payload{size - 42};
}
Frame frame6(std::size_t size = 70) {
    return eth() / IPv6{} / UDP{} / Payload{size - 62};
}

TEST_F(Encap, OfEveryLength) {
    for (const bool ipv6 : {false, true})
        for (const bool summed : {false, true}) {
            const EncapFacts facts = {.ipv6 = ipv6, .summed = summed};
            for (const std::size_t size :
                 {60U,  61U,   62U,   63U,   77U,   495U,  496U,  497U,  498U,  511U,  512U,
                  513U, 1007U, 1008U, 1009U, 1023U, 1024U, 1025U, 1499U, 1500U, 1513U, 1514U}) {
                expect_in(frame4(size), facts);
                if (size >= 70) expect_in(frame6(size), facts, kInner6);
            }
        }
}

TEST_F(Encap, OuterHeadersAreAsSeen) {
    for (const bool summed : {false, true})
        for (const bool ipv6 : {false, true}) {
            const Frame frame = frame4(101);
            expect_in(frame, {.ipv6 = ipv6, .summed = summed, .ttl = 1});
            expect_in(frame, {.ipv6 = ipv6, .summed = summed, .ttl = 255, .tos = 0xb8});
            expect_in(frame, {.ipv6 = ipv6, .summed = summed, .dont_fragment = true});
            expect_in(frame, {.ipv6 = ipv6, .summed = summed, .vni = 0});
            expect_in(frame, {.ipv6 = ipv6, .summed = summed, .vni = 0xffffff});
            expect_in(frame, {.ipv6 = ipv6, .summed = summed, .tos = 0xfc, .label = 0xfffff});
            expect_in(frame, {.ipv6 = ipv6, .summed = summed, .label = 0x12345});
        }
}

TEST_F(Encap, EcnIsTheInnerOne) {
    for (std::uint8_t ecn = 0; ecn < 4; ecn++)
        for (const bool ipv6 : {false, true})
            for (const std::uint8_t outer : {std::uint8_t{0}, std::uint8_t{0x28}}) {
                SCOPED_TRACE(fmt::format("inner {}", ecn));
                const std::uint8_t outside = ecn == 3 ? 2 : ecn, tos = static_cast<std::uint8_t>(0xb8 | ecn);
                EncapFacts facts = {.ipv6 = ipv6, .summed = true, .tos = outer};
                expect_in(eth() / IPv4{.tos = tos} / UDP{} / Payload{33}, facts, {.tos = 0xb8}, outside);
                facts.inner_label = 0xfffff;
                expect_in(eth() / IPv6{.tos = tos, .label = 0xfffff} / UDP{} / Payload{33}, facts,
                          {.ipv6 = true, .tos = 0xb8}, outside);
            }
}

TEST_F(Encap, InnerPacketsOfEachKind) {
    const EncapFacts summed = {.summed = true};
    const Stack four = eth() / IPv4{}, six = eth() / IPv6{};
    expect_in(four / TCP{} / Payload{1000}, summed, {.protocol = IPPROTO_TCP});
    expect_in(four / TCP{.flags = 2} / PadTo{60}, summed, {.protocol = IPPROTO_TCP});  // padding goes along
    expect_in(four / UDP{.checksum = 0} / Payload{33}, summed);
    expect_in(four / UDP{.checksum = 0x1234} / Payload{33}, summed);  // nobody looks
    expect_in(four / ICMP{.rest = 0x12340001} / Payload{33}, summed,
              {.protocol = IPPROTO_ICMP, .sport = 0x1234, .dport = 0x0800});
    expect_in(six / ICMP{.type = 128, .rest = 0x12340001} / Payload{33}, summed,
              {.ipv6 = true, .protocol = IPPROTO_ICMPV6, .sport = 0x1234, .dport = 0x8000});
    IPv6 labelled;
    labelled.label = 0xabcde;
    expect_in(eth() / labelled / UDP{} / Payload{33}, {.summed = true, .inner_label = 0xabcde}, {.ipv6 = true});
}

// Every checksum that there is: the payload runs through all of them. One of 0 is sent as 0xffff.
TEST_F(Encap, EveryChecksumIsRight) {
    const Inner flow;
    for (const bool ipv6 : {false, true}) {
        const EncapFacts facts = {.ipv6 = ipv6, .summed = true};
        const std::size_t at = ipv6 ? 60 : 40;
        bool ones = false;
        for (std::uint32_t i = 0; i < 65536; i++) {
            const Frame in = eth() / IPv4{} / UDP{.checksum = 0} /
                             Bytes{{static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)}};
            const Frame out = packet(in, facts, 0, {});
            const bool is_ones = out[at] == 0xff && out[at + 1] == 0xff;
            if (!is_ones && i % 509 != 0) continue;
            ones |= is_ones;
            for (const On hook : {On::tc, On::xdp}) expect_in(hook, in, in, facts, flow);
            if (HasFailure()) break;
        }
        EXPECT_TRUE(ones);
    }
}

// Two in a row differ but by chance.
TEST_F(Encap, IdentificationIsAny) {
    for (const On hook : {On::tc, On::xdp}) {
        write({}, {});
        std::set<std::uint16_t> seen;
        for (int i = 0; i < 32; i++) seen.insert(id_of(loaded_->run(hook, frame4()).frame));
        EXPECT_GT(seen.size(), 28U);
    }
}

// What a device's own sum is of is the frame as it is now: the far end of a veth goes by it.
TEST_F(Encap, KeepsTheSumOfADevice) {
    write({}, {});
    try {
        Frame other = frame4();
        other[0] ^= 0x10;  // to nobody
        loaded_->run(On::tc, other, {.complete = true});
    } catch (const std::system_error& error) {
        if (error.code().value() == EINVAL) GTEST_SKIP() << "this kernel's test runs have no such sums";
        throw;
    }
    for (const bool ipv6 : {false, true})
        for (const bool summed : {false, true}) {
            const EncapFacts facts = {.ipv6 = ipv6, .summed = summed};
            expect_in(On::tc, frame4(101), frame4(101), facts, {}, 0, {.complete = true});
            expect_in(On::tc, frame6(101), frame6(101), facts, kInner6, 0, {.complete = true});
        }
}

TEST_F(Encap, IsTheVxlanDevices) {
    const Frame plain = frame4();
    expect_by_device(plain, {.flow_known = false}, {}, 1);
    expect_by_device(plain, {.behind = 1}, {}, 1);
    expect_by_device(plain, {.asked = 7, .answered = 7, .asked_ago = 1100ms}, {}, 1);
    expect_by_device(plain, {.answered = 0}, {}, 2);
    expect_by_device(plain, {.asked = 3, .answered = 2}, {}, 4);
    expect_by_device(frame4(1001), {.longest = 1000}, {}, 2);
    expect_in(frame4(1000), {.longest = 1000});
    expect_by_device(plain, {.longest = 0}, {}, 2);
    expect_by_device(plain, {.vtep = {.address = kElsewhere4}}, {}, 2);
    expect_by_device(plain, {.ipv6 = true, .vtep = {.address = kElsewhere6}}, {}, 2);
    expect_by_device(plain, {.vtep = {.known = false}}, {}, 1);
    expect_by_device(plain, {.vtep = {.shown = false}}, {}, 1);
    expect_by_device(plain, {.vtep = {.distrusted = true}}, {}, 1);
    expect_in(plain, {.vtep = {.shown = false, .fixed = true}});
    expect_by_device(plain, {.flags = 0}, {}, 1);
    // Another source port
    IPv6 labelled;
    labelled.label = 0xabcde;
    expect_by_device(eth() / labelled / UDP{} / Payload{33}, {.inner_label = 0xabcdf}, {.ipv6 = true}, 2);
    expect_by_device(eth() / labelled / UDP{} / Payload{33}, {}, {.ipv6 = true}, 2);
    for (const std::uint8_t protocol : std::initializer_list<std::uint8_t>{IPPROTO_IPIP, IPPROTO_GRE, IPPROTO_ESP}) {
        IPv4 ip;
        ip.protocol = protocol;
        expect_by_device(eth() / ip / Payload{33}, {}, {.protocol = protocol, .sport = 0, .dport = 0}, 1);
    }
    // Of no flow
    expect_by_device(eth() / IPv4{.fragment = 0x2000} / UDP{} / Payload{100});
    expect_by_device(eth() / IPv4{.fragment = 1} / UDP{} / Payload{100});
    expect_by_device(eth() / IPv4{.options = {1, 1, 1, 1}} / UDP{});
    expect_by_device(eth() / IPv4{} / ICMP{.type = 3} / Payload{28});
    expect_by_device(eth() / IPv6{.next_header = 44} / Payload{100});
    expect_by_device(eth() / IPv6{.next_header = 0} / Payload{100});
    Ethernet other = eth();
    other.type = 0x88b5;
    expect_by_device(other / Payload{46});
    // A tag that stays
    expect_by_device(eth() / Vlan{.vid = 5} / IPv4{} / UDP{} / Payload{33});
    expect_by_device(eth() / Vlan{.vid = 5, .tpid = k8021AD} / IPv4{} / UDP{} / Payload{33});

    // The other VTEP makes the next frame ask anew.
    for (const On hook : {On::tc, On::xdp}) {
        write({.vtep = {.address = kElsewhere4}}, {});
        loaded_->run(hook, plain);
        EXPECT_EQ(loaded_->programs().flows.lookup(key({}))->generation, 0xffffffffU);
    }
    // Not before what was passed is gone; TC is behind it anyway.
    const EncapFacts fresh = {.asked_ago = 20ms};
    expect_in(On::tc, plain, plain, fresh, {});
    write(fresh, {});
    expect_untouched(On::xdp, loaded_->run(On::xdp, plain), plain, REASON_FLOW_ASKED, 0);
}

// Which VTEP the destination is behind is looked up once, and again once something has changed there.
TEST_F(Encap, RemembersWhoIsBehindTheVtep) {
    for (const On hook : {On::tc, On::xdp}) {
        SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
        const auto encapsulated = [&] { return loaded_->run(hook, frame4()).frame.size() > frame4().size(); };
        for (const VtepFacts& later :
             std::initializer_list<VtepFacts>{{.address = kElsewhere4}, {.distrusted = true}}) {
            write({}, {});
            ASSERT_TRUE(encapsulated());
            set_vtep(kVxlanIfindex, kTo, later, false);
            EXPECT_TRUE(encapsulated()) << "it was looked up anew";
            loaded_->programs().heartbeat.tell_fdb_change();
            EXPECT_FALSE(encapsulated());
        }
        write({}, {});
        ASSERT_TRUE(encapsulated());
        ASSERT_FALSE(loaded_->programs().vteps.erase(vtep_key(kVxlanIfindex, kTo)));
        EXPECT_TRUE(encapsulated());
        loaded_->programs().heartbeat.tell_fdb_change();
        EXPECT_FALSE(encapsulated());
    }
}

TEST_F(Encap, UnderlayIsNotReady) {
    const Frame plain = frame4();
    for (const std::uint32_t flag : {DEVICE_UNDERLAY, DEVICE_EGRESS, DEVICE_FORWARDING})
        expect_passed(plain, REASON_EGRESS_NOT_READY, {.underlay_flags = kUnderlay & ~flag});
    for (const std::uint32_t flag : {DEVICE_UNDERLAY, DEVICE_EGRESS, DEVICE_FORWARDING})
        expect_passed(plain, REASON_EGRESS_NOT_READY, {.underlay_flags = kUnderlay & ~flag, .outer_vid = kOuterVid});
    expect_passed(plain, REASON_EGRESS_NOT_READY, {.egress = 3999});
    const EncapFacts no_xdp = {.out_takes_xdp = false};
    expect_in(On::tc, plain, plain, no_xdp, {});
    write(no_xdp, {});
    expect_untouched(On::xdp, loaded_->run(On::xdp, plain), plain, REASON_EGRESS_NOT_READY, 0);
}

TEST_F(Encap, TagIsStripped) {
    const Stack tagged = eth() / Vlan{.vid = kInnerVid, .pcp = 5};
    for (const bool ipv6 : {false, true})
        for (const bool summed : {false, true}) {
            EncapFacts facts = {.ipv6 = ipv6, .summed = summed, .vlan_aware = true};
            for (const std::size_t size : {18U, 19U, 101U, 1468U}) {
                const Frame inner = eth() / IPv4{} / UDP{} / Payload{size};
                facts.longest = static_cast<std::uint32_t>(inner.size());
                for (const On hook : {On::tc, On::xdp})
                    expect_in(hook, tagged / IPv4{} / UDP{} / Payload{size}, inner, facts, {});
            }
            for (const On hook : {On::tc, On::xdp})
                expect_in(hook, tagged / IPv6{} / UDP{} / Payload{33}, eth() / IPv6{} / UDP{} / Payload{33}, facts,
                          kInner6);
        }
    // One that stays is the VXLAN device's.
    expect_by_device(tagged / IPv4{} / UDP{} / Payload{33}, {.vlan_aware = true, .vxlan_rights = kTagged});
}

// The packet leaves by the device below, with the VLAN device's tag: of the trunk's longest packet, too.
TEST_F(Encap, ByAVlanDevice) {
    for (const std::uint16_t protocol : {k8021Q, k8021AD})
        for (const bool ipv6 : {false, true})
            for (const bool summed : {false, true}) {
                EncapFacts facts = {.ipv6 = ipv6, .summed = summed, .outer_vid = kOuterVid, .outer_protocol = protocol};
                for (const std::size_t size : {60U, 61U, 512U, 1464U, 1514U}) expect_in(frame4(size), facts);
                expect_in(frame6(101), facts, kInner6);
                facts.vlan_aware = true;
                for (const On hook : {On::tc, On::xdp})
                    expect_in(hook, eth() / Vlan{.vid = kInnerVid, .pcp = 5} / IPv4{} / UDP{} / Payload{33},
                              eth() / IPv4{} / UDP{} / Payload{33}, facts, {});
            }
    const EncapFacts no_xdp = {.out_takes_xdp = false, .outer_vid = kOuterVid};
    expect_in(On::tc, frame4(), frame4(), no_xdp, {});
    write(no_xdp, {});
    expect_untouched(On::xdp, loaded_->run(On::xdp, frame4()), frame4(), REASON_EGRESS_NOT_READY, 0);
}

// What came for the next hop within the time, or the first of it: the host has multicast of its own.
std::vector<Frame> packets(FrameSocket& socket, milliseconds time) {
    const auto is_packet = [](const Frame& frame) { return destination_of(frame) == kRemoteRouter; };
    auto frames = socket.receive_until(
        [&](const std::vector<Frame>& all) { return std::any_of(all.begin(), all.end(), is_packet); }, time);
    std::erase_if(frames, [&](const Frame& frame) { return !is_packet(frame); });
    return frames;
}

// The same where the tag is beside the bytes, as the kernel has it for TC.
TEST_F(Encap, TagBesideTheBytesIsStripped) {
    loaded_->attach_to_tc();
    FrameSocket in(loaded_->where(), "in-far"), out(loaded_->where(), "out-far");
    for (const std::uint16_t outer_vid : {std::uint16_t{0}, kOuterVid})
        for (const auto& [ipv6, summed] :
             {std::pair(false, false), std::pair(false, true), std::pair(true, false), std::pair(true, true)}) {
            SCOPED_TRACE(fmt::format("outer {}, {}, VLAN {}", ipv6 ? "IPv6" : "IPv4", summed ? "summed" : "not summed",
                                     outer_vid));
            const Frame inner = eth() / IPv4{} / UDP{} / Payload{101};
            EncapFacts facts = {.ipv6 = ipv6, .summed = summed, .vlan_aware = true, .outer_vid = outer_vid};
            facts.longest = static_cast<std::uint32_t>(inner.size());
            write(facts, {});
            out.discard();
            in.send(eth() / Vlan{.vid = kInnerVid, .pcp = 5} / IPv4{} / UDP{} / Payload{101});
            const auto received = packets(out, 5s);
            ASSERT_EQ(received.size(), 1U) << text(loaded_->counted());
            EXPECT_EQ(difference(packet(inner, facts, 0, received[0], outer_vid != 0), received[0]), "");
            EXPECT_EQ(loaded_->programs().flows.lookup(key({}))->bytes, inner.size());
            // No frame longer than was seen.
            facts.longest--;
            write(facts, {});
            in.send(eth() / Vlan{.vid = kInnerVid, .pcp = 5} / IPv4{} / UDP{} / Payload{101});
            EXPECT_EQ(packets(out, 100ms).size(), 0U);
            EXPECT_EQ(loaded_->programs().flows.lookup(key({}))->asked, 2U);
        }
}

// What stands for several frames stays one in a tunnel without checksums, until the device below cuts it.
TEST_F(Encap, WhatIsCutLater) {
    shell("ethtool -K out tx off tso off gso off tx-udp_tnl-segmentation off >/dev/null");
    loaded_->attach_to_tc();
    FrameSocket in(loaded_->where(), "in-far"), out(loaded_->where(), "out-far");
    constexpr std::uint16_t kSegment = 1000;
    constexpr std::size_t kLast = 433;  // of 66 segments, all that an IPv4 packet around them can hold
    const std::vector<std::uint8_t> options(12, 1);
    const auto part = [](std::size_t begin, std::size_t size) {
        Bytes bytes;
        for (std::size_t i = begin; i < begin + size; i++) bytes.bytes.push_back(static_cast<std::uint8_t>(i * 7 / 3));
        return bytes;
    };
    for (const auto& [outer6, inner6, segments, outer_vid] :
         {std::tuple(false, false, 3U, 0), std::tuple(true, false, 3U, 0), std::tuple(false, true, 3U, 0),
          std::tuple(true, true, 3U, 0), std::tuple(false, false, 3U, int{kOuterVid}),
          std::tuple(true, true, 3U, int{kOuterVid}), std::tuple(false, false, 66U, 0)}) {
        SCOPED_TRACE(fmt::format("outer {}, inner {}, VLAN {}, {} segments", outer6 ? "IPv6" : "IPv4",
                                 inner6 ? "IPv6" : "IPv4", outer_vid, segments));
        const auto packet_of = [&, is6 = inner6](std::uint16_t id, const TCP& tcp, const Bytes& payload) -> Frame {
            IPv4 ip4;
            ip4.id = id;
            return is6 ? eth() / IPv6{} / tcp / payload : eth() / ip4 / tcp / payload;
        };
        const std::size_t all = (segments - 1) * std::size_t{kSegment} + kLast;
        const Frame whole = packet_of(7, {.sequence = 100, .flags = 0x19, .options = options}, part(0, all));
        const Inner flow = {.ipv6 = inner6, .protocol = IPPROTO_TCP};
        EncapFacts facts = {.ipv6 = outer6, .outer_vid = static_cast<std::uint16_t>(outer_vid)};
        facts.longest = static_cast<std::uint32_t>(whole.size() - all + kSegment);
        write(facts, flow);
        out.discard();
        in.send_uncut(whole, kSegment);
        std::vector<Frame> received;
        for (std::vector<Frame> more; received.size() < segments && !(more = packets(out, 5s)).empty();)
            received.insert(received.end(), more.begin(), more.end());
        ASSERT_EQ(received.size(), segments) << text(loaded_->counted());
        for (std::uint32_t i = 0; i < segments; i++) {
            const bool last = i + 1 == segments;
            const TCP tcp = {.sequence = 100 + i * kSegment,
                             .flags = static_cast<std::uint8_t>(last ? 0x19 : 0x10),
                             .options = options};
            const Frame inner = packet_of(static_cast<std::uint16_t>(7 + i), tcp,
                                          part(i * std::size_t{kSegment}, last ? kLast : kSegment));
            EXPECT_EQ(difference(packet(inner, facts, 0, received[i], outer_vid != 0), received[i]), "")
                << "segment " << i;
        }
        EXPECT_EQ(text(loaded_->counted()), text(Counted{{{kInSlot, REASON_ENCAPSULATED}, {segments, whole.size()}}}));
        const auto entry = loaded_->programs().flows.lookup(key(flow));
        ASSERT_TRUE(entry);
        EXPECT_EQ(entry->packets, segments);
        EXPECT_EQ(entry->bytes, whole.size());
        EXPECT_EQ(entry->asked, facts.asked);

        // With a checksum, or longer segments than were seen, it is the VXLAN device's (here there is none).
        EncapFacts summed = facts, shorter = facts;
        summed.summed = true;
        shorter.longest--;
        for (const EncapFacts& other : {summed, shorter}) {
            write(other, flow);
            in.send_uncut(whole, kSegment);
            EXPECT_EQ(packets(out, 50ms).size(), 0U);
            EXPECT_EQ(loaded_->programs().flows.lookup(key(flow))->asked, facts.asked + segments);
        }
        if (segments < 66) continue;
        const Frame longer = packet_of(7, {.sequence = 100, .options = options}, part(0, all + 1));
        write(facts, flow);
        in.send_uncut(longer, kSegment);
        EXPECT_EQ(packets(out, 50ms).size(), 0U);
        EXPECT_EQ(loaded_->programs().flows.lookup(key(flow))->asked, facts.asked + segments);
    }
}

// Flannel's way: the packet is routed out of the VXLAN device, which is no port, and back.
class RoutedTunnel : public Tunnel {
protected:
    void SetUp() override {
        Tunnel::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        shell(
            "ip link add vx type vxlan id 42 dev out local 192.0.2.1 dstport 4789 nolearning && ip link set vx up &&"
            "ip addr add 10.3.0.1/24 dev vx && ip neigh replace 10.3.0.2 lladdr 02:00:00:00:00:33 nud permanent dev "
            "vx");
        loaded_->where().run([this] {
            vx_ = lab::ifindex("vx");
            vx_mac_ = lab::mac("vx");
        });
    }

    flow_key routed_key(const char* source, const char* destination, Ifindex from, std::uint8_t kind) const {
        flow_key key = key_of(false, source, destination, 1024, 9, IPPROTO_UDP, 0);
        key.ifindex = number(from);
        key.kind = kind;
        return key;
    }
    flow routed_entry(const flow_key& key, Ifindex egress, const MacAddr& destination, const MacAddr& source) const {
        flow entry = entry_of({}, egress);
        std::copy(destination.bytes.begin(), destination.bytes.end(), entry.destination);
        std::copy(source.bytes.begin(), source.bytes.end(), entry.source);
        entry.out = ends_of(key);
        return entry;
    }
    void write(std::uint32_t in_flags, std::uint32_t out_flags) const {
        World world;
        world.in = {.flags = in_flags, .bridge = 0};
        world.out = {.flags = out_flags, .bridge = 0};
        world.fdb.clear();
        loaded_->set(world);
        loaded_->set_router(kInSlot, in_mac_);
        loaded_->set_router(kOutSlot, out_mac_);
        device record = vxlan_record(
            number(vx_), ((kVxlan | DEVICE_ENCAP | DEVICE_ROUTED) & ~unsigned{DEVICE_LEARNS | DEVICE_VTEP_LEARNS}), 0);
        std::copy(vx_mac_.bytes.begin(), vx_mac_.bytes.end(), record.mac);
        set_vxlan(record, {});
    }
    void write_encap(bool summed, std::uint32_t longest) const {
        write(kRouted, kUnderlay);
        set_vtep(number(vx_), kPod, {.fixed = true}, false);
        const auto& flows = loaded_->programs().flows;
        const flow_key route = routed_key("10.1.0.2", "10.3.0.2", loaded_->in(), FLOW_ROUTED);
        ASSERT_FALSE(flows.update(route, routed_entry(route, vx_, kPod, vx_mac_)));
        flow entry = routed_entry(route, out_, kRemoteRouter, out_mac_);
        entry.mtu = longest;
        entry.out = {};
        entry.out.source[0] = words(false, kHere4)[0];
        entry.out.destination[0] = words(false, kThere4)[0];
        entry.out.source_port = htons(kSourcePort);
        entry.out.destination_port = htons(kVxlanPort);
        entry.outer.vni = htonl(kVni << 8);
        entry.outer.ttl = 64;
        entry.outer.summed = summed;
        ASSERT_FALSE(flows.update(routed_key("10.1.0.2", "10.3.0.2", vx_, FLOW_ENCAP), entry));
    }

    static constexpr MacAddr kPod = {{2, 0, 0, 0, 0, 0x33}};
    Ifindex vx_ = Ifindex::none;
    MacAddr vx_mac_;
};

TEST_F(RoutedTunnel, GoesIn) {
    const auto ip = [](std::uint8_t ttl) { return IPv4{.source = "10.1.0.2", .destination = "10.3.0.2", .ttl = ttl}; };
    for (const bool summed : {false, true})
        for (const std::size_t size : {18U, 33U, 1000U, 1422U})
            for (const On hook : {On::tc, On::xdp})
                for (const std::size_t padding : {0U, 7U}) {
                    SCOPED_TRACE(fmt::format("{}, {} bytes", hook == On::xdp ? "XDP" : "TC", size));
                    const Frame in = frame(Ethernet{} / ip(64) / UDP{} / Payload{size} / PadTo{42 + size + padding});
                    const Frame inner =
                        Ethernet{.destination = kPod, .source = vx_mac_} / ip(63) / UDP{} / Payload{size};
                    write_encap(summed, 1464);
                    const Ran ran = loaded_->run(hook, in);
                    EXPECT_EQ(ran.action, expected(hook, true)) << text(loaded_->counted());
                    UDP udp = tunnel_udp();
                    if (!summed) udp.checksum = 0;
                    const auto id = static_cast<std::uint16_t>(ran.frame.at(18) << 8 | ran.frame.at(19));
                    const Frame out = Ethernet{.destination = kRemoteRouter, .source = out_mac_} /
                                      IPv4{.source = kHere4, .destination = kThere4, .id = id, .fragment = 0} / udp /
                                      Vxlan{} / Bytes{inner};
                    EXPECT_EQ(difference(out, ran.frame), "");
                    EXPECT_EQ(text(loaded_->counted()),
                              text(Counted{{{kInSlot, REASON_ENCAPSULATED}, {1, inner.size()}}}));
                }
}

TEST_F(RoutedTunnel, GoesInByTheDevice) {
    const auto ip = [](std::uint8_t ttl) { return IPv4{.source = "10.1.0.2", .destination = "10.3.0.2", .ttl = ttl}; };
    const Frame in = frame(Ethernet{} / ip(64) / UDP{} / Payload{101});
    const Frame inner = Ethernet{.destination = kPod, .source = vx_mac_} / ip(63) / UDP{} / Payload{101};
    write_encap(true, 100);
    const Ran by_tc = loaded_->run(On::tc, in);
    EXPECT_EQ(by_tc.action, TC_ACT_REDIRECT);
    EXPECT_EQ(difference(inner, by_tc.frame), "");
    EXPECT_EQ(text(loaded_->counted()), text(Counted{{{kInSlot, REASON_ROUTED}, {1, in.size()}}}));
    write_encap(true, 100);
    expect_untouched(On::xdp, loaded_->run(On::xdp, in), in, REASON_TOO_BIG, 0);
}

TEST_F(RoutedTunnel, ComesOut) {
    const auto ip = [](std::uint8_t ttl) { return IPv4{.source = "10.3.0.2", .destination = "10.2.0.2", .ttl = ttl}; };
    const auto packet = [this](const Frame& inner) -> Frame {
        return Ethernet{.destination = in_mac_, .source = kRemoteRouter} / there4() / tunnel_udp() / Vxlan{} /
               Bytes{inner};
    };
    const auto write_decap = [this] {
        write(kUnderlay, kRouted);
        const auto& flows = loaded_->programs().flows;
        flow_key outer = key_of(false, kThere4, kHere4, kSourcePort, kVxlanPort, IPPROTO_UDP, 0);
        outer.ifindex = number(vx_);
        outer.kind = FLOW_DECAP;
        ASSERT_FALSE(flows.update(outer, entry_of({}, loaded_->in())));
        const flow_key route = routed_key("10.3.0.2", "10.2.0.2", vx_, FLOW_ROUTED);
        ASSERT_FALSE(flows.update(route, routed_entry(route, out_, kNextHop, out_mac_)));
    };
    const Ethernet to_router = {.destination = vx_mac_, .source = kPod};
    for (const std::size_t size : {0U, 18U, 33U, 1000U, 1422U})
        for (const On hook : {On::tc, On::xdp}) {
            SCOPED_TRACE(fmt::format("{}, {} bytes", hook == On::xdp ? "XDP" : "TC", size));
            write_decap();
            const Ran ran = loaded_->run(hook, packet(to_router / ip(64) / UDP{} / Payload{size}));
            EXPECT_EQ(ran.action, expected(hook, true)) << text(loaded_->counted());
            EXPECT_EQ(difference(routed(Ethernet{} / ip(63) / UDP{} / Payload{size}), ran.frame), "");
            EXPECT_EQ(text(loaded_->counted()),
                      text(Counted{{{kVxlanSlot, REASON_DECAPSULATED}, {1, ran.frame.size()}}}));
        }
    struct Row {
        const char* what;
        Frame inner;
        reason why;
    };
    const Ethernet own = {.destination = vx_mac_, .source = vx_mac_};
    const std::vector<Row> rows = {
        {"TTL 1", to_router / ip(1) / UDP{}, REASON_ROUTE_EXCEPTION},
        {"padding", to_router / ip(64) / UDP{} / PadTo{60}, REASON_ROUTE_EXCEPTION},
        {"its own", own / ip(64) / UDP{}, REASON_LOOPED},
        {"another MAC", Ethernet{.destination = kTo, .source = kPod} / ip(64) / UDP{}, REASON_TO_HOST},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        for (const On hook : {On::tc, On::xdp}) {
            write_decap();
            const Frame in = packet(row.inner);
            expect_untouched(hook, loaded_->run(hook, in), in, row.why, in.size());
        }
    }
}

}  // namespace
}  // namespace underpass::test
