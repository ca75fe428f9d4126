// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames that are bridged where br_netfilter shows them to rules, on both hooks: flows that the kernel was seen to let
// through go on by the FDB, as they are; what is the kernel's.
#include "prog/route_fixture.h"

namespace underpass::test {
namespace {

constexpr std::uint32_t kShown = kReady | DEVICE_RULED | DEVICE_BRNF_IPV4 | DEVICE_BRNF_IPV6;

struct Facts {
    std::uint32_t flags = kShown;  // of the ingress port
    bool known = true;
    std::uint32_t behind = 0;  // generations
    std::uint32_t asked = 1, answered = 1;
    MacAddr source = kFrom, destination = kTo;  // that it was seen with
    bool by_another_port = false;               // it was seen to leave
    bool translated = false;
};

class Ruled : public Connection {
protected:
    static Frame bridged(const Stack& packet) {
        Frame bytes = packet;
        std::copy(kTo.bytes.begin(), kTo.bytes.end(), bytes.begin());
        std::copy(kFrom.bytes.begin(), kFrom.bytes.end(), bytes.begin() + ETH_ADDR_LEN);
        return bytes;
    }

    void write(const flow_key& key, const Facts& facts) {
        World world;
        world.in.flags = facts.flags;
        loaded_->set(world);
        const auto& flows = loaded_->programs().flows;
        for (const auto& [each, value] : flows.entries()) ASSERT_FALSE(flows.erase(each));
        if (!facts.known) return;
        flow entry = {};
        entry.asked_ns = coarse_now() - 200000000;
        entry.generation = 0U - facts.behind;
        entry.asked = facts.asked;
        entry.answered = facts.answered;
        entry.egress = number(facts.by_another_port ? loaded_->in() : out_) + (facts.by_another_port ? 1000 : 0);
        std::copy(facts.destination.bytes.begin(), facts.destination.bytes.end(), entry.destination);
        std::copy(facts.source.bytes.begin(), facts.source.bytes.end(), entry.source);
        entry.out = ends_of(key);
        if (facts.translated) entry.out.flags = FLOW_TRANSLATED;
        ASSERT_FALSE(flows.update(key, entry));
    }

