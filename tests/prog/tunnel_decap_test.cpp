// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// VXLAN packets that are taken out of their tunnel, on both hooks; and those that the kernel has to see, as they came.
#include <algorithm>
#include <chrono>

#include "harness/frame_socket.h"
#include "prog/tunnel_fixture.h"

namespace underpass::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t kNative = 1, kInnerVid = 10, kOuterVid = 100;

struct DecapFacts {
    std::uint32_t flags = 0;    // of the VXLAN device, besides kVxlan; DEVICE_OUTER_IPV6 makes it an IPv6 tunnel
    std::uint32_t without = 0;  // of kVxlan
    VtepFacts vtep = {};        // of the inner source
    Shown source_shown = Shown::a_while_ago;
    bool flow_known = true;
    std::uint32_t behind = 0, asked = 1, answered = 1, egress = 0;
    std::chrono::nanoseconds asked_ago = 200ms;
    std::uint8_t tos = 0;               // of the outer flow
    bool vlan_aware = false;            // inner frames are in kInnerVid with a tag, else in kNative
    std::uint8_t out_rights = kTagged;  // of the port that they leave by, in kInnerVid
    bool native_is_tagged = false;      // ... there, as frames in kNative leave
    bool out_takes_xdp = true;
    std::uint16_t outer_vid = 0;  // the underlay is a VLAN device on "in"
    std::uint16_t outer_protocol = k8021Q;
};

class Decap : public Tunnel {
protected:
    void write(const DecapFacts& facts) {
        const bool ipv6 = (facts.flags & DEVICE_OUTER_IPV6) != 0;
        World world;
        world.in = {.flags = kUnderlay, .bridge = 0};
        world.fdb = {{kFrom, {.slot = kVxlanSlot, .shown = facts.source_shown}}, {kTo, {.slot = kOutSlot}}};
        world.out_takes_xdp = facts.out_takes_xdp;
        std::uint32_t underlay = number(loaded_->in());
        if (facts.outer_vid != 0) {
            underlay = kUpperIfindex + kOtherUpperSlot;
            world.in.flags = kReady | DEVICE_TRUNK;
            world.uppers[kOtherUpperSlot] = {.port = {.flags = kUnderlay | DEVICE_VLAN_DEVICE,
                                                      .bridge = 0,
                                                      .vid = facts.outer_vid,
                                                      .vlan_protocol = facts.outer_protocol},
                                             .below = kInSlot};
        }
        device record = vxlan_record(kVxlanIfindex, (kVxlan & ~facts.without) | facts.flags, kBridge);
        std::map<std::uint16_t, std::uint8_t> rights;
        if (facts.vlan_aware) {
            record.flags |= DEVICE_VLAN_AWARE;
            record.vid = kNative;
            rights = {{kNative, kUntagged}, {kInnerVid, kTagged}};
            world.out.flags |= DEVICE_VLAN_AWARE;
            world.out.vid = kNative;
            world.out.rights = {{kNative, facts.native_is_tagged ? kTagged : kUntagged}, {kInnerVid, facts.out_rights}};
            world.fdb.clear();
            for (const std::uint16_t vid : {kNative, kInnerVid}) {
                world.fdb.emplace(Host{kFrom, vid}, Known{.slot = kVxlanSlot});
                world.fdb.emplace(Host{kTo, vid}, Known{.slot = kOutSlot});
            }
        }
        loaded_->set(world);
        loaded_->set_router(facts.outer_vid != 0 ? kOtherUpperSlot : kInSlot, in_mac_);
        set_vxlan(record, rights);
        set_vtep(kVxlanIfindex, kFrom, facts.vtep, ipv6);
        if (!facts.flow_known) return;
        ASSERT_FALSE(loaded_->programs().flows.update(key(ipv6, facts.tos), entry_of({.behind = facts.behind,
                                                                                      .asked = facts.asked,
                                                                                      .answered = facts.answered,
                                                                                      .asked_ago = facts.asked_ago,
                                                                                      .egress = facts.egress},
                                                                                     Ifindex{underlay})));
    }

    flow_key key(bool ipv6, std::uint8_t tos = 0) const {
        flow_key key =
            key_of(ipv6, ipv6 ? kThere6 : kThere4, ipv6 ? kHere6 : kHere4, kSourcePort, kVxlanPort, IPPROTO_UDP, tos);
        key.ifindex = kVxlanIfindex;
        key.kind = FLOW_DECAP;
        return key;
    }

