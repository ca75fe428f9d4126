// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames for the router, on both hooks: what goes the way that the kernel was seen to route its flow, whole frames
// compared, and what is the kernel's.
#include "prog/route_fixture.h"

namespace underpass::test {
namespace {

using namespace std::chrono_literals;

TEST_F(Route, TakesTheKernelsWay) {
    struct Row {
        const char* what;
        flow_key key;
        Stack in, out;
    };
    IPv4 marked = v4(), marked_less = v4(63);
    marked.tos = marked_less.tos = 0xb9;  // EF, and ECN
    const std::vector<Row> rows = {
        {"UDP", key4(IPPROTO_UDP, 1024, 9), Ethernet{} / v4() / UDP{} / Payload{100},
         Ethernet{} / v4(63) / UDP{} / Payload{100}},
        {"TCP", key4(IPPROTO_TCP, 1024, 9), Ethernet{} / v4() / TCP{} / Payload{1400},
         Ethernet{} / v4(63) / TCP{} / Payload{1400}},
        {"TCP SYN", key4(IPPROTO_TCP, 1024, 9), Ethernet{} / v4() / TCP{.flags = 2},
         Ethernet{} / v4(63) / TCP{.flags = 2}},
        {"TTL 2", key4(IPPROTO_UDP, 1024, 9), Ethernet{} / v4(2) / UDP{}, Ethernet{} / v4(1) / UDP{}},
        {"TTL 255", key4(IPPROTO_UDP, 1024, 9), Ethernet{} / v4(255) / UDP{}, Ethernet{} / v4(254) / UDP{}},
        {"TOS and ECN stay", key4(IPPROTO_UDP, 1024, 9, 0xb8), Ethernet{} / marked / UDP{},
         Ethernet{} / marked_less / UDP{}},
        {"an echo request", key4(IPPROTO_ICMP, 0x1234, 0x0800),
         Ethernet{} / v4() / ICMP{.rest = 0x12340001} / Payload{56},
         Ethernet{} / v4(63) / ICMP{.rest = 0x12340001} / Payload{56}},
        {"the longest", key4(IPPROTO_UDP, 1024, 9), Ethernet{} / v4() / UDP{} / Payload{1472},
         Ethernet{} / v4(63) / UDP{} / Payload{1472}},
        {"what is behind the packet stays behind", key4(IPPROTO_TCP, 1024, 9), Ethernet{} / v4() / TCP{} / PadTo{60},
         Ethernet{} / v4(63) / TCP{}},
        {"IPv6 UDP", key6(IPPROTO_UDP, 1024, 9), Ethernet{} / v6() / UDP{} / Payload{100},
         Ethernet{} / v6(63) / UDP{} / Payload{100}},
        {"IPv6 hop limit 2", key6(IPPROTO_TCP, 1024, 9), Ethernet{} / v6(2) / TCP{}, Ethernet{} / v6(1) / TCP{}},
        {"IPv6 echo reply", key6(IPPROTO_ICMPV6, 0x1234, 0x8100),
         Ethernet{} / v6() / ICMP{.type = 129, .rest = 0x12340001},
         Ethernet{} / v6(63) / ICMP{.type = 129, .rest = 0x12340001}},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        for (const On hook : {On::tc, On::xdp}) expect_routed(hook, row.key, row.in, row.out);
    }
}

TEST_F(Route, IsTheKernelsToRoute) {
    const flow_key udp = key4(IPPROTO_UDP, 1024, 9), udp6 = key6(IPPROTO_UDP, 1024, 9);
    const Frame plain = frame(Ethernet{} / v4() / UDP{});
    const auto changed = [](auto layer, auto change) {
        change(layer);
        return layer;
    };
    struct Row {
        const char* what;
        flow_key key;
        Frame frame;
        FlowFacts facts;
        reason why;
    };
    Frame to_another = plain;
    to_another[5] ^= 1;
    const std::vector<Row> rows = {
        {"no flow", udp, plain, {.known = false}, REASON_FLOW_ASKED},
        {"another generation", udp, plain, {.behind = 1}, REASON_FLOW_ASKED},
        {"a second old", udp, plain, {.asked_ago = 1100ms}, REASON_FLOW_ASKED},
        {"a frame has not come out", udp, plain, {.asked = 2}, REASON_FLOW_UNANSWERED},
        {"more have come out than went in", udp, plain, {.answered = 2}, REASON_FLOW_UNANSWERED},
        {"none has come out", udp, plain, {.answered = 0}, REASON_FLOW_UNANSWERED},
        {"another next hop", udp, plain, {.next_hop = kStranger}, REASON_ROUTE_CHANGED},
        {"back by the way it came in", udp, plain, {.back = true}, REASON_ROUTE_EXCEPTION},
        {"the way out is not ready",
         udp,
         plain,
         {.out_flags = kRouted & ~std::uint32_t{DEVICE_FORWARDING}},
         REASON_EGRESS_NOT_READY},
        {"the way out does not route", udp, plain, {.out_flags = kReady}, REASON_EGRESS_NOT_READY},
        {"the way in does not route", udp, plain, {.in_flags = kReady}, REASON_TO_HOST},
        {"the way in is left to the kernel",
         udp,
         plain,
         {.in_flags = kRouted & ~std::uint32_t{DEVICE_INGRESS}},
         REASON_LEFT_TO_KERNEL},
        {"another address", udp, to_another, {}, REASON_TO_HOST},
        {"TTL 1", udp, frame(Ethernet{} / v4(1) / UDP{}), {}, REASON_ROUTE_EXCEPTION},
        {"TTL 0", udp, frame(Ethernet{} / v4(0) / UDP{}), {}, REASON_ROUTE_EXCEPTION},
        {"options",
         udp,
         frame(Ethernet{} /
               changed(v4(),
                       [](IPv4& ip) {
                           ip.options = {1, 1, 1, 1};
                       }) /
               UDP{}),
         {},
         REASON_ROUTE_EXCEPTION},
        {"the first fragment",
         udp,
         frame(Ethernet{} / changed(v4(), [](IPv4& ip) { ip.fragment = 0x2000; }) / UDP{}),
         {},
         REASON_ROUTE_EXCEPTION},
        {"the last fragment",
         udp,
         frame(Ethernet{} / changed(v4(), [](IPv4& ip) { ip.fragment = 1; }) / UDP{}),
         {},
         REASON_ROUTE_EXCEPTION},
        {"a wrong checksum",
         udp,
         frame(Ethernet{} / changed(v4(), [](IPv4& ip) { ip.checksum = 0x1234; }) / UDP{}),
         {},
         REASON_ROUTE_EXCEPTION},
        {"longer than its frame",
         udp,
         frame(Ethernet{} / changed(v4(), [](IPv4& ip) { ip.total_length = 1000; }) / UDP{}),
         {},
         REASON_ROUTE_EXCEPTION},
        {"shorter than its header",
         udp,
         frame(Ethernet{} / changed(v4(), [](IPv4& ip) { ip.total_length = 10; }) / UDP{}),
         {},
         REASON_ROUTE_EXCEPTION},
        {"version 5",
         udp,
         frame(Ethernet{} / changed(v4(), [](IPv4& ip) { ip.version = 5; }) / UDP{}),
         {},
         REASON_ROUTE_EXCEPTION},
        {"a header of 4 words",
         udp,
         frame(Ethernet{} / changed(v4(), [](IPv4& ip) { ip.header_words = 4; }) / UDP{}),
         {},
         REASON_ROUTE_EXCEPTION},
        {"an ICMP error",
         key4(IPPROTO_ICMP, 0, 0x0300),
         frame(Ethernet{} / v4() / ICMP{.type = 3} / Payload{28}),
         {},
         REASON_ROUTE_EXCEPTION},
        {"longer than the MTU", udp, frame(Ethernet{} / v4() / UDP{} / Payload{1473}), {}, REASON_TOO_BIG},
        {"a tag", udp, frame(Ethernet{} / Vlan{.vid = 5} / v4() / UDP{}), {}, REASON_ROUTE_EXCEPTION},
        {"no IP", udp, frame(Ethernet{.type = 0x1234} / Payload{46}), {}, REASON_ROUTE_EXCEPTION},
        {"ARP", udp, frame(Ethernet{} / Arp{}), {}, REASON_ARP},
        {"IPv6 hop limit 1", udp6, frame(Ethernet{} / v6(1) / UDP{}), {}, REASON_ROUTE_EXCEPTION},
        {"IPv6 longer than its frame",
         udp6,
         frame(Ethernet{} / changed(v6(), [](IPv6& ip) { ip.payload_length = 1000; }) / UDP{}),
         {},
         REASON_ROUTE_EXCEPTION},
        {"IPv6 hop-by-hop options",
         udp6,
         frame(Ethernet{} / changed(v6(), [](IPv6& ip) { ip.next_header = 0; }) / Payload{16}),
         {},
         REASON_ROUTE_EXCEPTION},
        {"IPv6 fragment",
         udp6,
         frame(Ethernet{} / changed(v6(), [](IPv6& ip) { ip.next_header = 44; }) / Payload{16}),
         {},
         REASON_ROUTE_EXCEPTION},
        {"IPv6 packet too big",
         key6(IPPROTO_ICMPV6, 0, 0x0200),
         frame(Ethernet{} / v6() / ICMP{.type = 2}),
         {},
         REASON_ROUTE_EXCEPTION},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        for (const On hook : {On::tc, On::xdp}) expect_passed(hook, row.key, row.frame, row.facts, row.why);
    }
    for (std::uint32_t reason = REASON_ROUTED + 1; reason <= REASON_ROUTE_CHANGED; reason++)
        EXPECT_TRUE(std::ranges::any_of(rows, [reason](const Row& row) { return row.why == reason; }))
            << "no row ends as " << reason_name(reason);
}

// What XDP leaves to TC: frames just behind one that was passed, and what no redirect reaches.
TEST_F(Route, BehindAPassedFrameXdpLeavesItToTc) {
    const flow_key udp = key4(IPPROTO_UDP, 1024, 9);
    const Frame plain = frame(Ethernet{} / v4() / UDP{});
    expect_passed(On::xdp, udp, plain, {.asked_ago = 10ms}, REASON_FLOW_ASKED);
    expect_passed(On::xdp, udp, plain, {.out_takes_xdp = false}, REASON_EGRESS_NOT_READY);
    set(udp, {.asked_ago = 10ms});
    EXPECT_EQ(loaded_->run(On::tc, plain).action, TC_ACT_REDIRECT);
}

// The kernel is asked by the last hook, and by one frame.
TEST_F(Route, AskingIsWrittenDown) {
    const flow_key udp = key4(IPPROTO_UDP, 1024, 9);
    const Frame plain = frame(Ethernet{} / v4() / UDP{});
    const auto& flows = loaded_->programs().flows;
    for (const FlowFacts& facts : {FlowFacts{.known = false}, FlowFacts{.behind = 7}, FlowFacts{.asked_ago = 1100ms}}) {
        set(udp, facts);
        loaded_->run(On::xdp, plain);
        const auto untouched = flows.lookup(udp);
        EXPECT_EQ(untouched.has_value(), facts.known);
        if (untouched) {
            EXPECT_LT(untouched->asked_ns, coarse_now() - 100000000ULL);
        }
        loaded_->run(On::tc, plain);
        const auto asked = flows.lookup(udp);
        ASSERT_TRUE(asked);
        EXPECT_EQ(asked->asked, 1U);
        EXPECT_EQ(asked->answered, 0U);
        EXPECT_EQ(asked->generation, 0U);
        EXPECT_GE(asked->asked_ns, coarse_now() - 100000000ULL);
        loaded_->run(On::tc, plain);
        EXPECT_EQ(flows.lookup(udp)->asked, 2U);
    }
    // A route that is another ends the flow's way, and the next frame asks.
    set(udp, {.next_hop = kStranger});
    loaded_->run(On::tc, plain);
    EXPECT_NE(flows.lookup(udp)->generation, 0U);
    loaded_->run(On::tc, plain);
    EXPECT_EQ(flows.lookup(udp)->generation, 0U);
    EXPECT_EQ(flows.lookup(udp)->answered, 0U);
}

// The witness: what leaves is written down for the flow that it is of.
TEST_F(Route, WitnessWritesDownWhatLeaves) {
    const flow_key udp = key4(IPPROTO_UDP, 1024, 9);
    const auto& flows = loaded_->programs().flows;
    const Frame leaves = routed(Ethernet{} / v4(63) / UDP{});
    const auto see = [&](const Frame& frame, bool own = false) {
        const Ran ran = loaded_->run_witness(frame, out_, own ? Ifindex::none : loaded_->in());
        EXPECT_EQ(ran.action, TC_ACT_UNSPEC);
        EXPECT_EQ(difference(frame, ran.frame), "");
        return flows.lookup(udp);
    };
    const auto next_hop = [](const flow& entry) {
        MacAddr mac;
        std::copy(std::begin(entry.destination), std::end(entry.destination), mac.bytes.begin());
        return mac;
    };

    set(udp, {.known = false});
    EXPECT_FALSE(see(leaves)) << "nobody has asked";

    set(udp, {.known = false});
    loaded_->run(On::tc, frame(Ethernet{} / v4() / UDP{}));
    EXPECT_EQ(see(leaves, true)->answered, 0U) << "the host's own frame answers nothing";
    const auto first = see(leaves);
    EXPECT_EQ(first->answered, 1U);
    EXPECT_EQ(first->egress, number(out_));
    EXPECT_EQ(next_hop(*first), kNextHop);
    EXPECT_EQ(see(leaves)->answered, 2U);

    // Another generation: it was asked before a change.
    set(udp, {.behind = 1, .answered = 0});
    EXPECT_EQ(see(leaves)->answered, 0U);

    // To another next hop: not while frames go the way that is written down.
    Frame elsewhere = leaves;
    std::copy(kStranger.bytes.begin(), kStranger.bytes.end(), elsewhere.begin());
    set(udp, {});
    const auto doubted = see(elsewhere);
    EXPECT_NE(doubted->generation, 0U);
    EXPECT_EQ(next_hop(*doubted), kNextHop);
    set(udp, {.asked = 1, .answered = 0});
    const auto moved = see(elsewhere);
    EXPECT_EQ(moved->generation, 0U);
    EXPECT_EQ(moved->answered, 1U);
    EXPECT_EQ(next_hop(*moved), kStranger);
}

// After a change nothing is asked for a while.
TEST_F(Route, AChangeSettlesFirst) {
    const flow_key udp = key4(IPPROTO_UDP, 1024, 9);
    const Frame plain = frame(Ethernet{} / v4() / UDP{});
    set(udp, {});
    loaded_->programs().heartbeat.tell_change();
    EXPECT_EQ(loaded_->run(On::tc, plain).action, TC_ACT_UNSPEC);
    EXPECT_EQ(loaded_->programs().flows.lookup(udp)->generation, 0U);
    ::usleep(80000);
    loaded_->programs().heartbeat.beat();
    EXPECT_EQ(loaded_->run(On::tc, plain).action, TC_ACT_UNSPEC);
    EXPECT_EQ(loaded_->programs().flows.lookup(udp)->generation, 1U);
}

}  // namespace
}  // namespace underpass::test