    void expect_bridged(const flow_key& key, const Frame& in, const Facts& facts, reason why = REASON_BRIDGED_FLOW) {
        for (const On hook : {On::tc, On::xdp}) {
            SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
            write(key, facts);
            const Ran ran = loaded_->run(hook, in);
            EXPECT_EQ(ran.action, hook == On::xdp ? int{XDP_REDIRECT} : TC_ACT_REDIRECT) << text(loaded_->counted());
            EXPECT_EQ(difference(in, ran.frame), "");
            EXPECT_EQ(text(loaded_->counted()), text(Counted{{{kInSlot, why}, {1, in.size()}}}));
        }
    }
    void expect_left(const flow_key& key, const Frame& in, const Facts& facts, reason why) {
        for (const On hook : {On::tc, On::xdp}) {
            SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
            write(key, facts);
            expect_passes(hook, in, why);
        }
    }
};

TEST_F(Ruled, GoesOnAsItIs) {
    const flow_key udp = key4(IPPROTO_UDP, 1024, 9), tcp = key4(IPPROTO_TCP, 1024, 9);
    const Frame datagram = bridged(Ethernet{} / v4() / UDP{} / Payload{100});
    const Frame segment = bridged(Ethernet{} / v4() / TCP{.flags = 0x10} / Payload{1000});
    track({.translated = false});
    expect_bridged(udp, datagram, {});
    // No router takes from its TTL.
    expect_bridged(udp, bridged(Ethernet{} / v4(1) / UDP{}), {});
    track({.protocol = IPPROTO_TCP, .translated = false});
    expect_bridged(tcp, segment, {});
    // Where rules know no connections, the flow alone counts.
    loaded_->programs().heartbeat.set_tracked(0);
    track({.exists = false});
    expect_bridged(udp, datagram, {});
    expect_bridged(tcp, bridged(Ethernet{} / v4() / TCP{.flags = 0x02}), {});
    expect_bridged(key6(IPPROTO_UDP, 1024, 9), bridged(Ethernet{} / v6() / UDP{} / Payload{100}), {});
    expect_bridged(key6(IPPROTO_UDP, 1024, 9), bridged(Ethernet{} / v6(1) / UDP{}), {});
}

// What rules are not shown goes without a flow.
TEST_F(Ruled, NotAllIsShownToRules) {
    const flow_key udp = key4(IPPROTO_UDP, 1024, 9);
    const Facts none = {.known = false};
    const auto with = [](std::uint32_t flags) { return Facts{.flags = flags, .known = false}; };
    const Frame ipv4 = bridged(Ethernet{} / v4() / UDP{}), ipv6 = bridged(Ethernet{} / v6() / UDP{});
    const Frame tagged = bridged(Ethernet{} / Vlan{.vid = 5} / v4() / UDP{});
    const Frame of_no_protocol = bridged(Ethernet{.type = 0x9000} / Payload{46});
    for (const Frame& frame : {tagged, of_no_protocol}) expect_bridged(udp, frame, none, REASON_FORWARDED);
    expect_bridged(udp, ipv4, with(kReady | DEVICE_RULED | DEVICE_BRNF_IPV6), REASON_FORWARDED);
    expect_bridged(udp, ipv6, with(kReady | DEVICE_RULED | DEVICE_BRNF_IPV4), REASON_FORWARDED);
    expect_bridged(udp, ipv4, with(kShown & ~std::uint32_t{DEVICE_RULED}), REASON_FORWARDED);
}

TEST_F(Ruled, IsTheKernels) {
    const flow_key udp = key4(IPPROTO_UDP, 1024, 9), tcp = key4(IPPROTO_TCP, 1024, 9);
    const Frame datagram = bridged(Ethernet{} / v4() / UDP{});
    track({.translated = false});
    expect_bridged(udp, datagram, {});
    expect_left(udp, datagram, {.known = false}, REASON_FLOW_ASKED);
    expect_left(udp, datagram, {.behind = 1}, REASON_FLOW_ASKED);
    expect_left(udp, datagram, {.answered = 0}, REASON_FLOW_UNANSWERED);
    expect_left(udp, datagram, {.source = kStranger}, REASON_ROUTE_CHANGED);
    expect_left(udp, datagram, {.destination = kStranger}, REASON_ROUTE_CHANGED);
    expect_left(udp, datagram, {.by_another_port = true}, REASON_ROUTE_CHANGED);
    expect_left(udp, datagram, {.translated = true}, REASON_ROUTE_CHANGED);
    IPv4 fragment = v4();
    fragment.fragment = 0x2000;
    expect_left(udp, bridged(Ethernet{} / fragment / UDP{} / Payload{16}), {}, REASON_IP_INVALID);
    expect_left(udp, bridged(Ethernet{} / v4() / UDP{} / PadTo{60}), {}, REASON_IP_INVALID);
    track({.status = IPS_CONFIRMED, .translated = false});
    expect_left(udp, datagram, {}, REASON_CONNECTION_NOT_READY);
    track({});  // translated by now
    expect_left(udp, datagram, {}, REASON_CONNECTION_NOT_READY);
    track({.exists = false});
    expect_left(udp, datagram, {}, REASON_CONNECTION_NOT_READY);
    track({.protocol = IPPROTO_TCP, .translated = false});
    expect_left(tcp, bridged(Ethernet{} / v4() / TCP{.flags = 0x11}), {}, REASON_CONNECTION_BEGINS_OR_ENDS);
}

// The witness at the port writes down what leaves, and goes by the port that it came in by.
TEST_F(Ruled, IsSeenToLeave) {
    const flow_key udp = key4(IPPROTO_UDP, 1024, 9);
    const Frame datagram = bridged(Ethernet{} / v4() / UDP{});
    loaded_->programs().heartbeat.set_tracked(0);  // no packet of a test run is of a connection
    write(udp, {.known = false});
    loaded_->run(On::tc, datagram);
    loaded_->run_witness(datagram, out_, loaded_->in());
    const auto seen = loaded_->programs().flows.lookup(udp);
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->answered, seen->asked);
    EXPECT_EQ(seen->egress, number(out_));
    EXPECT_TRUE(std::equal(kTo.bytes.begin(), kTo.bytes.end(), seen->destination));
    EXPECT_EQ(loaded_->run(On::tc, datagram).action, TC_ACT_REDIRECT);
}

}  // namespace
}  // namespace underpass::test