    // As the other end's router sends it.
    Frame outer(const Stack& packet) const {
        Frame bytes = packet;
        std::copy(in_mac_.bytes.begin(), in_mac_.bytes.end(), bytes.begin());
        std::copy(kRemoteRouter.bytes.begin(), kRemoteRouter.bytes.end(), bytes.begin() + ETH_ADDR_LEN);
        return bytes;
    }
    Frame around(const Frame& inner, const IPv4& ip = there4(), const UDP& udp = tunnel_udp(),
                 const Vxlan& vxlan = {}) const {
        return outer(Ethernet{} / ip / udp / vxlan / Bytes{inner});
    }
    Frame around6(const Frame& inner, const IPv6& ip = there6(), const UDP& udp = tunnel_udp()) const {
        return outer(Ethernet{} / ip / udp / Vxlan{} / Bytes{inner});
    }

    void expect_out(On hook, const Frame& packet, const Frame& leaving, const DecapFacts& facts = {},
                    const Gso& skb = {}) {
        SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
        const bool ipv6 = (facts.flags & DEVICE_OUTER_IPV6) != 0;
        write(facts);
        const Ran ran = loaded_->run(hook, packet, skb);
        EXPECT_EQ(ran.action, expected(hook, true)) << text(loaded_->counted());
        EXPECT_EQ(difference(leaving, ran.frame), "");
        const std::uint64_t inner = packet.size() - (ipv6 ? 70 : 50) - (facts.outer_vid != 0 ? 4 : 0);
        EXPECT_EQ(text(loaded_->counted()), text(Counted{{{kVxlanSlot, REASON_DECAPSULATED}, {1, inner}}}));
        const auto entry = loaded_->programs().flows.lookup(key(ipv6, facts.tos));
        ASSERT_TRUE(entry);
        EXPECT_EQ(entry->packets, 1U);
        EXPECT_EQ(entry->bytes, inner);
        EXPECT_EQ(entry->asked, facts.asked);
    }
    void expect_out_of_both(const Frame& inner, const DecapFacts& facts = {}) {
        const Frame packet = (facts.flags & DEVICE_OUTER_IPV6) != 0 ? around6(inner) : around(inner);
        for (const On hook : {On::tc, On::xdp}) expect_out(hook, packet, inner, facts);
    }

    void expect_left_by(On hook, const Frame& packet, reason why, const DecapFacts& facts = {}) {
        SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
        write(facts);
        expect_untouched(hook, loaded_->run(hook, packet), packet, why, packet.size());
    }
    void expect_left(const Frame& packet, reason why, const DecapFacts& facts = {}) {
        for (const On hook : {On::tc, On::xdp}) expect_left_by(hook, packet, why, facts);
    }
};

Frame inner4(std::size_t size = 60) {
    return Ethernet{.destination = kTo, .source = kFrom} / IPv4{} / UDP{} / Payload{size - 42};
}
Frame inner6(std::size_t size = 70) {
    return Ethernet{.destination = kTo, .source = kFrom} / IPv6{} / UDP{} / Payload{size - 62};
}

TEST_F(Decap, OfEveryLength) {
    const DecapFacts six = {.flags = DEVICE_OUTER_IPV6};
    // 16 of UDP and VXLAN are summed besides; the programs sum by 512.
    for (const std::size_t size :
         {60U,  61U,   62U,   63U,   64U,   77U,   495U,  496U,  497U,  498U,  499U,  500U,  511U, 512U,
          513U, 1006U, 1007U, 1008U, 1009U, 1010U, 1023U, 1024U, 1025U, 1499U, 1500U, 1513U, 1514U}) {
        SCOPED_TRACE(size);
        expect_out_of_both(inner4(size));
        expect_out_of_both(inner4(size), six);
        if (size < 70) continue;
        expect_out_of_both(inner6(size));
        expect_out_of_both(inner6(size), six);
    }
}

// Not one bit of a summed packet may differ, wherever it is.
TEST_F(Decap, ChecksumIsOfEveryByte) {
    const DecapFacts six = {.flags = DEVICE_OUTER_IPV6};
    const Frame inner = inner4(1401), four = around(inner), packet6 = around6(inner);
    for (std::size_t i = 0; i < inner.size(); i += i < 42 ? 1 : 61) {
        if (i >= 6 && i < 14) continue;  // another source, which is behind no VTEP
        SCOPED_TRACE(i);
        Frame wrong = four;
        wrong[50 + i] ^= 0x10;
        expect_left(wrong, REASON_TUNNEL_EXCEPTION);
        wrong = packet6;
        wrong[70 + i] ^= 0x10;
        expect_left(wrong, REASON_TUNNEL_EXCEPTION, six);
        if (HasFailure()) break;
    }
    Frame last = four;
    last.back() ^= 1;
    expect_left(last, REASON_TUNNEL_EXCEPTION);
}

