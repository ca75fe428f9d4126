// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames for the router, on both hooks: what goes the way that the kernel was seen to route its flow, whole frames
// compared, and what is the kernel's. Routes and neighbours are real; the flow's entry is written by the test.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/pkt_cls.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <memory>

#include "harness/process.h"
#include "harness/test_net.h"
#include "lab/link.h"
#include "loader/probe.h"
#include "netlink/attribute.h"
#include "netlink/conntrack.h"
#include "netlink/request.h"
#include "netlink/socket.h"
#include "prog/fixture.h"

namespace underpass::test {
namespace {

using namespace std::chrono_literals;

constexpr MacAddr kClient = {{2, 0, 0, 0, 0, 0x11}}, kNextHop = {{2, 0, 0, 0, 0, 0x22}};
constexpr std::uint32_t kRouted = kReady | DEVICE_ROUTED;

std::uint64_t coarse_now() {
    timespec now = {};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000000000ULL + static_cast<std::uint64_t>(now.tv_nsec);
}

// Changes of what the maps say; by default the flow goes fast.
struct FlowFacts {
    bool known = true;
    std::uint32_t behind = 0;  // generations
    std::uint32_t asked = 1, answered = 1;
    std::chrono::nanoseconds asked_ago = 200ms;
    std::optional<MacAddr> next_hop = std::nullopt;  // that the kernel was seen to use
    bool back = false;                               // it was seen to leave by the device that it came in by
    std::uint32_t in_flags = kRouted, out_flags = kRouted;
    bool out_takes_xdp = true;
    std::optional<flow_ends> out = std::nullopt;  // as it leaves, if it is translated
};

// Untranslated.
flow_ends ends_of(const flow_key& key) {
    flow_ends ends = {};
    std::copy(std::begin(key.source), std::end(key.source), ends.source);
    std::copy(std::begin(key.destination), std::end(key.destination), ends.destination);
    ends.source_port = key.source_port;
    ends.destination_port = key.destination_port;
    return ends;
}

class Route : public ::testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        loaded_ = std::make_unique<LoadedPrograms>();
        shell(
            "sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.in.disable_ipv6=0 net.ipv6.conf.out.disable_ipv6=0 "
            "net.ipv6.conf.all.forwarding=1 && "
            "ip addr add 10.1.0.1/24 dev in && ip addr add 10.2.0.1/24 dev out && "
            "ip addr add fd01::1/64 dev in nodad && ip addr add fd02::1/64 dev out nodad && "
            "ip neigh replace 10.2.0.2 lladdr 02:00:00:00:00:22 nud permanent dev out && "
            "ip neigh replace fd02::2 lladdr 02:00:00:00:00:22 nud permanent dev out");
        loaded_->where().run([&] {
            in_mac_ = lab::mac("in");
            out_mac_ = lab::mac("out");
            out_ = lab::ifindex("out");
        });
    }

    void shell(const std::string& command) const {
        const Finished finished = run(loaded_->where(), {"sh", "-c", command});
        ASSERT_TRUE(finished.ok()) << command << '\n' << finished.text();
    }

    // A frame of the client to the router.
    Frame frame(const Stack& packet) const {
        Frame bytes = packet;
        std::copy(in_mac_.bytes.begin(), in_mac_.bytes.end(), bytes.begin());
        std::copy(kClient.bytes.begin(), kClient.bytes.end(), bytes.begin() + ETH_ADDR_LEN);
        return bytes;
    }
    // ... and as the router sends it on.
    Frame routed(const Stack& packet) const {
        Frame bytes = packet;
        std::copy(kNextHop.bytes.begin(), kNextHop.bytes.end(), bytes.begin());
        std::copy(out_mac_.bytes.begin(), out_mac_.bytes.end(), bytes.begin() + ETH_ADDR_LEN);
        return bytes;
    }

    flow_key key4(std::uint8_t protocol, std::uint16_t sport, std::uint16_t dport, std::uint8_t tos = 0) const {
        flow_key key = {};
        ::inet_pton(AF_INET, "10.1.0.2", &key.source[0]);
        ::inet_pton(AF_INET, "10.2.0.2", &key.destination[0]);
        return finish(key, protocol, AF_INET, sport, dport, tos);
    }
    flow_key key6(std::uint8_t protocol, std::uint16_t sport, std::uint16_t dport, std::uint8_t tos = 0) const {
        flow_key key = {};
        ::inet_pton(AF_INET6, "fd01::2", &key.source[0]);
        ::inet_pton(AF_INET6, "fd02::2", &key.destination[0]);
        return finish(key, protocol, AF_INET6, sport, dport, tos);
    }
    flow_key finish(flow_key key, std::uint8_t protocol, std::uint8_t family, std::uint16_t sport, std::uint16_t dport,
                    std::uint8_t tos) const {
        key.ifindex = number(loaded_->in());
        key.source_port = htons(sport);
        key.destination_port = htons(dport);
        key.protocol = protocol;
        key.family = family;
        key.tos = tos;
        return key;
    }

