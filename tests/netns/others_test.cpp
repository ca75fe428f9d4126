// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What others on the host see of the frames, they see as without Underpass: captures, and a container's own programs.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/pkt_cls.h>

#include <array>
#include <csignal>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "foreign_xdp.h"
#include "lab/link.h"
#include "loader/fd.h"
#include "trial.h"

namespace underpass::test {

namespace {

constexpr std::uint32_t kFrames = 20;
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);  // linux/bpf.h of 6.1 does not have it

class CaptureTest : public TestNet {
protected:
    static void introduce_both(Trial& trial) {
        trial.introduce(trial.a(), kHostA);
        trial.introduce(trial.b(), kHostB);
        trial.b().discard();
    }

    // Frames from A to B: how many of them came out.
    static std::size_t arriving(Trial& trial) {
        for (std::uint32_t number = 0; number < kFrames; number++) trial.a().send(Trial::numbered(kHostB, number));
        return Trial::numbers(Trial::await(trial.b(), kFrames)).size();
    }

    // The same, and how many of them went fast.
    static std::pair<std::size_t, std::size_t> arriving_and_fast(Trial& trial) {
        const std::uint64_t before = trial.share().fast;
        const std::size_t arrived = arriving(trial);
        return {arrived, trial.share().fast - before};
    }

    static Child capture(const Trial& trial, const std::string& device) {
        Child tcpdump(trial.host(), {"tcpdump", "-Z", "root", "--immediate-mode", "-lnni", device, "udp"});
        if (!tcpdump.wait_for("listening on", kPatience)) throw std::runtime_error("tcpdump: " + tcpdump.err());
        return tcpdump;
    }

