// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The whole table of a VLAN-aware bridge: every frame, from every kind of port, to every kind of port, by both
// protocols; on XDP, on TC as a test run has it (tags in the bytes), and on TC as the kernel has it (a real frame).
// What has to happen is not written down but worked out, by a model of what the kernel's bridge does with an skb.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <thread>

#include "harness/frame_socket.h"
#include "prog/expect.h"
#include "prog/fixture.h"

namespace underpass::test {
namespace {

using namespace std::chrono_literals;

// A port as `bridge vlan` shows it.
struct VlanPort {
    const char* name;
    std::uint16_t pvid;                      // 0: none
    std::map<std::uint16_t, bool> untagged;  // the VLANs that it is in: whether frames leave without a tag
};

const std::array<VlanPort, 5>& ports() {
    static const std::array<VlanPort, 5> all = {{
        {"access", 10, {{10, true}}},
        {"trunk_with_pvid", 10, {{10, true}, {20, false}}},
        {"trunk_with_tagged_pvid", 10, {{10, false}, {20, false}}},
        {"trunk_without_pvid", 0, {{10, false}, {20, false}}},
        {"no_member", 0, {{30, false}}},
    }};
    return all;
}

struct NamedFrame {
    const char* name;
    Frame frame;
};

const std::vector<NamedFrame>& frames() {
    static const std::vector<NamedFrame> all = {
        {"untagged", plain()},
        {"priority-tagged", tagged({.vid = 0, .pcp = 5, .dei = true})},
        {"tagged with 10", tagged({.vid = 10, .pcp = 3})},
        {"tagged with 20", tagged({.vid = 20, .pcp = 3, .dei = true})},
        {"tagged with 99, where nobody is", tagged({.vid = 99})},
        {"QinQ, 802.1Q in 802.1Q", between_hosts(Vlan{.vid = 10, .pcp = 3}, {Vlan{.vid = 7, .pcp = 1}, IPv4{}, UDP{}})},
        {"QinQ, a priority tag outside", between_hosts(Vlan{.vid = 0, .pcp = 4}, {Vlan{.vid = 20}, IPv4{}, UDP{}})},
        {"QinQ, 802.1Q in 802.1ad",
         between_hosts(Vlan{.vid = 20, .pcp = 3, .tpid = k8021AD}, {Vlan{.vid = 7}, IPv4{}, UDP{}})},
        {"802.1ad-tagged", tagged({.vid = 10, .pcp = 3, .tpid = k8021AD})},
        {"802.1ad-priority-tagged", tagged({.vid = 0, .pcp = 6, .tpid = k8021AD})},
    };
    return all;
}

// The model. A tag is beside the bytes, as in an skb.
struct Tag {
    std::uint16_t protocol;
    std::uint16_t tci;
};

struct Skb {
    std::optional<Tag> tag;
    Frame bytes;
};

std::uint16_t word(const Frame& frame, std::size_t offset) {
    return static_cast<std::uint16_t>(frame.at(offset) << 8 | frame.at(offset + 1));
}

// skb_vlan_untag, at receive
Skb received(const Frame& frame) {
    if (word(frame, 12) != 0x8100 && word(frame, 12) != 0x88a8) return {{}, frame};
    return {Tag{word(frame, 12), word(frame, 14)}, without_tag(frame)};
}

Frame sent(const Skb& skb) {
    return skb.tag ? with_tag(skb.bytes, skb.tag->protocol, skb.tag->tci) : skb.bytes;
}

struct Outcome {
    reason why = REASON_FORWARDED;
    std::uint16_t vid = 0;  // 0: none that the ingress port is in
    Frame out;
};

// br_allowed_ingress: the VLAN that the skb is in; its tag is then the VLAN's. 0: none that the port lets in.
std::uint16_t enter(Skb& skb, const VlanPort& port, std::uint16_t protocol) {
    std::uint16_t vid = skb.tag ? static_cast<std::uint16_t>(skb.tag->tci & 0xfff) : std::uint16_t{0};
    if (skb.tag && skb.tag->protocol != protocol) {
        skb = {{}, sent(skb)};
        vid = 0;
    }
    if (vid == 0) {
        vid = port.pvid;
        const std::uint16_t kept = skb.tag ? skb.tag->tci : 0;
        skb.tag = {protocol, static_cast<std::uint16_t>(kept | vid)};
    }
    return port.untagged.contains(vid) ? vid : 0;
}

Outcome bridged(const Frame& frame, const VlanPort& in, const VlanPort& out, std::uint16_t protocol) {
    Skb skb = received(frame);
    const std::uint16_t vid = enter(skb, in, protocol);
    if (vid == 0) return {REASON_NOT_A_MEMBER, 0, {}};
    // br_allowed_egress, br_handle_vlan
    const auto member = out.untagged.find(vid);
    if (member == out.untagged.end()) return {REASON_EGRESS_NOT_A_MEMBER, vid, {}};
    if (member->second) skb.tag.reset();
    return {REASON_FORWARDED, vid, sent(skb)};
}

// The same for the programs.
Port port_of(const VlanPort& vlan_port, std::uint16_t protocol) {
    Port port = {.flags = kReady | DEVICE_VLAN_AWARE, .vid = vlan_port.pvid, .vlan_protocol = protocol};
    for (const auto& [vid, untagged] : vlan_port.untagged) port.rights[vid] = untagged ? kUntagged : kTagged;
    return port;
}

World world_of(const VlanPort& in, const VlanPort& out, std::uint16_t protocol) {
    World world = {.in = port_of(in, protocol), .out = port_of(out, protocol)};
    world.fdb.clear();
    for (const std::uint16_t vid : std::array<std::uint16_t, 6>{0, 7, 10, 20, 30, 99}) {
        world.fdb[{kFrom, vid}] = {.slot = kInSlot};
        world.fdb[{kTo, vid}] = {.slot = kOutSlot};
    }
    return world;
}

Case case_of(const Frame& frame, const Outcome& outcome) {
    Case each = {.frame = frame, .reason = outcome.why};
    if (outcome.why == REASON_FORWARDED) each.out = outcome.out;
    each.counted_vid = outcome.vid;
    return each;
}

// All frames, to all kinds of port.
struct Row {
    Way way = Way::xdp;
    std::uint16_t protocol = k8021Q;
    const VlanPort* in = nullptr;
};

std::string name_of(const Row& row) {
    const char* way = row.way == Way::xdp ? "xdp" : row.way == Way::live ? "tc_live" : "tc_in_bytes";
    return std::string(way) + (row.protocol == k8021Q ? "_8021Q_from_" : "_8021ad_from_") + row.in->name;
}

void PrintTo(const Row& row, std::ostream* out) {
    *out << name_of(row);
}

std::vector<Row> all_rows() {
    std::vector<Row> rows;
    for (const Way way : {Way::xdp, Way::tc_in_bytes, Way::live})
        for (const std::uint16_t protocol : {k8021Q, k8021AD})
            for (const VlanPort& in : ports()) rows.push_back({way, protocol, &in});
    return rows;
}

// Loaded once for all rows of a process; but a row of live frames has one of its own.
class VlanTable : public ::testing::TestWithParam<Row> {
protected:
    static void TearDownTestSuite() { loaded_.reset(); }

    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        if (GetParam().way == Way::live) loaded_.reset();
        if (!loaded_) loaded_ = std::make_unique<LoadedPrograms>();
        if (GetParam().way == Way::live) go_live();
    }
    void TearDown() override {
        if (GetParam().way != Way::live) return;
        in_far_.reset();
        out_far_.reset();
        loaded_.reset();
    }