// Every checksum that there is: the payload runs through all of them. One of 0 is sent as 0xffff.
TEST_F(Decap, EveryChecksumIsRight) {
    bool ones = false;
    for (std::uint32_t i = 0; i < 65536; i++) {
        const Bytes payload{{static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)}};
        const Frame inner = Ethernet{.destination = kTo, .source = kFrom} / IPv4{} / UDP{.checksum = 0} / payload;
        const Frame packet = around(inner);
        const bool is_ones = packet[40] == 0xff && packet[41] == 0xff;
        if (!is_ones && i % 509 != 0) continue;
        ones |= is_ones;
        expect_out(i % 2 == 0 ? On::tc : On::xdp, packet, inner);
        if (HasFailure()) break;
    }
    EXPECT_TRUE(ones);
}

TEST_F(Decap, UdpChecksum) {
    const Frame inner = inner4(100);
    const auto udp = [](std::uint16_t checksum) {
        UDP layer = tunnel_udp();
        layer.checksum = checksum;
        return layer;
    };
    const DecapFacts six = {.flags = DEVICE_OUTER_IPV6},
                     unsummed = {.flags = DEVICE_OUTER_IPV6 | DEVICE_OUTER_UNSUMMED};
    for (const On hook : {On::tc, On::xdp}) {
        expect_out(hook, around(inner, there4(), udp(0)), inner);
        expect_out(hook, around6(inner, there6(), udp(0)), inner, unsummed);
        expect_out(hook, around6(inner), inner, unsummed);
    }
    expect_left(around6(inner, there6(), udp(0)), REASON_TUNNEL_EXCEPTION, six);
    for (const std::uint16_t wrong : {std::uint16_t{1}, std::uint16_t{0x1234}, std::uint16_t{0xffff}}) {
        expect_left(around(inner, there4(), udp(wrong)), REASON_TUNNEL_EXCEPTION);
        expect_left(around6(inner, there6(), udp(wrong)), REASON_TUNNEL_EXCEPTION, unsummed);
    }
}

// Which VTEP the source is behind is looked up once, and again once something has changed there.
TEST_F(Decap, RemembersWhoIsBehindTheVtep) {
    const auto& heart = loaded_->programs().heartbeat;
    for (const On hook : {On::tc, On::xdp}) {
        SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
        const auto goes = [&](const Frame& inner) {
            return loaded_->run(hook, around(inner)).action == expected(hook, true);
        };
        write({});
        const Frame inner = inner4(101), other = Ethernet{.destination = kFrom, .source = kTo} / IPv4{} / UDP{};
        ASSERT_TRUE(goes(inner));
        set_vtep(kVxlanIfindex, kFrom, {.address = kElsewhere4}, false);
        EXPECT_TRUE(goes(inner)) << "it was looked up anew";
        const std::uint32_t before = heart.fdb_generation();
        EXPECT_FALSE(goes(other)) << "it is of another address";
        EXPECT_EQ(heart.fdb_generation(), before);
        loaded_->programs().heartbeat.tell_fdb_change();
        EXPECT_FALSE(goes(inner));
        EXPECT_EQ(heart.fdb_generation(), before + 2)
            << "what all flows remember of it ends where it is seen elsewhere";
        EXPECT_FALSE(goes(inner));
        EXPECT_EQ(heart.fdb_generation(), before + 2);

        // Nor for longer than a pulse.
        write({});
        ASSERT_TRUE(goes(inner));
        const auto [key, asked] = loaded_->programs().flows.entries().front();
        flow old = asked;
        EXPECT_NE(old.behind, 0U);
        old.asked_ns -= FLOW_PULSE_NS;
        ASSERT_FALSE(loaded_->programs().flows.update(key, old));
        loaded_->run(On::tc, around(inner));
        EXPECT_EQ(loaded_->programs().flows.lookup(key)->behind, 0U);
    }
}

