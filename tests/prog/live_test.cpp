// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What no test run can show: frames as the stack hands them to the TC program where it is really attached.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <thread>

#include "harness/frame_socket.h"
#include "loader/error.h"
#include "prog/expect.h"
#include "prog/fixture.h"

namespace underpass::test {
namespace {

using namespace std::chrono_literals;

class Live : public ::testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        loaded_ = std::make_unique<LoadedPrograms>();
    }

    void attach(const World& world) {
        loaded_->attach_to_tc();
        loaded_->set(world);
    }

    // Frames that were counted at the ingress device for this reason; waits for the first.
    std::uint64_t counted(reason reason) const {
        const auto end = std::chrono::steady_clock::now() + 5s;
        for (;;) {
            const Counted all = loaded_->counted();
            const auto found = all.find({kInSlot, reason});
            if (found != all.end()) return found->second.first;
            if (std::chrono::steady_clock::now() > end) {
                ADD_FAILURE() << "not one frame; but\n" << text(all);
                return 0;
            }
            std::this_thread::sleep_for(5ms);
        }
    }

    void wait_for_a_count() const {
        const auto end = std::chrono::steady_clock::now() + 5s;
        while (loaded_->counted().empty() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    }

    std::unique_ptr<LoadedPrograms> loaded_;
};

std::string lines(const std::vector<Frame>& frames) {
    std::string result;
    for (const Frame& frame : frames) result.append(describe(frame)).append("\n");
    return result;
}

TEST_F(Live, TheHostsOwnGroupFrameComesBackLooped) {
    attach({});
    loaded_->where().run([] {
        lab::add_address("in", "10.8.0.1/24");
        lab::wait_until_running("in");
        const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        ip_mreqn group = {};
        group.imr_multiaddr.s_addr = htonl(0xe8010101);  // 232.1.1.1
        group.imr_ifindex = static_cast<int>(number(lab::ifindex("in")));
        if (::setsockopt(socket.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)) != 0 ||
            ::setsockopt(socket.get(), IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof(group)) != 0)
            throw_errno(errno, "join a group");
        sockaddr_in to = {};
        to.sin_family = AF_INET;
        to.sin_port = htons(9);
        to.sin_addr = group.imr_multiaddr;
        if (::sendto(socket.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 1)
            throw_errno(errno, "send to a group");
    });
    EXPECT_GE(counted(REASON_LOOPED), 1U);
}

// The kernel moves the tag beside the bytes before TC sees the frame; a test run has it in the bytes.
TEST_F(Live, ATagBesideTheBytesIsATag) {
    loaded_->where().run([] { lab::wait_until_running("in-far"); });
    World world;
    world.in.flags |= DEVICE_VLAN_UPPERS;
    const FrameSocket far(loaded_->where(), "in-far");
    attach(world);
    far.send(between_hosts(Vlan{.vid = 5}, {IPv4{}, UDP{}}));
    EXPECT_EQ(counted(REASON_VLAN_UPPER), 1U);
}

// ... and the length that is held against the MTU is that without it.
TEST_F(Live, ATagBesideTheBytesDoesNotMakeAFrameTooBig) {
    loaded_->where().run([] { lab::wait_until_running("in-far"); });
    FrameSocket far(loaded_->where(), "in-far");
    FrameSocket out(loaded_->where(), "out-far");
    attach({});
    const Frame longest = between_hosts(Vlan{.vid = 5}, {IPv4{}, UDP{}, Payload{1514 - 14 - 28}});
    far.send(longest);
    EXPECT_EQ(out.receive_count(1, 5s), std::vector<Frame>{longest});
    EXPECT_EQ(counted(REASON_FORWARDED), 1U);
}

// What is in the table and no test run shows, or shows whole: passed frames are counted, forwarded ones come out as
// they should, and nothing else does.
TEST_F(Live, WhatNoTestRunShows) {
    attach({});
    FrameSocket in(loaded_->where(), "in-far");
    FrameSocket out(loaded_->where(), "out-far");
    std::size_t shown = 0;
    for (const auto& each : all_cases()) {
        if (!each.is_live()) continue;
        SCOPED_TRACE(each.description);
        World world = each.world();
        loaded_->set(world);
        in.send(each.frame);
        if (each.reason == REASON_FORWARDED) {
            EXPECT_EQ(lines((each.returns ? in : out).receive_count(1, 2s)), lines({each.leaving()}));
        }
        wait_for_a_count();
        EXPECT_EQ(text(loaded_->counted()), text(expected_count(Way::live, each, world)));
        EXPECT_EQ(text(loaded_->counted_vlans()), text(expected_vlans(Way::live, each)));
        if (each.then != nullptr) each.then(world, On::tc);
        EXPECT_TRUE(loaded_->fdb() == world.fdb);
        // What came out wrongly and late meets the next case.
        for (FrameSocket* socket : {&in, &out}) EXPECT_EQ(lines(socket->receive(0ms)), "");
        shown++;
    }
    for (FrameSocket* socket : {&in, &out}) EXPECT_EQ(lines(socket->receive(20ms)), "");
    EXPECT_GE(shown, 50U);
}

}  // namespace
}  // namespace underpass::test