    void go_live() {
        loaded_->attach_to_tc();
        in_far_.emplace(loaded_->where(), "in-far");
        out_far_.emplace(loaded_->where(), "out-far");
    }

    void run(const Case& each) {
        const On hook = hook_of(GetParam().way);
        const bool forwarded = each.reason == REASON_FORWARDED;
        const Ran ran = loaded_->run(hook, each.frame);
        EXPECT_EQ(ran.action, expected_action(hook, forwarded));
        EXPECT_EQ(difference(expected_bytes(hook, forwarded, each.frame, each.leaving()), ran.frame), "");
    }

    void send(const Case& each) {
        in_far_->send(each.frame);
        if (each.reason == REASON_FORWARDED) {
            const auto came = out_far_->receive_count(1, 2s);
            ASSERT_EQ(came.size(), 1U);
            EXPECT_EQ(difference(each.out, came.front()), "");
        }
        const auto end = std::chrono::steady_clock::now() + 5s;
        while (loaded_->counted().empty() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
        expect_nothing_more(0ms);  // what comes late meets the next frame
    }

    void expect_nothing_more(milliseconds time) {
        for (const Frame& frame : out_far_->receive(time)) ADD_FAILURE() << "also came out: " << describe(frame);
    }

    static inline std::unique_ptr<LoadedPrograms> loaded_;
    std::optional<FrameSocket> in_far_, out_far_;
};

TEST_P(VlanTable, Row) {
    const auto& [way, protocol, in] = GetParam();
    for (const VlanPort& out : ports())
        for (const auto& [name, frame] : frames()) {
            SCOPED_TRACE(std::string(name) + ", to " + out.name);
            const World world = world_of(*in, out, protocol);
            const Case each = case_of(frame, bridged(frame, *in, out, protocol));
            loaded_->set(world);
            if (way == Way::live)
                send(each);
            else
                run(each);
            EXPECT_EQ(text(loaded_->counted()), text(expected_count(way, each, world)));
            EXPECT_EQ(text(loaded_->counted_vlans()), text(expected_vlans(way, each)));
            EXPECT_TRUE(loaded_->fdb() == world.fdb);
        }
    if (way == Way::live) expect_nothing_more(20ms);
}

INSTANTIATE_TEST_SUITE_P(, VlanTable, ::testing::ValuesIn(all_rows()),
                         [](const auto& row) { return name_of(row.param); });

// A model that let everything pass, or nothing, would agree with programs that do.
TEST(VlanModel, KnowsEveryOutcome) {
    std::map<reason, int> outcomes;
    int pushed = 0, popped = 0, replaced = 0, kept = 0;
    for (const VlanPort& in : ports())
        for (const VlanPort& out : ports())
            for (const auto& [name, frame] : frames()) {
                const Outcome outcome = bridged(frame, in, out, k8021Q);
                outcomes[outcome.why]++;
                if (outcome.why != REASON_FORWARDED) continue;
                const std::size_t was = frame.size(), is = outcome.out.size();
                pushed += is > was ? 1 : 0;
                popped += is < was ? 1 : 0;
                replaced += is == was && outcome.out != frame ? 1 : 0;
                kept += outcome.out == frame ? 1 : 0;
            }
    for (const reason why : {REASON_FORWARDED, REASON_NOT_A_MEMBER, REASON_EGRESS_NOT_A_MEMBER})
        EXPECT_GT(outcomes[why], 5) << reason_name(why);
    for (const int count : {pushed, popped, replaced, kept}) EXPECT_GT(count, 5);
}

}  // namespace
}  // namespace underpass::test