// What a device's own sum is of is the frame as it is now.
TEST_F(Decap, KeepsTheSumOfADevice) {
    const Frame inner = inner4(101), of_six = inner6(101);
    const DecapFacts six = {.flags = DEVICE_OUTER_IPV6};
    write({});
    try {
        loaded_->run(On::tc, around(inner), {.complete = true});
    } catch (const std::system_error& error) {
        if (error.code().value() == EINVAL) GTEST_SKIP() << "this kernel's test runs have no such sums";
    }
    expect_out(On::tc, around(inner), inner, {}, {.complete = true});
    expect_out(On::tc, around(of_six), of_six, {}, {.complete = true});
    expect_out(On::tc, around6(inner), inner, six, {.complete = true});
    expect_out(On::tc, around6(of_six), of_six, six, {.complete = true});
}

// TC's helper only knows IP: the rest is the VXLAN device's there.
TEST_F(Decap, InnerFramesOfOtherKinds) {
    const Ethernet eth = {.destination = kTo, .source = kFrom};
    Ethernet experimental = eth, llc = eth;
    experimental.type = 0x88b5;
    llc.type = 46;
    const std::vector<Frame> rows = {
        experimental / Payload{46},
        experimental / Payload{1401},
        llc / Payload{46},
        eth / Bytes{},
        eth / Vlan{.vid = 5} / IPv4{} / UDP{} / Payload{100},
        eth / Vlan{.vid = 5, .tpid = k8021AD} / Vlan{.vid = 6} / IPv6{} / UDP{},
    };
    for (const Frame& inner : rows) {
        SCOPED_TRACE(describe(inner));
        expect_out(On::xdp, around(inner), inner);
        expect_left_by(On::tc, around(inner), REASON_EGRESS_NOT_READY);
        const DecapFacts six = {.flags = DEVICE_OUTER_IPV6};
        expect_out(On::xdp, around6(inner), inner, six);
        expect_left_by(On::tc, around6(inner), REASON_EGRESS_NOT_READY, six);
    }
    expect_left(around(eth / Arp{}), REASON_ARP);
    expect_left(around(eth / IPv6{} / ICMP{.type = 135} / Payload{20}), REASON_ND);
    const Frame fragment = eth / IPv4{.fragment = 0x2000} / UDP{} / Payload{100},
                options = eth / IPv4{.options = {1, 1, 1, 1}} / UDP{}, bad_sum = eth / IPv4{.checksum = 0x1234} / UDP{},
                padded = eth / IPv4{} / UDP{} / PadTo{60};
    for (const Frame& inner : {fragment, options, bad_sum, padded})
        expect_out_of_both(inner);  // a bridge does not look
}

TEST_F(Decap, InnerTagOnAVlanAwareBridge) {
    const Ethernet eth = {.destination = kTo, .source = kFrom};
    const Frame tagged = eth / Vlan{.vid = kInnerVid, .pcp = 5} / IPv4{} / UDP{} / Payload{101},
                priority = eth / Vlan{.vid = 0, .pcp = 3} / IPv4{} / UDP{} / Payload{101},
                plain = eth / IPv4{} / UDP{} / Payload{101};
    const DecapFacts aware = {.vlan_aware = true}, untagged = {.vlan_aware = true, .out_rights = kUntagged};
    expect_out(On::xdp, around(tagged), tagged, aware);
    expect_out(On::xdp, around(tagged), plain, untagged);
    expect_out(On::xdp, around(priority), plain, aware);
    expect_out_of_both(plain, aware);
    for (const Frame& inner : {tagged, priority})
        for (const DecapFacts& facts : {aware, untagged})
            expect_left_by(On::tc, around(inner), REASON_EGRESS_NOT_READY, facts);
    expect_left(around(eth / Vlan{.vid = 77} / IPv4{} / UDP{}), REASON_NOT_A_MEMBER, aware);
}

// The packet with the tag behind its addresses.
Frame with_tag(Frame packet, std::uint16_t vid, std::uint16_t protocol) {
    const std::array<std::uint8_t, 4> tag = {
        static_cast<std::uint8_t>(protocol >> 8), static_cast<std::uint8_t>(protocol),
        static_cast<std::uint8_t>(0xa0 | vid >> 8), static_cast<std::uint8_t>(vid)};
    packet.insert(packet.begin() + std::ptrdiff_t{2} * ETH_ADDR_LEN, tag.begin(), tag.end());
    return packet;
}