    // How many frames it has shown, once nothing more is to come.
    static std::ptrdiff_t captured(Child& tcpdump) {
        std::this_thread::sleep_for(milliseconds(is_emulated() ? 2000 : 200));
        tcpdump.signal(SIGINT);
        std::istringstream shown(tcpdump.wait(kPatience).out);
        std::ptrdiff_t frames = 0;
        for (std::string line; std::getline(shown, line);) frames += line.find("UDP") != std::string::npos ? 1 : 0;
        return frames;
    }
};

class OthersTest : public CaptureTest, public ::testing::WithParamInterface<const char*> {};

// The bridge is promiscuous then, and the kernel shows it each frame that it forwards.
TEST_P(OthersTest, CaptureOnTheBridge) {
    Trial trial(net(), GetParam());
    trial.up();
    introduce_both(trial);
    EXPECT_EQ(arriving_and_fast(trial), std::pair(std::size_t{kFrames}, std::size_t{kFrames}));

    Child tcpdump = capture(trial, "br0");
    trial.catch_up();
    EXPECT_EQ(arriving(trial), kFrames);
    EXPECT_EQ(captured(tcpdump), kFrames);

    trial.catch_up();
    introduce_both(trial);
    EXPECT_EQ(arriving_and_fast(trial), std::pair(std::size_t{kFrames}, std::size_t{kFrames})) << "it is over";
}

// Where a frame leaves, TC shows it to captures; a frame that leaves by XDP no capture on the host sees.
TEST_F(CaptureTest, OnAPort) {
    Trial trial(net(), "tc");
    const lab::Namespace& far = trial.far("b");
    const MacAddr b = far.run([] { return lab::mac("b"); });  // frames for the device itself go straight into it
    trial.up();
    trial.introduce(trial.a(), kHostA);
    trial.introduce(trial.b(), b);
    Child tcpdump = capture(trial, "b");
    trial.catch_up();
    trial.b().discard();
    for (std::uint32_t number = 0; number < kFrames; number++) trial.a().send(Trial::numbered(b, number));
    EXPECT_EQ(Trial::numbers(Trial::await(trial.b(), kFrames)).size(), kFrames);
    EXPECT_EQ(captured(tcpdump), kFrames);
}

// Port b is left to the kernel, or no more: what makes no events is looked at once a second, port by port.
void await_left(const Trial& trial, bool left) {
    const auto is_left = [&trial] {
        const auto status = trial.status();
        for (const auto& port : status.at("bridges").at(0).at("ports"))
            if (port.at("name") == "b")
                return port.at("why").get<std::string>().find("generic mode") != std::string::npos;
        throw std::runtime_error("there is no port b");
    };
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (is_left() != left && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(milliseconds(50));
    ASSERT_EQ(is_left(), left) << trial.status().dump(2);
}

// A frame that was redirected is not shown to a program in generic mode at its end.
TEST_P(OthersTest, ContainersXdpProgramInGenericMode) {
    Trial trial(net(), GetParam());
    const lab::Namespace& far = trial.far("b");
    const auto drops = [&far](std::optional<ForeignXdp>& program) {
        program.emplace(far, "b", XDP_FLAGS_SKB_MODE, XDP_DROP);
    };
    std::optional<ForeignXdp> program;
    drops(program);
    const Finished up = underpass(trial.host(), {"up", "--all", "--hook", GetParam()});
    ASSERT_TRUE(up.ok()) << up.text();
    trial.introduce(trial.a(), kHostA);
    EXPECT_EQ(arriving(trial), 0U) << "it was there before";

    program.reset();
    await_left(trial, false);
    introduce_both(trial);
    EXPECT_EQ(arriving_and_fast(trial), std::pair(std::size_t{kFrames}, std::size_t{kFrames}));

    drops(program);
    await_left(trial, true);
    EXPECT_EQ(arriving(trial), 0U) << "it came later";
}

// A port whose frames somebody's tcx program sees is the kernel's, and what it lets through goes no further along the
// programs: ours sees the source before it, so that a host that moves there is followed at once all the same.
TEST_P(OthersTest, HostThatMovesBehindSomebodysTcxProgram) {
    Trial trial(net(), GetParam());
    const std::array<bpf_insn, 2> ends = {
        {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = TC_ACT_OK}, {.code = BPF_JMP | BPF_EXIT}}};
    const Fd program(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "somebodys", "GPL", ends.data(), ends.size(), nullptr));
    ASSERT_TRUE(program);
    const Fd link = trial.host().run([&program] {
        return Fd(bpf_link_create(program.get(), static_cast<int>(number(lab::ifindex("c"))), kTcxIngress, nullptr));
    });
    if (!link) GTEST_SKIP() << "this kernel has no tcx";
    const Finished up = underpass(trial.host(), {"up", "--all", "--hook", GetParam()});
    ASSERT_TRUE(up.ok()) << up.text();
    EXPECT_NE(up.text().find("TC filters or programs of others"), std::string::npos) << up.text();
    trial.introduce(trial.a(), kHostA);
    const OnOneCpu here;
    std::size_t followed = 0;
    for (int move = 0; move < 20; move++) {
        trial.introduce(trial.b(), kHostB);
        EXPECT_EQ(arriving_and_fast(trial), std::pair(std::size_t{kFrames}, std::size_t{kFrames}));
        trial.b().discard();
        trial.c().discard();
        trial.c().send(Ethernet{.destination = kHostA, .source = kHostB} / IPv4{} / UDP{} / Payload{18});
        for (std::uint32_t number = 0; number < kFrames; number++) trial.a().send(Trial::numbered(kHostB, number));
        followed += Trial::numbers(Trial::await(trial.c(), kFrames)).size();
        EXPECT_EQ(Trial::numbers(trial.b().receive(milliseconds(0))).size(), 0U) << "it has left";
    }
    EXPECT_EQ(followed, 20 * kFrames);
}

INSTANTIATE_TEST_SUITE_P(Hooks, OthersTest, ::testing::Values("tc", "xdp"),
                         [](const auto& test) { return test.param; });

}  // namespace

}  // namespace underpass::test
