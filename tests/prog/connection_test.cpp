// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames of connections that conntrack has, on both hooks: translated as its entry says, and what is the kernel's.
#include <cstring>

#include "prog/route_fixture.h"

namespace underpass::test {
namespace {

// Addresses, ports and every sum over them.
TEST_F(Connection, IsTranslatedAsItsEntrySays) {
    const Entry udp, tcp = {.protocol = IPPROTO_TCP}, same_port = {.port = 1024};
    const flow_key udp_key = key4(IPPROTO_UDP, 1024, 9), tcp_key = key4(IPPROTO_TCP, 1024, 9);
    struct Row {
        const char* what;
        Entry entry;
        flow_key key;
        Stack in, out;
    };
    const std::vector<Row> rows = {
        {"UDP", udp, udp_key, Ethernet{} / v4() / UDP{} / Payload{100},
         Ethernet{} / v4_masqueraded() / UDP{.sport = 5000} / Payload{100}},
        {"UDP without a checksum", udp, udp_key, Ethernet{} / v4() / UDP{.checksum = 0} / Payload{100},
         Ethernet{} / v4_masqueraded() / UDP{.sport = 5000, .checksum = 0} / Payload{100}},
        {"an odd length", udp, udp_key, Ethernet{} / v4() / UDP{} / Payload{33},
         Ethernet{} / v4_masqueraded() / UDP{.sport = 5000} / Payload{33}},
        {"the address alone", same_port, udp_key, Ethernet{} / v4() / UDP{} / Payload{8},
         Ethernet{} / v4_masqueraded() / UDP{} / Payload{8}},
        {"TCP", tcp, tcp_key, Ethernet{} / v4() / TCP{.flags = 0x10} / Payload{1000},
         Ethernet{} / v4_masqueraded() / TCP{.sport = 5000, .flags = 0x10} / Payload{1000}},
        {"what is behind the packet stays behind", tcp, tcp_key, Ethernet{} / v4() / TCP{.flags = 0x18} / PadTo{60},
         Ethernet{} / v4_masqueraded() / TCP{.sport = 5000, .flags = 0x18}},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        track(row.entry);
        for (const On hook : {On::tc, On::xdp})
            expect_routed(hook, row.key, row.in, row.out, translated(row.entry), REASON_TRANSLATED);
    }
    // Every checksum that there is: the payload runs through all of them.
    track(udp);
    for (std::uint32_t i = 0; i < 300; i++) {
        const Bytes payload{{static_cast<std::uint8_t>(i * 219 >> 8), static_cast<std::uint8_t>(i * 219)}};
        expect_routed(i % 2 == 0 ? On::tc : On::xdp, udp_key, Ethernet{} / v4() / UDP{} / payload,
                      Ethernet{} / v4_masqueraded() / UDP{.sport = 5000} / payload, translated(udp), REASON_TRANSLATED);
        if (HasFailure()) break;
    }
}

TEST_F(Connection, IsTheKernelsUntilItIsEstablished) {
    const flow_key udp = key4(IPPROTO_UDP, 1024, 9), tcp = key4(IPPROTO_TCP, 1024, 9);
    const Frame datagram = frame(Ethernet{} / v4() / UDP{}), segment = frame(Ethernet{} / v4() / TCP{.flags = 0x10});
    const auto with_flags = [this](std::uint8_t flags) { return frame(Ethernet{} / v4() / TCP{.flags = flags}); };
    constexpr std::uint32_t kPlain = IPS_CONFIRMED | IPS_SEEN_REPLY;
    constexpr std::size_t kTcpWords = 14 + 20 + 12, kUdpLength = 14 + 20 + 5;
    const auto with_byte = [](Frame bytes, std::size_t at, std::uint8_t value) {
        bytes[at] = value;
        return bytes;
    };
    IPv4 cut = v4();
    cut.protocol = IPPROTO_TCP;
    struct Row {
        const char* what;
        flow_key key;
        Frame frame;
        Entry entry;
        reason why = REASON_CONNECTION_NOT_READY;
    };
    const std::vector<Row> rows = {
        {"none", udp, datagram, {.exists = false}},
        {"no answer yet", udp, datagram, {.status = IPS_CONFIRMED}},
        {"a mark", udp, datagram, {.mark = 1}},
        {"TCP: not liberal", tcp, segment, {.protocol = IPPROTO_TCP, .liberal = false}},
        {"TCP: SYN seen", tcp, segment, {.protocol = IPPROTO_TCP, .state = TCP_CONNTRACK_SYN_RECV}},
        {"TCP: FIN seen", tcp, segment, {.protocol = IPPROTO_TCP, .state = TCP_CONNTRACK_FIN_WAIT}},
        {"TCP: closed", tcp, segment, {.protocol = IPPROTO_TCP, .status = kPlain, .state = TCP_CONNTRACK_CLOSE}},
        {"SYN", tcp, with_flags(0x02), {.protocol = IPPROTO_TCP}, REASON_CONNECTION_BEGINS_OR_ENDS},
        {"FIN", tcp, with_flags(0x11), {.protocol = IPPROTO_TCP}, REASON_CONNECTION_BEGINS_OR_ENDS},
        {"RST", tcp, with_flags(0x14), {.protocol = IPPROTO_TCP}, REASON_CONNECTION_BEGINS_OR_ENDS},
        {"a cut header", tcp, frame(Ethernet{} / cut / UDP{}), {.protocol = IPPROTO_TCP}, REASON_ROUTE_EXCEPTION},
        {"no ACK", tcp, with_flags(0x08), {.protocol = IPPROTO_TCP}, REASON_ROUTE_EXCEPTION},
        {"no flags", tcp, with_flags(0), {.protocol = IPPROTO_TCP}, REASON_ROUTE_EXCEPTION},
        {"a TCP header of 4 words",
         tcp,
         with_byte(segment, kTcpWords, 0x40),
         {.protocol = IPPROTO_TCP},
         REASON_ROUTE_EXCEPTION},
        {"TCP options that are not there",
         tcp,
         with_byte(segment, kTcpWords, 0x60),
         {.protocol = IPPROTO_TCP},
         REASON_ROUTE_EXCEPTION},
        {"UDP longer than its packet", udp, with_byte(datagram, kUdpLength, 9), {}, REASON_ROUTE_EXCEPTION},
        {"UDP shorter than its packet, with a sum",
         udp,
         with_byte(frame(Ethernet{} / v4() / UDP{} / Payload{8}), kUdpLength, 12),
         {},
         REASON_ROUTE_EXCEPTION},
        {"UDP shorter than its header", udp, with_byte(datagram, kUdpLength, 7), {}, REASON_ROUTE_EXCEPTION},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        track(row.entry);
        for (const On hook : {On::tc, On::xdp}) expect_passed(hook, row.key, row.frame, translated(row.entry), row.why);
    }
    // What the frame's padding hides is no header.
    const Frame hidden = frame(Ethernet{} / cut / UDP{} / PadTo{60});
    track({.protocol = IPPROTO_TCP});
    for (const On hook : {On::tc, On::xdp}) {
        set(tcp, translated({.protocol = IPPROTO_TCP}));
        const Ran ran = loaded_->run(hook, hidden);
        EXPECT_EQ(ran.action, hook == On::xdp ? int{XDP_PASS} : TC_ACT_UNSPEC);
        EXPECT_EQ(difference(hidden, ran.frame), "");
    }
    // Translated to something else than what the flow was seen to be.
    track({.port = 6000});
    for (const On hook : {On::tc, On::xdp})
        expect_passed(hook, udp, datagram, translated({}), REASON_CONNECTION_NOT_READY);
}

// A TCP connection with some frames is prepared: the daemon is asked to.
TEST_F(Connection, OfSomeFramesIsPrepared) {
    const Entry tcp = {.protocol = IPPROTO_TCP, .liberal = false};
    const flow_key key = key4(IPPROTO_TCP, 1024, 9);
    const Frame segment = frame(Ethernet{} / v4() / TCP{.flags = 0x10});
    Requests& requests = loaded_->programs().requests;
    track(tcp);
    for (const On hook : {On::tc, On::xdp}) {
        FlowFacts facts = translated(tcp);
        set(key, facts);
        loaded_->run(hook, segment);
        EXPECT_TRUE(requests.take().empty()) << "of few frames nothing is asked";
        facts.asked = facts.answered = FLOW_REQUEST_FRAMES;
        set(key, facts);
        loaded_->run(hook, segment);
        const auto asked = requests.take();
        ASSERT_EQ(asked.size(), 1U);
        EXPECT_EQ(std::memcmp(&asked[0].key, &key, sizeof(key)), 0);
        make_liberal(*conntrack_, asked[0].key);
        expect_routed(hook, key, Ethernet{} / v4() / TCP{.flags = 0x10},
                      Ethernet{} / v4_masqueraded() / TCP{.sport = 5000, .flags = 0x10}, facts, REASON_TRANSLATED);
        track(tcp);
    }
}

// What conntrack saw acknowledged is forgotten once that is long ago, and what it did not see, when the flow is idle.
TEST_F(Connection, OldAcknowledgementsAreForgotten) {
    const flow_key key = key4(IPPROTO_TCP, 1024, 9);
    const Frame segment = frame(Ethernet{} / v4() / TCP{.flags = 0x10});
    Requests& requests = loaded_->programs().requests;
    const Entry seen = {.protocol = IPPROTO_TCP, .tcp_flags = IP_CT_TCP_FLAG_MAXACK_SET};
    track(seen);
    for (const std::uint64_t bytes : {std::uint64_t{1} << 20, std::uint64_t{FLOW_OLD_ACK_BYTES}}) {
        set(key, translated(seen));
        flow entry = loaded_->programs().flows.lookup(key).value();
        entry.bytes = bytes;
        ASSERT_FALSE(loaded_->programs().flows.update(key, entry));
        EXPECT_EQ(loaded_->run(On::tc, segment).action, TC_ACT_REDIRECT);
        EXPECT_EQ(requests.take().size(), bytes < FLOW_OLD_ACK_BYTES ? 0U : 1U);
    }

    const auto settled = [this, &key](const Entry& entry) {
        track(entry);
        return loaded_->where().run([&] { return settle(*conntrack_, key); });
    };
    const Entry waits = {.protocol = IPPROTO_TCP, .tcp_flags = IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED, .timeout_s = 200};
    EXPECT_TRUE(settled(waits));
    EXPECT_GT(timeout_of(key), 100000U);
    EXPECT_FALSE(loaded_->where().run([&] { return settle(*conntrack_, key); })) << "it is, already";
    Entry other = waits;
    other.liberal = false;
    EXPECT_FALSE(settled(other));
    other = waits;
    other.state = TCP_CONNTRACK_FIN_WAIT;
    EXPECT_FALSE(settled(other));
    EXPECT_LE(timeout_of(key), 200U);
    other = waits;
    other.timeout_s = 5000;  // somebody else's
    EXPECT_TRUE(settled(other));
    EXPECT_LE(timeout_of(key), 5000U);
    EXPECT_THROW(settled({.protocol = IPPROTO_TCP, .exists = false}), NetlinkError);
}

// What leaves without conntrack taking it for one of the connection (it calls it invalid, or a rule has it untracked;
// no packet of a test run is of one) proves nothing of others. (What does: the tests with real traffic.)
TEST_F(Connection, WitnessSeesNoPacketOfNone) {
    const flow_key udp = key4(IPPROTO_UDP, 1024, 9);
    const auto& flows = loaded_->programs().flows;
    track({});
    set(udp, {.known = false});
    loaded_->run(On::tc, frame(Ethernet{} / v4() / UDP{}));
    loaded_->run_witness(routed(Ethernet{} / v4_masqueraded() / UDP{.sport = 5000}), out_, loaded_->in());
    EXPECT_EQ(flows.lookup(udp)->answered, 0U);
    EXPECT_EQ(flows.lookup(udp)->egress, 0U);
    // Where rules know no connections, it is one of its flow.
    loaded_->programs().heartbeat.set_tracked(0);
    loaded_->run_witness(routed(Ethernet{} / v4(63) / UDP{}), out_, loaded_->in());
    EXPECT_EQ(flows.lookup(udp)->answered, 1U);
    EXPECT_EQ(flows.lookup(udp)->egress, number(out_));
}

}  // namespace
}  // namespace underpass::test