TEST_F(Decap, OfAVlanDevice) {
    for (const std::uint16_t protocol : {k8021Q, k8021AD}) {
        const DecapFacts facts = {.outer_vid = kOuterVid, .outer_protocol = protocol};
        DecapFacts facts6 = facts;
        facts6.flags = DEVICE_OUTER_IPV6;
        for (const std::size_t size : {60U, 61U, 70U, 512U, 1514U}) {
            expect_out(On::xdp, with_tag(around(inner4(size)), kOuterVid, protocol), inner4(size), facts);
            expect_out(On::xdp, with_tag(around6(inner4(size)), kOuterVid, protocol), inner4(size), facts6);
        }
        expect_out(On::xdp, with_tag(around(inner6(101)), kOuterVid, protocol), inner6(101), facts);
        // A trunk of the bridge gets the tag of the inner VLAN.
        DecapFacts aware = facts;
        aware.vlan_aware = true;
        const Frame tagged = Ethernet{.destination = kTo, .source = kFrom} / Vlan{.vid = kInnerVid, .pcp = 5} / IPv4{} /
                             UDP{} / Payload{101};
        expect_out(On::xdp, with_tag(around(tagged), kOuterVid, protocol), tagged, aware);
        // Whose VLAN is another's is not for it; and with two tags it is for a device on this one.
        const Frame other = with_tag(around(inner4()), kOuterVid + 1, protocol);
        expect_left(other, REASON_VLAN_UPPER, facts);
    }
    const DecapFacts facts = {.outer_vid = kOuterVid};
    write(facts);
    const Frame twice = with_tag(with_tag(around(inner4()), 5, k8021Q), kOuterVid, k8021Q);
    const Ran ran = loaded_->run(On::xdp, twice);
    EXPECT_EQ(ran.action, int{XDP_PASS});
    EXPECT_EQ(difference(twice, ran.frame), "");
}

// The same where the outer tag is beside the bytes, as the kernel has it for TC.
TEST_F(Decap, OfAVlanDeviceWithTheTagBesideTheBytes) {
    loaded_->attach_to_tc();
    FrameSocket in(loaded_->where(), "in-far"), out(loaded_->where(), "out-far");
    const auto arrives = [&](const Frame& packet, const Frame& leaving, const DecapFacts& facts) {
        write(facts);
        out.discard();
        in.send(with_tag(packet, kOuterVid, facts.outer_protocol));
        const auto is_inner = [](const Frame& frame) { return destination_of(frame) == kTo; };
        auto received = out.receive_until(
            [&](const std::vector<Frame>& all) { return std::any_of(all.begin(), all.end(), is_inner); }, 5s);
        std::erase_if(received, [&](const Frame& frame) { return !is_inner(frame); });
        ASSERT_EQ(received.size(), 1U) << text(loaded_->counted());
        EXPECT_EQ(difference(leaving, received[0]), "");
    };
    for (const std::uint16_t protocol : {k8021Q, k8021AD})
        for (const bool ipv6 : {false, true})
            for (const Frame& inner : {inner4(101), inner6(101), inner4(1400)}) {
                SCOPED_TRACE(fmt::format("outer {} in {:x}", ipv6 ? "IPv6" : "IPv4", protocol));
                DecapFacts facts = {.outer_vid = kOuterVid, .outer_protocol = protocol};
                if (ipv6) facts.flags = DEVICE_OUTER_IPV6;
                arrives(ipv6 ? around6(inner) : around(inner), inner, facts);
            }
    // The inner VLAN's tag is pushed where the outer one was.
    DecapFacts aware = {.vlan_aware = true, .outer_vid = kOuterVid};
    aware.native_is_tagged = true;
    const Frame tagged =
        Ethernet{.destination = kTo, .source = kFrom} / Vlan{.vid = kNative} / IPv4{} / UDP{} / Payload{59};
    arrives(around(inner4(101)), tagged, aware);
}

