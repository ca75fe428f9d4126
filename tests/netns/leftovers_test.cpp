// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is taken down leaves the host as it was: programs, qdiscs, pins, run-time files, offloads of the ports and of
// what is at their other ends, MTU limits; whichever way it ends, and whatever became of bridges and ports meanwhile.
// Filters, qdiscs and pins of others stay.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "facts.h"
#include "lab/ethtool.h"
#include "loader/fd.h"
#include "loader/pin.h"
#include "maps/abi.h"
#include "sync/state.h"
#include "trial.h"

namespace underpass::test {

namespace {

using std::chrono::microseconds;
using Words = std::vector<std::string>;

class LeftoversTest : public TestNet, public ::testing::WithParamInterface<const char*> {
protected:
    // The trial, and what its host and the other ends were like before.
    struct Stage {
        explicit Stage(Net& net) : trial(net, GetParam()), before(now()) {}

        Facts now() const { return facts_of(trial.host(), far()); }
        std::string changes() const { return lasting_changes(before, trial.host(), far()); }
        std::vector<const lab::Namespace*> far() const { return {&far_a, &far_b}; }

        Trial trial;
        const lab::Namespace& far_a = trial.far("a");
        const lab::Namespace& far_b = trial.far("b");
        Facts before;
    };

    static void down(const Trial& trial, Words bridges = {}) {
        bridges.insert(bridges.begin(), "down");
        const Finished finished = underpass(trial.host(), bridges);
        EXPECT_TRUE(finished.ok()) << finished.text();
        EXPECT_EQ(finished.err, "");
    }

    // Frames from A to B, and all of them fast.
    static void send_some(Trial& trial) {
        trial.introduce(trial.a(), kHostA);
        trial.introduce(trial.b(), kHostB);
        trial.b().discard();
        const auto before = trial.share();
        for (std::uint32_t number = 0; number < 100; number++) trial.a().send(Trial::numbered(kHostB, number));
        EXPECT_EQ(Trial::numbers(trial.b().receive_count(100, milliseconds(2000))).size(), 100U);
        EXPECT_EQ(trial.share().fast - before.fast, 100U);
    }

    static void kill_daemon(const Trial& trial) {
        const pid_t pid = trial.daemon();
        ::kill(pid, SIGKILL);
        for (int i = 0; i < 1000 && ::kill(pid, 0) == 0; i++) std::this_thread::sleep_for(milliseconds(2));
    }

