// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Packets that are routed between the VLANs of a VLAN-aware bridge, on both hooks: each VLAN leads to a router of its
// own, for which a device with the route stands here. Which tag the frame leaves with, and what is the kernel's.
#include "prog/cases.h"
#include "prog/expect.h"
#include "prog/route_fixture.h"

namespace underpass::test {
namespace {

constexpr std::uint16_t kNative = 1, kTaggedIn = 10, kOutVid = 20, kNowhere = 30;

struct Facts {
    std::uint16_t in_vid = kNative;                          // that leads to the router
    std::uint8_t in_rights = kTagged, out_rights = kTagged;  // in kTaggedIn, in kOutVid
    std::uint32_t out_flags = DEVICE_BRIDGE | DEVICE_ROUTED | DEVICE_EGRESS | DEVICE_FORWARDING | DEVICE_VLAN_AWARE;
    std::uint16_t out_vid = kOutVid;  // of the router that it leaves by
    bool at_other_slot = false;       // the way into the VLAN leads to a device that is no router by now
};

class VlanRouter : public Route {
protected:
    void SetUp() override {
        Route::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        shell(
            "ip addr flush dev in; ip addr flush dev out; ip link add ra type veth peer name ra2;"
            "ip link add rb type veth peer name rb2; for d in ra ra2 rb rb2; do ip link set $d up; done;"
            "ip addr add 10.1.0.1/24 dev ra; ip addr add 10.2.0.1/24 dev rb;"
            "ip neigh replace 10.2.0.2 lladdr 02:00:00:00:00:22 nud permanent dev rb");
        loaded_->where().run([&] {
            in_router_ = lab::ifindex("ra");
            out_router_ = lab::ifindex("rb");
            out_router_mac_ = lab::mac("rb");
        });
    }

    device router(Ifindex index, std::uint16_t vid, std::uint32_t flags) const {
        device record = {};
        record.ifindex = record.out = number(index);
        record.flags = flags;
        record.bridge = kBridge;
        record.vid = vid;
        record.vlan_protocol = htons(k8021Q);
        return record;
    }

    void write(const flow_key& key, const Facts& facts) {
        World world;
        for (Port* port : {&world.in, &world.out}) {
            port->flags |= DEVICE_VLAN_AWARE | DEVICE_ROUTED;
            port->vid = kNative;
            port->max_len = 1518;
        }
        world.in.rights = {{kNative, kUntagged}, {kTaggedIn, facts.in_rights}, {kNowhere, kTagged}};
        world.out.rights = {{kNative, kUntagged}, {kOutVid, facts.out_rights}};
        world.fdb = {{{kNextHop, kOutVid}, {.slot = kOutSlot}}};
        for (const std::uint16_t vid : {kNative, kTaggedIn, kNowhere})
            world.fdb.emplace(Host{kClient, vid}, Known{.slot = kInSlot});
        loaded_->set(world);
        loaded_->set_router(kInSlot, in_mac_);
        Programs& programs = loaded_->programs();
        ASSERT_FALSE(programs.devices.update(kUpperSlot, router(in_router_, facts.in_vid, facts.out_flags)));
        ASSERT_FALSE(programs.devices.update(kOtherUpperSlot, router(out_router_, facts.out_vid, facts.out_flags)));
        ASSERT_FALSE(programs.device_index.update(number(out_router_) % DEVICE_INDEX_SIZE, kOtherUpperSlot));
        const std::uint32_t slot = facts.at_other_slot ? kOutSlot : kUpperSlot;
        ASSERT_FALSE(programs.vlan_uppers.update({kBridge, htons(k8021Q), facts.in_vid}, slot));
        for (const auto& [each, value] : programs.flows.entries()) ASSERT_FALSE(programs.flows.erase(each));
        flow entry = {};
        entry.asked_ns = coarse_now() - 200000000;
        entry.asked = entry.answered = 1;
        entry.egress = number(out_router_);
        std::copy(kNextHop.bytes.begin(), kNextHop.bytes.end(), entry.destination);
        std::copy(out_router_mac_.bytes.begin(), out_router_mac_.bytes.end(), entry.source);
        entry.out = ends_of(key);
        ASSERT_FALSE(programs.flows.update(key, entry));
    }