TEST_F(Decap, IsNoPacketOfATunnel) {
    const Frame inner = inner4(100), good = around(inner), good6 = around6(inner);
    const DecapFacts six = {.flags = DEVICE_OUTER_IPV6};
    const auto ip = [](auto change) {
        IPv4 layer = there4();
        change(layer);
        return layer;
    };
    const auto udp = [](auto change) {
        UDP layer = tunnel_udp();
        change(layer);
        return layer;
    };
    // Lengths and checksums are those of the frame that is left.
    const auto cut = [this](std::size_t behind_ip) {
        Frame frame = outer(Ethernet{} / there4() / tunnel_udp() / Vxlan{});
        frame.resize(34 + behind_ip);
        frame[17] = static_cast<std::uint8_t>(20 + behind_ip);
        return outer(Ethernet{} / IPv4{.source = kThere4, .destination = kHere4, .protocol = IPPROTO_UDP} /
                     Bytes{{frame.begin() + 34, frame.end()}});
    };
    Frame to_another = good;
    to_another[5] ^= 1;
    struct Row {
        const char* what;
        Frame packet;
        DecapFacts facts = {};
    };
    const std::vector<Row> rows = {
        {"no UDP header", cut(0)},
        {"a cut UDP header", cut(7)},
        {"no VXLAN header", cut(8)},
        {"a cut VXLAN header", cut(15)},
        {"UDP length short", around(inner, there4(), udp([](UDP& u) {
                                        u.length = 115;
                                        u.checksum = 0;
                                    }))},
        {"UDP length long", around(inner, there4(), udp([](UDP& u) {
                                       u.length = 117;
                                       u.checksum = 0;
                                   }))},
        {"UDP length 0", around(inner, there4(), udp([](UDP& u) {
                                    u.length = 0;
                                    u.checksum = 0;
                                }))},
        {"UDP length 7", around(inner, there4(), udp([](UDP& u) {
                                    u.length = 7;
                                    u.checksum = 0;
                                }))},
        {"padding", outer(Ethernet{} / there4() / tunnel_udp() / Vxlan{} / Bytes{inner} / PadTo{good.size() + 1})},
        {"IP length short", around(inner, ip([](IPv4& i) { i.total_length = 135; }))},
        {"IP length long", around(inner, ip([](IPv4& i) { i.total_length = 137; }))},
        {"IP length within its header", around(inner, ip([](IPv4& i) { i.total_length = 19; }))},
        {"IP length 0", around(inner, ip([](IPv4& i) { i.total_length = 0; }))},
        {"options", around(inner, ip([](IPv4& i) {
                               i.options = {1, 1, 1, 1};
                           }))},
        {"a header of 4 words", around(inner, ip([](IPv4& i) { i.header_words = 4; }))},
        {"version 6 in IPv4", around(inner, ip([](IPv4& i) { i.version = 6; }))},
        {"first fragment", around(inner, ip([](IPv4& i) { i.fragment = 0x2000; }))},
        {"last fragment", around(inner, ip([](IPv4& i) { i.fragment = 1; }))},
        {"bad IP checksum", around(inner, ip([](IPv4& i) { i.checksum = 0x1234; }))},
        {"IP checksum 0", around(inner, ip([](IPv4& i) { i.checksum = 0; }))},
        {"TCP", around(inner, ip([](IPv4& i) { i.protocol = IPPROTO_TCP; }))},
        {"UDP-Lite", around(inner, ip([](IPv4& i) { i.protocol = IPPROTO_UDPLITE; }))},
        {"no flags", around(inner, there4(), tunnel_udp(), {.flags = 0})},
        {"more flags", around(inner, there4(), tunnel_udp(), {.flags = 0x88000000})},
        {"reserved bits behind the flags", around(inner, there4(), tunnel_udp(), {.flags = 0x08000001})},
        {"reserved bits behind the VNI", around(inner, there4(), tunnel_udp(), {.reserved = 1})},
        {"another VNI", around(inner, there4(), tunnel_udp(), {.vni = 43})},
        {"a VNI with a high byte", around(inner, there4(), tunnel_udp(), {.vni = 42 | 0x10000})},
        {"another port", around(inner, there4(), udp([](UDP& u) { u.dport = 8472; }))},
        {"another MAC", to_another},
        {"an outer tag", outer(Ethernet{} / Vlan{.vid = 5} / there4() / tunnel_udp() / Vxlan{} / Bytes{inner})},
        {"an outer priority tag",
         outer(Ethernet{} / Vlan{.vid = 0} / there4() / tunnel_udp() / Vxlan{} / Bytes{inner})},
        {"IPv4 of an IPv6 tunnel", good, six},
        {"IPv6 of an IPv4 tunnel", good6},
        {"IPv6 length short", around6(inner, {.source = kThere6, .destination = kHere6, .payload_length = 115}), six},
        {"IPv6 length long", around6(inner, {.source = kThere6, .destination = kHere6, .payload_length = 117}), six},
        {"IPv6 length 0", around6(inner, {.source = kThere6, .destination = kHere6, .payload_length = 0}), six},
        {"IPv6 version 4", around6(inner, {.source = kThere6, .destination = kHere6, .version = 4}), six},
        {"IPv6 hop-by-hop", around6(inner, {.source = kThere6, .destination = kHere6, .next_header = 0}), six},
        {"IPv6 fragment", around6(inner, {.source = kThere6, .destination = kHere6, .next_header = 44}), six},
        {"IPv6 padding", outer(Ethernet{} / there6() / tunnel_udp() / Vxlan{} / Bytes{inner} / PadTo{good6.size() + 3}),
         six},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        expect_left(row.packet, REASON_TO_HOST, row.facts);
    }
    // A test run of TC refuses what has no whole IP header.
    for (const std::size_t size : {14U, 15U, 20U, 33U}) {
        Frame frame = good;
        frame.resize(size);
        expect_left_by(On::xdp, frame, REASON_TO_HOST);
        frame = good6;
        frame.resize(size);
        expect_left_by(On::xdp, frame, REASON_TO_HOST, six);
    }
    // Whatever is cut off behind, its lengths are wrong.
    for (std::size_t size = 34; size < good.size(); size++) {
        Frame frame = good;
        frame.resize(size);
        expect_left(frame, REASON_TO_HOST);
    }
}