    static bool has_program(const Facts& facts, const std::string& device) {
        return std::ranges::any_of(facts, [&device](const auto& fact) {
            const auto& [key, value] = fact;
            return key == device + " tcx ingress" || (key == device + " filters ingress") ||
                   (key == device + " xdp" && value.find("underpass") != std::string::npos);
        });
    }
};

TEST_P(LeftoversTest, NothingAfterDown) {
    Stage stage(net());
    stage.trial.up();
    send_some(stage.trial);
    const Facts with = stage.now();
    for (const char* port : {"a", "b", "c"}) EXPECT_TRUE(has_program(with, port)) << port << " has no program";
    EXPECT_TRUE(with.contains("pins"));
    EXPECT_TRUE(with.contains("run-time files"));
    down(stage.trial);
    EXPECT_EQ(stage.changes(), "");
    // And again.
    stage.trial.up();
    send_some(stage.trial);
    down(stage.trial);
    EXPECT_EQ(stage.changes(), "");
}

TEST_P(LeftoversTest, NothingAfterASignal) {
    Stage stage(net());
    for (const int signal : {SIGTERM, SIGINT}) {
        Child daemon = start_daemon(stage.trial.host(), {"--all", "--hook", GetParam()});
        send_some(stage.trial);
        daemon.signal(signal);
        const Finished finished = daemon.wait(kPatience);
        EXPECT_TRUE(finished.ok()) << finished.text();
        EXPECT_EQ(stage.changes(), "");
    }
}

TEST_P(LeftoversTest, NothingAfterADaemonThatWasKilled) {
    Stage stage(net());
    stage.trial.up();
    send_some(stage.trial);
    kill_daemon(stage.trial);
    EXPECT_TRUE(has_program(stage.now(), "a")) << "the programs of a killed daemon stay";
    down(stage.trial);
    EXPECT_EQ(stage.changes(), "");
}

TEST_P(LeftoversTest, NothingAfterAnAdoption) {
    Stage stage(net());
    stage.trial.up();
    kill_daemon(stage.trial);
    stage.trial.up();
    send_some(stage.trial);
    down(stage.trial);
    EXPECT_EQ(stage.changes(), "");
}

TEST_P(LeftoversTest, NothingOnAPortThatLeft) {
    Stage stage(net());
    const auto leave = [] { lab::clear_master("c"); };
    const auto join = [] { lab::set_master("c", "br0"); };
    stage.trial.host().run(leave);
    const Facts before = stage.now();
    stage.trial.host().run(join);

    stage.trial.up();
    EXPECT_TRUE(has_program(stage.now(), "c"));
    stage.trial.host().run(leave);
    stage.trial.catch_up();
    const Facts after = stage.now();
    EXPECT_FALSE(has_program(after, "c"));
    for (const auto& [key, value] : before)
        if (key.starts_with("c ")) {
            EXPECT_EQ(after.contains(key) ? after.at(key) : "", value) << key;
        }
    send_some(stage.trial);
    stage.trial.host().run(join);
    stage.trial.catch_up();
    EXPECT_TRUE(has_program(stage.now(), "c"));

    // While nobody looks.
    kill_daemon(stage.trial);
    stage.trial.host().run(leave);
    stage.trial.up();
    EXPECT_FALSE(has_program(stage.now(), "c"));
    down(stage.trial);
    EXPECT_EQ(lasting_changes(before, stage.trial.host(), stage.far()), "");
}

TEST_P(LeftoversTest, NothingOnPortsOfABridgeThatIsGone) {
    Stage stage(net());
    stage.trial.up();
    send_some(stage.trial);
    stage.trial.host().run([] { lab::delete_link("br0"); });
    stage.trial.catch_up();
    const Facts after = stage.now();
    for (const char* port : {"a", "b", "c", "d"}) EXPECT_FALSE(has_program(after, port)) << port;
    down(stage.trial);

    const Facts without = stage.now();
    EXPECT_FALSE(without.contains("pins")) << without.at("pins");
    EXPECT_FALSE(without.contains("run-time files")) << without.at("run-time files");
    EXPECT_EQ(without.at("processes"), "0");
    // The bridge comes again under its name, and is nobody's now.
    stage.trial.host().run([] {
        lab::create_bridge("br0");
        lab::set_up("br0");
        for (const char* port : {"a", "b", "c"}) lab::set_master(port, "br0");
    });
    for (const char* port : {"a", "b", "c"}) EXPECT_FALSE(has_program(stage.now(), port)) << port;
}

TEST_P(LeftoversTest, NothingOfADeletedPort) {
    Stage stage(net());
    stage.trial.up();
    send_some(stage.trial);
    const std::string pin = stage.trial.host().run([] { return fmt::format("tc-{}", number(lab::ifindex("c"))); });
    stage.trial.host().run([] { lab::delete_link("c"); });
    stage.trial.catch_up();
    const auto pins = stage.trial.host().run([] { return PinDirectory::of_this_namespace().names(); });
    EXPECT_EQ(std::ranges::count(pins, pin), 0);
    send_some(stage.trial);
    down(stage.trial);
    const Facts after = stage.now();
    EXPECT_FALSE(after.contains("pins"));
    EXPECT_FALSE(after.contains("run-time files"));
}

TEST_P(LeftoversTest, OneOfTwoBridges) {
    Trial trial(net(), GetParam());
    trial.host().run([] {
        lab::create_bridge("br1");
        lab::set_up("br1");
    });
    const Wire x = add_wire(net(), trial.host(), "br1", "x", trial.hook() == "xdp");
    const Wire y = add_wire(net(), trial.host(), "br1", "y", trial.hook() == "xdp");
    const std::vector<const lab::Namespace*> far = {&x.far, &y.far};
    const Facts before = facts_of(trial.host(), far);

    const Finished up = underpass(trial.host(), {"up", "br0", "br1", "--hook", trial.hook()});
    ASSERT_TRUE(up.ok()) << up.text();
    send_some(trial);
    down(trial, {"br1"});
    const Facts one = facts_of(trial.host(), far);
    for (const char* port : {"x", "y"}) EXPECT_FALSE(has_program(one, port)) << port;
    for (const auto& [key, value] : before)
        if (key.starts_with("x ") || key.starts_with("y ") || key.starts_with("br1 ") || key.starts_with("far ")) {
            EXPECT_EQ(one.contains(key) ? one.at(key) : "", value) << key;
        }
    send_some(trial);

    // One that is as it was before already is no error; one that is not there is, and nothing happens then.
    down(trial, {"br1"});
    for (const Words& words : {Words{"down", "br9"}, {"down", "br0", "br9"}}) {
        const Finished wrong = underpass(trial.host(), words);
        EXPECT_EQ(wrong.status, 1) << wrong.text();
        EXPECT_NE(wrong.err.find("br9"), std::string::npos) << wrong.text();
        EXPECT_EQ(std::ranges::count(wrong.err, '\n'), 1) << wrong.text();
    }
    send_some(trial);
    down(trial, {"br0"});
    EXPECT_EQ(lasting_changes(before, trial.host(), far), "");
}

// Somebody's filter in a clsact qdisc of their own.
TEST_P(LeftoversTest, FiltersOfOthersStay) {
    Trial trial(net(), GetParam());
    const lab::Namespace& host = trial.host();
    const std::array<bpf_insn, 2> pass = {
        {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = TC_ACT_UNSPEC}, {.code = BPF_JMP | BPF_EXIT}}};
    const Fd program(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "somebodys", "GPL", pass.data(), pass.size(), nullptr));
    ASSERT_TRUE(program);
    host.run([&program] {
        bpf_tc_hook hook = {};
        hook.sz = sizeof(hook);
        hook.ifindex = static_cast<int>(number(lab::ifindex("c")));
        hook.attach_point = BPF_TC_EGRESS;
        ASSERT_EQ(bpf_tc_hook_create(&hook), 0);
        LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program.get());
        ASSERT_EQ(bpf_tc_attach(&hook, &options), 0);
    });
    const Facts before = facts_of(host);
    ASSERT_TRUE(before.contains("c filters egress"));
    ASSERT_TRUE(before.contains("c qdisc clsact"));
    for (const bool crash : {false, true}) {
        const Finished up = underpass(host, {"up", "br0"});
        ASSERT_TRUE(up.ok()) << up.text();
        send_some(trial);
        if (crash) kill_daemon(trial);
        down(trial);
        EXPECT_EQ(lasting_changes(before, host), "");
    }
}