    void set(const flow_key& key, const FlowFacts& facts) {
        World world;
        world.in = {.flags = facts.in_flags, .bridge = 0};
        world.out = {.flags = facts.out_flags, .bridge = 0};
        world.out_takes_xdp = facts.out_takes_xdp;
        world.fdb.clear();
        loaded_->set(world);
        loaded_->set_router(kInSlot, in_mac_);
        loaded_->set_router(kOutSlot, out_mac_);
        const auto& flows = loaded_->programs().flows;
        for (const auto& [each, value] : flows.entries()) ASSERT_FALSE(flows.erase(each));
        if (!facts.known) return;
        flow entry = {};
        entry.asked_ns = coarse_now() - static_cast<std::uint64_t>(facts.asked_ago.count());
        entry.generation = 0U - facts.behind;
        entry.asked = facts.asked;
        entry.answered = facts.answered;
        entry.egress = number(facts.back ? loaded_->in() : out_);
        const MacAddr next = facts.next_hop.value_or(kNextHop);
        std::copy(next.bytes.begin(), next.bytes.end(), entry.destination);
        std::copy(out_mac_.bytes.begin(), out_mac_.bytes.end(), entry.source);
        entry.out = facts.out ? *facts.out : ends_of(key);
        ASSERT_FALSE(flows.update(key, entry));
    }

    void expect_routed(On hook, const flow_key& key, const Stack& in, const Stack& out, const FlowFacts& facts = {},
                       reason why = REASON_ROUTED) {
        SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
        set(key, facts);
        const Ran ran = loaded_->run(hook, frame(in));
        EXPECT_EQ(ran.action, hook == On::xdp ? int{XDP_REDIRECT} : TC_ACT_REDIRECT) << text(loaded_->counted());
        EXPECT_EQ(difference(routed(out), ran.frame), "");
        const auto entry = loaded_->programs().flows.lookup(key);
        ASSERT_TRUE(entry);
        EXPECT_EQ(entry->packets, 1U);
        EXPECT_EQ(entry->asked, facts.asked);
        EXPECT_EQ(text(loaded_->counted()),
                  text(Counted{{{kInSlot, why}, {1, static_cast<std::uint64_t>(ran.frame.size())}}}));
    }

    void expect_passed(On hook, const flow_key& key, const Frame& in, const FlowFacts& facts, reason why) {
        SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
        set(key, facts);
        const Ran ran = loaded_->run(hook, in);
        EXPECT_EQ(ran.action, hook == On::xdp ? int{XDP_PASS} : TC_ACT_UNSPEC);
        EXPECT_EQ(difference(in, ran.frame), "");
        // Behind XDP the TC program sees it, and counts it.
        Counted expected;
        if (hook == On::tc) expected[{kInSlot, why}] = {1, in.size()};
        EXPECT_EQ(text(loaded_->counted()), text(expected));
    }

    std::unique_ptr<LoadedPrograms> loaded_;
    MacAddr in_mac_, out_mac_;
    Ifindex out_ = Ifindex::none;
};

IPv4 v4(std::uint8_t ttl = 64) {
    return {.source = "10.1.0.2", .destination = "10.2.0.2", .ttl = ttl};
}
IPv6 v6(std::uint8_t hop_limit = 64) {
    return {.source = "fd01::2", .destination = "fd02::2", .hop_limit = hop_limit};
}

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

// Where rules see the packets: a connection that conntrack has, written there by the test.
class Connection : public Route {
protected:
    // The entry, as it is to be: from 10.1.0.2:1024 to 10.2.0.2:9, masqueraded to 10.2.0.1:5000.
    struct Entry {
        std::uint8_t protocol = IPPROTO_UDP;
        bool exists = true;
        std::uint32_t status = IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED;
        std::uint8_t state = TCP_CONNTRACK_ESTABLISHED;
        bool liberal = true;
        std::uint32_t mark = 0;
        std::uint16_t port = 5000;
        std::uint8_t tcp_flags = 0;  // of both directions
        std::uint32_t timeout_s = 600;
    };

    void SetUp() override {
        Route::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        if (const Feature conntrack = probe_conntrack(); !conntrack.present)
            GTEST_SKIP() << "programs cannot look connections up here: " << conntrack.why_not;
        ASSERT_EQ(loaded_->programs().why_no_connections(), "");
        loaded_->programs().heartbeat.set_tracked(CONTROL_TRACKED_IPV4 | CONTROL_TRACKED_IPV6);
        loaded_->where().run([this] { conntrack_.emplace(NETLINK_NETFILTER); });
    }

    flow_key answer_key(const Entry& entry) const {
        flow_key key = key4(entry.protocol, 9, entry.port);
        ::inet_pton(AF_INET, "10.2.0.2", &key.source[0]);
        ::inet_pton(AF_INET, "10.2.0.1", &key.destination[0]);
        return key;
    }
    flow_ends masqueraded(const Entry& entry) const {
        flow_ends ends = ends_of(key4(entry.protocol, entry.port, 9));
        ::inet_pton(AF_INET, "10.2.0.1", &ends.source[0]);
        ends.flags = FLOW_TRANSLATED;
        return ends;
    }