TEST_F(Decap, InnerFrameIsTheKernels) {
    const Ethernet eth = {.destination = kTo, .source = kFrom};
    const auto from = [](const MacAddr& source) -> Frame {
        return Ethernet{.destination = kTo, .source = source} / IPv4{} / UDP{} / Payload{18};
    };
    const MacAddr group = {{1, 0, 0x5e, 0, 0, 1}};
    const DecapFacts learns_not = {.without = DEVICE_VTEP_LEARNS};
    for (const std::size_t size : {0U, 1U, 13U}) {
        Frame runt = inner4();
        runt.resize(size);
        expect_left(around(runt), REASON_RUNT);
    }
    for (const std::size_t size : {14U, 15U, 33U}) {
        Frame runt = inner4();
        runt.resize(size);
        expect_left(around(runt), REASON_TUNNEL_EXCEPTION);
    }
    for (const std::size_t size : {14U, 53U}) {
        Frame runt = inner6();
        runt.resize(size);
        expect_left(around(runt), REASON_TUNNEL_EXCEPTION);
    }
    Frame tag = eth / Vlan{.vid = 5} / IPv4{};
    tag.resize(19);
    expect_left(around(tag), REASON_RUNT);
    for (const MacAddr& source : {group, kBroadcast, MacAddr{}}) {
        expect_left(around(from(source)), REASON_VTEP_UNKNOWN);
        expect_left(around(from(source)), REASON_SOURCE_INVALID, learns_not);
    }
    expect_left(around(from(kStranger)), REASON_VTEP_UNKNOWN);
    expect_left(around(from(kStranger)), REASON_SOURCE_UNKNOWN, learns_not);
    expect_left(around(Ethernet{.destination = kBroadcast, .source = kFrom} / IPv4{} / UDP{}), REASON_MULTICAST);
    expect_left(around(Ethernet{.destination = kStranger, .source = kFrom} / IPv4{} / UDP{}),
                REASON_DESTINATION_UNKNOWN);
    expect_left(around(Ethernet{.destination = kFrom, .source = kFrom} / IPv4{} / UDP{}), REASON_SAME_PORT);
    expect_left(around(inner4()), REASON_PULSE, {.source_shown = Shown::never});
    expect_left(around(inner4()), REASON_LEFT_TO_KERNEL, {.without = DEVICE_INGRESS});
    expect_left(around(inner4()), REASON_NOT_FORWARDING, {.without = DEVICE_FORWARDING});
    expect_left(around(inner4(1515)), REASON_TOO_BIG);
    expect_left_by(On::xdp, around(inner4()), REASON_EGRESS_NOT_READY, {.out_takes_xdp = false});
    expect_out(On::tc, around(inner4()), inner4(), {.out_takes_xdp = false});
}

