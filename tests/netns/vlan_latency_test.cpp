// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rights in a VLAN that are taken away while numbered frames flow: how long do frames still go by the old rule? Never
// after the daemon says that it has caught up, less than 10 ms at the 99th percentile, and never to a port that was no
// member.
//
//   A at "a": untagged, VLAN 10 ─┐         ┌─ B at "b": untagged, VLAN 10
//   D at "d": VLAN 1 alone      ─┴─ [br0] ─┴─ C at "c": untagged, VLANs 10 and 20
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <stdexcept>
#include <thread>
#include <vector>

#include "lab/vlan.h"
#include "netlink/socket.h"
#include "trial.h"

namespace underpass::test {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr Vid kVlan{10}, kOtherVlan{20};
constexpr lab::BridgeVlanFlags kAccess = {.pvid = true, .untagged = true};
constexpr std::size_t kChanges = 1000;
constexpr double kAllowedMs = 10;

// What is taken from whom, where the kernel sends A's frames for B afterwards, and the way back.
struct Change {
    const char* name;
    std::function<void()> make;
    bool to_b, to_c;
    std::function<void()> undo;
};

std::vector<Change> changes() {
    return {
        {"member, egress", [] { lab::delete_bridge_vlan("b", kVlan); }, false, true,
         [] { lab::add_bridge_vlan("b", kVlan, kAccess); }},
        {"member, ingress", [] { lab::delete_bridge_vlan("a", kVlan); }, false, false,
         [] { lab::add_bridge_vlan("a", kVlan, kAccess); }},
        {"PVID", [] { lab::add_bridge_vlan("a", kOtherVlan, kAccess); }, false, true,
         [] {
             lab::add_bridge_vlan("a", kVlan, kAccess);
             lab::delete_bridge_vlan("a", kOtherVlan);
         }},
        {"state, egress", [] { lab::set_vlan_state("b", kVlan, PortState::blocking); }, false, false,
         [] { lab::set_vlan_state("b", kVlan, PortState::forwarding); }},
        {"state, ingress", [] { lab::set_vlan_state("a", kVlan, PortState::listening); }, false, false,
         [] { lab::set_vlan_state("a", kVlan, PortState::forwarding); }},
    };
}

class VlanLatencyTest : public TestNet, public ::testing::WithParamInterface<const char*> {
protected:
    // Why this kernel has no such bridge; empty if it has.
    static std::string set_up_vlans(const Trial& trial) {
        try {
            trial.host().run([] {
                lab::set_bridge("br0", {.vlan_filtering = true});
                for (const char* port : {"a", "b", "c"}) {
                    lab::delete_bridge_vlan(port, Vid{1});
                    lab::add_bridge_vlan(port, kVlan, kAccess);
                }
                lab::add_bridge_vlan("c", kOtherVlan, {.untagged = true});
            });
            return {};
        } catch (const NetlinkError& error) {
            return error.what();
        }
    }

    static void introduce(Trial& trial, FrameSocket& at, const MacAddr& source) {
        for (int i = 0; i < 2; i++) {
            at.send(Ethernet{.destination = kBroadcast, .source = source} / Arp{.sender_mac = source} / PadTo{60});
            trial.catch_up();
        }
    }

    // B is known, and frames to it go fast: else none can be late.
    static void wait_until_fast(Trial& trial) {
        const auto end = Clock::now() + kPatience;
        for (const auto before = trial.share().fast; trial.share().fast < before + 2;) {
            if (Clock::now() > end) throw std::runtime_error("no frame goes fast, so none can be late");
            introduce(trial, trial.b(), kHostB);
        }
    }
};

// Which of the frames [0, end) came out there.
std::vector<bool> arrived(FrameSocket& at, std::uint32_t end, milliseconds rest) {
    std::vector<bool> result(end);
    for (const auto number : Trial::numbers(at.receive(rest)))
        if (number < end) result[number] = true;
    return result;
}

TEST_P(VlanLatencyTest, RightsThatAreTakenAway) {
    Trial trial(net(), GetParam());
    if (const std::string why = set_up_vlans(trial); !why.empty()) GTEST_SKIP() << why;
    trial.up();
    introduce(trial, trial.a(), kHostA);
    const bool emulated = is_emulated();
    const microseconds interval(emulated ? 4000 : 50);
    const milliseconds watch(emulated ? 10 : 20);
    const auto kinds = changes();
    std::map<std::string, std::vector<double>> late;
    std::vector<double> all;
    std::size_t not_followed = 0, at_stranger = 0;
    Stream stream(trial.a(), kHostA, kHostB, interval);
    for (std::size_t i = 0; i < kChanges; i++) {
        const Change& change = kinds[i % kinds.size()];
        wait_until_fast(trial);
        for (FrameSocket* socket : {&trial.b(), &trial.c()}) socket->discard();

        const std::uint32_t first = stream.begun();
        trial.host().run([&] { change.make(); });
        const auto returned = Clock::now();
        trial.catch_up();
        const std::uint32_t followed = stream.begun();
        std::this_thread::sleep_until(std::max(returned + watch, Clock::now() + 3 * interval));
        const std::uint32_t end = stream.begun();
        const auto at_b = arrived(trial.b(), end, milliseconds(emulated ? 8 : 2));
        const auto at_c = arrived(trial.c(), end, milliseconds(0));
        auto last = returned;
        for (std::uint32_t frame = first; frame + 1 < end; frame++) {  // the last may still be on its way
            if (at_b[frame] == change.to_b && at_c[frame] == change.to_c) continue;
            last = std::max(last, stream.time_of(frame));
            not_followed += frame > followed ? 1 : 0;
        }
        at_stranger += Trial::numbers(trial.d().receive(milliseconds(0))).size();
        all.push_back(std::chrono::duration<double, std::milli>(last - returned).count());
        late[change.name].push_back(all.back());
        trial.host().run([&] { change.undo(); });
    }
    for (const auto& [name, each] : late)
        fmt::print("{:15}: {} changes; last frame by the old rule after the call returned: {}\n", name, each.size(),
                   summary(each));
    fmt::print("all            : {} changes, {} frames; last frame by the old rule after the call returned: {}\n",
               all.size(), stream.stop(), summary(all));
    EXPECT_EQ(not_followed, 0U) << "frames after the daemon had caught up";
    EXPECT_EQ(at_stranger, 0U) << "frames at a port that never was a member";
    if (!emulated) {
        EXPECT_LT(percentile(all, 0.99), kAllowedMs);
    }
}

INSTANTIATE_TEST_SUITE_P(Hooks, VlanLatencyTest, ::testing::Values("tc", "xdp"),
                         [](const auto& test) { return test.param; });

}  // namespace

}  // namespace underpass::test