    void track(const Entry& entry) {
        DumpRequest<nfgenmsg> flush(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE);
        flush.header->nfgen_family = AF_INET;
        conntrack_->request(flush.message, "forget all connections");
        if (!entry.exists) return;
        DumpRequest<nfgenmsg> request(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW);
        nlmsghdr* message = request.message;
        request.header->nfgen_family = AF_INET;
        message->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
        put_tuple(message, CTA_TUPLE_ORIG, key4(entry.protocol, 1024, 9));
        put_tuple(message, CTA_TUPLE_REPLY, answer_key(entry));
        mnl_attr_put_u32(message, CTA_TIMEOUT, htonl(entry.timeout_s));
        mnl_attr_put_u32(message, CTA_STATUS, htonl(entry.status));
        if (entry.mark != 0) mnl_attr_put_u32(message, CTA_MARK, htonl(entry.mark));
        if (entry.protocol == IPPROTO_TCP) {
            const std::uint8_t flag = IP_CT_TCP_FLAG_BE_LIBERAL;
            const auto set = static_cast<std::uint8_t>((entry.liberal ? flag : 0) | entry.tcp_flags);
            const nf_ct_tcp_flags flags = {.flags = set, .mask = 0xff};
            nlattr* state = mnl_attr_nest_start(message, CTA_PROTOINFO);
            nlattr* tcp = mnl_attr_nest_start(message, CTA_PROTOINFO_TCP);
            mnl_attr_put_u8(message, CTA_PROTOINFO_TCP_STATE, entry.state);
            mnl_attr_put(message, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, sizeof(flags), &flags);
            mnl_attr_put(message, CTA_PROTOINFO_TCP_FLAGS_REPLY, sizeof(flags), &flags);
            mnl_attr_nest_end(message, tcp);
            mnl_attr_nest_end(message, state);
        }
        conntrack_->request(message, "make a connection");
    }

    std::uint32_t timeout_of(const flow_key& key) {
        DumpRequest<nfgenmsg> request(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET);
        request.header->nfgen_family = AF_INET;
        put_tuple(request.message, CTA_TUPLE_ORIG, key);
        std::uint32_t timeout = 0;
        conntrack_->request(request.message, "read a connection", [&timeout](const nlmsghdr* message) {
            const auto payload = payload_of<nfgenmsg>(message);
            if (!payload) return;
            for_each_attribute(payload->attributes, [&timeout](const Attribute& attribute) {
                return attribute.type != CTA_TIMEOUT || store(timeout, attribute.be32());
            });
        });
        return timeout;
    }

    FlowFacts translated(const Entry& entry) const { return {.out = masqueraded(entry)}; }

    std::optional<NetlinkSocket> conntrack_;
};

IPv4 v4_masqueraded(std::uint8_t ttl = 63) {
    return {.source = "10.2.0.1", .destination = "10.2.0.2", .ttl = ttl};
}

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

// The witness finds what came in by what leaves.
TEST_F(Connection, IsFoundByWhatLeaves) {
    const flow_key udp = key4(IPPROTO_UDP, 1024, 9);
    const auto& flows = loaded_->programs().flows;
    track({});
    set(udp, {.known = false});
    loaded_->run(On::tc, frame(Ethernet{} / v4() / UDP{}));
    loaded_->run_witness(routed(Ethernet{} / v4(63) / UDP{}), out_, loaded_->in());
    EXPECT_EQ(flows.lookup(udp)->answered, 0U) << "untranslated it is another's";
    loaded_->run_witness(routed(Ethernet{} / v4_masqueraded() / UDP{.sport = 5000}), out_, loaded_->in());
    const auto seen = flows.lookup(udp);
    EXPECT_EQ(seen->answered, 1U);
    EXPECT_EQ(seen->egress, number(out_));
    const flow_ends expected = masqueraded({});
    EXPECT_EQ(std::memcmp(&seen->out, &expected, sizeof(expected)), 0);
    // Of one that has not been answered nothing is written down, and the next packet asks.
    track({.status = IPS_CONFIRMED});
    set(udp, {.known = false});
    loaded_->run(On::tc, frame(Ethernet{} / v4() / UDP{}));
    loaded_->run_witness(routed(Ethernet{} / v4_masqueraded() / UDP{.sport = 5000}), out_, loaded_->in());
    EXPECT_EQ(flows.lookup(udp)->answered, 0U);
    EXPECT_NE(flows.lookup(udp)->generation, 0U);
    track({.exists = false});
    set(udp, translated({}));
    loaded_->run_witness(routed(Ethernet{} / v4_masqueraded() / UDP{.sport = 5000}), out_, loaded_->in());
    EXPECT_EQ(flows.lookup(udp)->answered, 1U);
}

}  // namespace
}  // namespace underpass::test