TEST_P(LeftoversTest, BridgeThatVanishesWhileItIsTaken) {
    Stage stage(net());
    std::mt19937 random(2);
    std::size_t refused = 0;
    // At every moment of an `up`, from before the bridge is read to after it is taken.
    const auto begin = std::chrono::steady_clock::now();
    stage.trial.up();
    const auto duration = std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now() - begin).count();
    down(stage.trial);
    const int rounds = is_emulated() ? 5 : 20;
    for (int round = 0; round < rounds && !HasFailure(); round++) {
        stage.trial.host().run([] {
            lab::create_bridge("br1");
            lab::create_veth("gone", "gone-far");
            lab::set_master("gone", "br1");
            for (const char* name : {"br1", "gone", "gone-far"}) lab::set_up(name);
        });
        const bool xdp = GetParam() == std::string("xdp");
        if (xdp) stage.trial.host().run([] { lab::make_wire_like("gone-far"); });
        Child up(stage.trial.host(), {underpass_path(), "up", "br1", "--hook", GetParam()});
        std::this_thread::sleep_for(microseconds(duration * static_cast<int>(random() % 150) / 100));
        stage.trial.host().run([] {
            lab::delete_link("br1");
            lab::delete_link("gone");
        });
        const Finished finished = up.wait(kPatience);
        if (!finished.ok()) {
            refused++;
            EXPECT_EQ(finished.status, 1);
            EXPECT_EQ(std::ranges::count(finished.err, '\n'), 1) << finished.text();
            EXPECT_TRUE(finished.err.starts_with("underpass: ")) << finished.text();
            EXPECT_NE(finished.err.find("br1"), std::string::npos) << finished.text();
        } else {
            EXPECT_EQ(finished.err, "");
        }
        down(stage.trial);
        EXPECT_EQ(stage.changes(), "") << "round " << round;
    }
    fmt::print("{}: {} of {} were refused, for the bridge was gone\n", GetParam(), refused, rounds);
}