TEST_F(Decap, SourceIsBehindTheVtep) {
    const Frame packet = around(inner4()), packet6 = around6(inner4());
    const auto entry = [this] { return loaded_->programs().vteps.lookup(vtep_key(kVxlanIfindex, kFrom)).value(); };
    expect_left(packet, REASON_VTEP_UNKNOWN, {.vtep = {.known = false}});
    expect_left(packet, REASON_VTEP_MOVED, {.vtep = {.distrusted = true}});
    // What is shown to the kernel is so for the last hook alone, and from then on believed.
    for (const On hook : {On::xdp, On::tc}) {
        expect_left_by(hook, packet, REASON_VTEP_UNKNOWN, {.vtep = {.shown = false}});
        EXPECT_EQ(entry().shown_ns != 0, hook == On::tc);
    }
    EXPECT_EQ(loaded_->run(On::tc, packet).action, TC_ACT_REDIRECT);
    for (const On hook : {On::tc, On::xdp}) {
        expect_out(hook, packet, inner4(), {.vtep = {.shown = false, .fixed = true}});
        expect_out(hook, packet, inner4(), {.without = DEVICE_VTEP_LEARNS, .vtep = {.known = false}});
        expect_out(hook, packet, inner4(), {.without = DEVICE_VTEP_LEARNS, .vtep = {.address = kElsewhere4}});
        // Elsewhere: the kernel moves it, but for one that is fixed.
        expect_left_by(hook, packet, REASON_VTEP_MOVED, {.vtep = {.address = kElsewhere4}});
        EXPECT_EQ(entry().distrusted, 1);
        expect_left_by(hook, packet, REASON_VTEP_MOVED, {.vtep = {.address = kElsewhere4, .fixed = true}});
        EXPECT_EQ(entry().distrusted, 0);
        expect_left_by(hook, packet6, REASON_VTEP_MOVED,
                       {.flags = DEVICE_OUTER_IPV6, .vtep = {.address = kElsewhere6}});
        EXPECT_EQ(entry().distrusted, 1);
    }
}

TEST_F(Decap, EcnOfBoth) {
    for (std::uint8_t outer = 0; outer < 4; outer++)
        for (std::uint8_t inner = 0; inner < 4; inner++) {
            SCOPED_TRACE(fmt::format("outer {}, inner {}", outer, inner));
            const auto tos = [](std::uint8_t ecn) { return static_cast<std::uint8_t>(0xb8 | ecn); };
            const Ethernet eth = {.destination = kTo, .source = kFrom};
            IPv4 four = there4();
            IPv6 six = there6();
            four.tos = six.tos = tos(outer);
            six.label = 0xabcde;
            const DecapFacts facts = {.tos = 0xb8}, facts6 = {.flags = DEVICE_OUTER_IPV6, .tos = 0xb8};
            for (const Frame& frame : {Frame(eth / IPv4{.tos = tos(inner)} / UDP{} / Payload{33}),
                                       Frame(eth / IPv6{.tos = tos(inner), .label = 0xfffff} / UDP{} / Payload{33})})
                for (const On hook : {On::tc, On::xdp}) {
                    if (outer == 0 || outer == inner) {
                        expect_out(hook, around(frame, four), frame, facts);
                        expect_out(hook, around6(frame, six), frame, facts6);
                    } else {
                        expect_left_by(hook, around(frame, four), REASON_TUNNEL_EXCEPTION, facts);
                        expect_left_by(hook, around6(frame, six), REASON_TUNNEL_EXCEPTION, facts6);
                    }
                }
        }
    // No IP packet has any: whatever the outer header says, the frame is as it was.
    IPv4 congested = there4();
    congested.tos = 3;
    const Frame other = Ethernet{.destination = kTo, .source = kFrom, .type = 0x88b5} / Payload{46};
    expect_out(On::xdp, around(other, congested), other);
}

TEST_F(Decap, KernelWasNotSeenToTakeSuchPackets) {
    const Frame packet = around(inner4());
    expect_left(packet, REASON_FLOW_ASKED, {.flow_known = false});
    expect_left(packet, REASON_FLOW_ASKED, {.behind = 1});
    expect_left(packet, REASON_FLOW_ASKED, {.egress = number(out_)});
    expect_left(packet, REASON_FLOW_ASKED, {.asked_ago = 1100ms});
    expect_left(packet, REASON_FLOW_ASKED, {.asked_ago = 20ms});
    expect_left(packet, REASON_FLOW_ASKED, {.tos = 0xb8});
    expect_left(packet, REASON_FLOW_UNANSWERED, {.answered = 0});
    for (const On hook : {On::tc, On::xdp}) {
        // One that came out stands for all.
        expect_out(hook, packet, inner4(), {.asked = 5});
        write({.flow_known = false});
        loaded_->run(hook, packet);
        const auto begun = loaded_->programs().flows.lookup(key(false));
        ASSERT_EQ(begun.has_value(), hook == On::tc);
        if (!begun) continue;
        EXPECT_EQ(begun->asked, 1U);
        EXPECT_EQ(begun->answered, 0U);
        EXPECT_EQ(begun->egress, number(loaded_->in()));
    }
}

}  // namespace
}  // namespace underpass::test