    void write(const Facts& facts) {
        flow_key key = key4(IPPROTO_UDP, 1024, 9);
        key.ifindex = number(in_router_);
        write(key, facts);
    }

    void expect_routed(const Stack& in, const Stack& out, const Facts& facts = {}) {
        Frame leaving = routed(out);
        std::copy(out_router_mac_.bytes.begin(), out_router_mac_.bytes.end(), leaving.begin() + ETH_ADDR_LEN);
        for (const On hook : {On::tc, On::xdp}) {
            SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
            write(facts);
            const Ran ran = loaded_->run(hook, frame(in));
            EXPECT_EQ(ran.action, expected_action(hook, true)) << text(loaded_->counted());
            // (What TC pushes is beside the bytes, and a test run does not show it; one that took a tag's place does.)
            EXPECT_EQ(difference(expected_bytes(hook, true, frame(in), leaving), ran.frame), "");
            const CountedVlans counted = loaded_->counted_vlans();
            ASSERT_EQ(counted.size(), 1U);
            EXPECT_EQ(counted.begin()->first, std::pair(kInSlot, std::uint32_t{facts.in_vid}));
        }
    }

    void expect_left(const Stack& in, reason why, const Facts& facts = {}) {
        for (const On hook : {On::tc, On::xdp}) {
            SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
            write(facts);
            expect_passes(hook, frame(in), why);
        }
    }

    Ifindex in_router_ = Ifindex::none, out_router_ = Ifindex::none;
    MacAddr out_router_mac_;
};

TEST_F(VlanRouter, LeavesAsItsVlanWants) {
    const Stack plain = Ethernet{} / v4() / UDP{} / Payload{100},
                plain_out = Ethernet{} / v4(63) / UDP{} / Payload{100};
    const auto with = [](const Vlan& tag, std::uint8_t ttl) {
        return Ethernet{} / tag / v4(ttl) / UDP{} / Payload{100};
    };
    const Facts untagged = {.out_rights = kUntagged}, in_tagged = {.in_vid = kTaggedIn};
    expect_routed(plain, with({.vid = kOutVid}, 63));
    expect_routed(plain, plain_out, untagged);
    // The priority is of the tag that it came in with, and goes with it.
    const Stack tagged = with({.vid = kTaggedIn, .pcp = 5}, 64);
    expect_routed(tagged, with({.vid = kOutVid}, 63), in_tagged);
    expect_routed(tagged, plain_out, {.in_vid = kTaggedIn, .out_rights = kUntagged});
    expect_routed(with({.vid = 0, .pcp = 3}, 64), plain_out, untagged);
    expect_routed(with({.vid = 0, .pcp = 3}, 64), with({.vid = kOutVid}, 63));
}

TEST_F(VlanRouter, IsTheKernels) {
    const Stack plain = Ethernet{} / v4() / UDP{} / Payload{100};
    const auto with = [](const Vlan& tag) { return Ethernet{} / tag / v4() / UDP{} / Payload{100}; };
    expect_routed(plain, Ethernet{} / v4(63) / UDP{} / Payload{100}, {.out_rights = kUntagged});
    expect_left(with({.vid = kNowhere}), REASON_DESTINATION_UNKNOWN);
    expect_left(with({.vid = kTaggedIn, .tpid = k8021AD}), REASON_ROUTE_EXCEPTION);
    expect_left(Ethernet{} / Vlan{.vid = kTaggedIn} / Vlan{.vid = 5} / v4() / UDP{}, REASON_ROUTE_EXCEPTION,
                {.in_vid = kTaggedIn});
    expect_left(plain, REASON_EGRESS_NOT_A_MEMBER, {.out_rights = 0});
    expect_left(plain, REASON_DESTINATION_UNKNOWN, {.out_vid = kNowhere});
    expect_left(plain, REASON_EGRESS_NOT_READY, {.out_flags = DEVICE_BRIDGE | DEVICE_ROUTED | DEVICE_VLAN_AWARE});
    expect_left(plain, REASON_DESTINATION_UNKNOWN, {.at_other_slot = true});
    expect_left(with({.vid = kTaggedIn}), REASON_VLAN_UPPER,
                {.in_vid = kTaggedIn, .in_rights = static_cast<std::uint8_t>(kTagged | VLAN_UPPER)});
}

}  // namespace
}  // namespace underpass::test
