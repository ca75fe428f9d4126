// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Every case of the table on each hook (those that only a real frame can show: live_test.cpp): the action, the frame
// byte for byte, what was counted, and the FDB afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cctype>
#include <memory>
#include <ostream>
#include <set>
#include <string>

#include "prog/expect.h"
#include "prog/fixture.h"

namespace underpass::test {

void PrintTo(const Known& known, std::ostream* out) {
    *out << "slot " << known.slot << " flags " << int{known.flags} << (known.distrusted ? " distrusted" : "")
         << (known.shown == Shown::never         ? " never shown"
             : known.shown == Shown::long_ago    ? " shown long ago"
             : known.shown == Shown::a_while_ago ? " shown a while ago"
                                                 : " just shown");
}

void PrintTo(const Host& host, std::ostream* out) {
    *out << host.mac.text() << " VID " << host.vid;
}

namespace {

struct Run {
    On hook = On::tc;
    const Case* each = nullptr;
};

void PrintTo(const Run& run, std::ostream* out) {
    *out << run.each->description;
}

std::vector<Run> all_runs() {
    std::vector<Run> runs;
    for (const On hook : {On::tc, On::xdp})
        for (const auto& each : all_cases())
            if (each.runs_on(hook) && each.has_test_run(hook)) runs.push_back({hook, &each});
    return runs;
}

std::string name_of(const ::testing::TestParamInfo<Run>& info) {
    std::string name = info.param.hook == On::tc ? "tc_" : "xdp_";
    for (const char c : info.param.each->description)
        name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
    return name;
}

// Loaded once for all cases of a process.
class Pipeline : public ::testing::TestWithParam<Run> {
protected:
    static void TearDownTestSuite() { loaded_.reset(); }

    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        if (!loaded_) loaded_ = std::make_unique<LoadedPrograms>();
    }

    static inline std::unique_ptr<LoadedPrograms> loaded_;
};

TEST_P(Pipeline, Case) {
    const auto& [hook, each] = GetParam();
    const Way way = hook == On::xdp ? Way::xdp : Way::tc_in_bytes;
    const bool forwarded = each->reason_on(hook) == REASON_FORWARDED;
    World world = each->world();
    loaded_->set(world);

    const Ran ran = loaded_->run(hook, each->frame, each->gso);

    EXPECT_EQ(ran.action, expected_action(hook, forwarded));
    EXPECT_EQ(difference(expected_bytes(hook, forwarded, each->frame, each->leaving()), ran.frame), "");
    EXPECT_EQ(text(loaded_->counted()), text(expected_count(way, *each, world)));
    EXPECT_EQ(text(loaded_->counted_vlans()), text(expected_vlans(way, *each)));
    if (each->then != nullptr) each->then(world, hook);
    EXPECT_EQ(loaded_->fdb(), world.fdb);
    if (!forwarded) return;
    // The one behind it, of which everything is remembered.
    const Ran next = loaded_->run(hook, each->frame, each->gso);
    EXPECT_EQ(next.action, ran.action);
    EXPECT_EQ(difference(ran.frame, next.frame), "");
    EXPECT_EQ(loaded_->fdb(), world.fdb);
}

INSTANTIATE_TEST_SUITE_P(, Pipeline, ::testing::ValuesIn(all_runs()), name_of);

// A frame that the host looped back to itself comes by the stack only (see live_test.cpp), and never to XDP. A rewrite
// fails only where memory runs out (TC) or where a driver gives no headroom or the map of redirect targets changes in
// the same moment (XDP): nothing that a frame or the maps can bring about.
std::set<std::uint32_t> reached_elsewhere() {
    return {REASON_LOOPED, REASON_REWRITE_FAILED};
}

TEST(Coverage, EveryReasonIsReachedOnBothHooks) {
    for (const On hook : {On::tc, On::xdp}) {
        std::set<std::uint32_t> reached = reached_elsewhere();
        for (const auto& each : all_cases())
            if (each.runs_on(hook)) reached.insert(each.reason_on(hook));
        // Those of routing are reached in route_test.cpp.
        for (std::uint32_t reason = 0; reason < REASON_ROUTED; reason++)
            EXPECT_TRUE(reached.contains(reason))
                << "no case on " << (hook == On::tc ? "TC" : "XDP") << " ends as " << reason_name(reason);
    }
}

TEST(Coverage, NoTwoCasesAreCalledAlike) {
    std::set<std::string> names;
    for (const auto& each : all_cases()) EXPECT_TRUE(names.insert(each.description).second) << each.description;
}

// XDP counts no frame that it passes, so there the table alone does not tell why one was passed. It was for what the
// case changed: in the unchanged world the same frame is forwarded. (Where it is not, TC's count is the witness.)
TEST(Coverage, XdpPassesForWhatTheCaseChanged) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    LoadedPrograms loaded;
    std::size_t shown = 0;
    for (const auto& each : all_cases()) {
        const bool group = (destination_of(each.frame).bytes[0] & 1) != 0;
        if (!each.runs_on(On::xdp) || each.reason_on(On::xdp) == REASON_FORWARDED || each.given == nullptr || group ||
            each.reason == REASON_SOURCE_INVALID || each.frame.size() > World{}.out.max_len)
            continue;
        World unchanged;
        if (each.base != nullptr) each.base(unchanged);
        loaded.set(unchanged);
        EXPECT_EQ(loaded.run(On::xdp, each.frame).action, expected_action(On::xdp, true)) << each.description;
        shown++;
    }
    EXPECT_GT(shown, 30U);
}

}  // namespace
}  // namespace underpass::test