// Neither by looking at the ports, which the daemon does all the time, nor by attaching and detaching.
TEST_P(LeftoversTest, NoDescriptorIsLost) {
    const Trial trial(net(), GetParam());
    trial.up();
    const auto daemon = trial.daemon();
    // The fewest of many looks: a command's connection comes and goes.
    const auto descriptors = [&] {
        trial.catch_up();
        auto fewest = std::numeric_limits<std::ptrdiff_t>::max();
        for (int look = 0; look < 20; look++) {
            std::error_code ignored;
            const std::filesystem::directory_iterator all(fmt::format("/proc/{}/fd", daemon), ignored);
            fewest = std::min(fewest, std::distance(begin(all), end(all)));
            std::this_thread::sleep_for(milliseconds(5));
        }
        return fewest;
    };
    const auto before = descriptors();
    EXPECT_GT(before, 0);
    for (int round = 0; round < 3; round++) {
        trial.host().run([] { lab::clear_master("c"); });
        trial.catch_up();
        trial.host().run([] { lab::set_master("c", "br0"); });
        trial.catch_up();
    }
    std::this_thread::sleep_for(std::chrono::seconds(3));
    EXPECT_EQ(descriptors(), before);
}

// Directories where our pins are, and what a crash in the midst of writing may leave.
TEST_P(LeftoversTest, RubbishWhereOurFilesAre) {
    Stage stage(net());
    const auto [pins, files] = stage.trial.host().run(
        [] { return std::pair(PinDirectory::of_this_namespace().path(), RunDirectory::of_this_namespace().path); });
    const auto litter = [&pins = pins, &files = files] {
        for (const char* name : {MAP_DEVICES, "tc-1", "tc-99999", "directory"})
            if (!std::filesystem::exists(pins / name)) std::filesystem::create_directories(pins / name / "deep");
        std::filesystem::create_directories(files);
        std::ofstream(files / "state.json.new") << "rubbish";
        for (const char* name : {"control.sock", "lock", "daemon.log"})
            if (!std::filesystem::exists(files / name)) std::ofstream(files / name) << "rubbish";
    };
    litter();
    down(stage.trial);
    EXPECT_EQ(stage.changes(), "");
    litter();
    stage.trial.up();
    send_some(stage.trial);
    litter();
    down(stage.trial);
    EXPECT_EQ(stage.changes(), "");
}

INSTANTIATE_TEST_SUITE_P(Hooks, LeftoversTest, ::testing::Values("tc", "xdp"),
                         [](const auto& test) { return test.param; });

}  // namespace

}  // namespace underpass::test
