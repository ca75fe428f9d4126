// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The daemon dies, hangs, comes back and is replaced by another build, while frames flow at a steady rate: not one is
// lost, doubled or out of order.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "loader/map.h"
#include "loader/pin.h"
#include "maps/control.h"
#include "netlink/dump.h"
#include "sync/state.h"
#include "trial.h"

namespace underpass::test {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr milliseconds kBeyondTimeout(1100);  // the heartbeat's second, and some

void rest(milliseconds time) {
    std::this_thread::sleep_for(time);
}

class LifeCycleTest : public TestNet, public ::testing::WithParamInterface<const char*> {
protected:
    static constexpr const char* kBridge = "br0";

    // Frames from A to B, one each 100 us.
    static microseconds interval() { return microseconds(is_emulated() ? 5000 : 100); }

    static void introduce(Trial& trial) {
        trial.introduce(trial.a(), kHostA);
        trial.introduce(trial.b(), kHostB);
        trial.b().discard();
    }

    // `most_lost`: more than these must not be missing.
    static void expect_all(Trial& trial, std::uint32_t sent, std::size_t most_lost = 0) {
        auto arrived = Trial::numbers(trial.b().receive(milliseconds(is_emulated() ? 3000 : 200)));
        std::size_t disorder = 0;
        for (std::size_t i = 0; i < arrived.size(); i++) disorder += arrived[i] == i ? 0 : 1;
        fmt::print("{} frames sent, {} arrived, {} not in their place\n", sent, arrived.size(), disorder);
        // Where frames queue up, one that goes by the kernel is overtaken by a fast one that is taken from the queue
        // with it.
        if (!is_emulated()) {
            EXPECT_EQ(disorder, 0U);
        }
        std::ranges::sort(arrived);
        EXPECT_EQ(std::ranges::adjacent_find(arrived), arrived.end()) << "one came twice";
        EXPECT_GE(arrived.size() + most_lost, sent);
        EXPECT_LE(arrived.size(), sent);
    }

    static Trial::Share share_for(const Trial& trial, milliseconds time) {
        const auto before = trial.share();
        rest(time);
        const auto after = trial.share();
        return {after.fast - before.fast, after.stale - before.stale, after.all - before.all};
    }

    static void expect_fast(const Trial& trial) {
        const auto share = share_for(trial, milliseconds(300));
        EXPECT_GT(share.all, 0U);
        EXPECT_GE(share.fast * 100, share.all * 99) << share.fast << " of " << share.all;  // a pulse may be among them
    }

    static void expect_all_left_to_kernel(const Trial& trial) {
        const auto share = share_for(trial, milliseconds(300));
        EXPECT_GT(share.all, 0U);
        EXPECT_EQ(share.fast, 0U) << "maps are believed that nobody keeps fresh";
        EXPECT_EQ(share.stale, share.all);
    }
};

TEST_P(LifeCycleTest, KilledAndStartedAgain) {
    Trial trial(net(), GetParam());
    trial.up();
    introduce(trial);
    Stream stream(trial.a(), kHostA, kHostB, interval());
    expect_fast(trial);
    ::kill(trial.daemon(), SIGKILL);
    rest(kBeyondTimeout);
    expect_all_left_to_kernel(trial);
    trial.up();
    EXPECT_TRUE(trial.status().at("maps").at("adopted").get<bool>());
    expect_fast(trial);
    expect_all(trial, stream.stop());
}

TEST_P(LifeCycleTest, KilledAndAnotherBuildStartedAtOnce) {
    Trial trial(net(), GetParam());
    trial.up();
    introduce(trial);
    const auto version = trial.status().at("daemon").at("version");
    Stream stream(trial.a(), kHostA, kHostB, interval());
    rest(milliseconds(200));
    const auto before = trial.share();
    ::kill(trial.daemon(), SIGKILL);
    const Finished up = run(trial.host(), {UNDERPASS_NEXT_PROGRAM, "up", kBridge, "--hook", trial.hook()});
    ASSERT_TRUE(up.ok()) << up.text();
    rest(milliseconds(200));
    const auto after = trial.share();
    EXPECT_NE(trial.status().at("daemon").at("version"), version);
    EXPECT_TRUE(trial.status().at("maps").at("adopted").get<bool>());
    if (!is_emulated()) {
        EXPECT_EQ(after.all - after.fast, before.all - before.fast) << "there was a gap in which frames were slow";
    }
    expect_all(trial, stream.stop());
}

// As a package's upgrade does it: the program file is replaced while its daemon runs, which is then told to reload.
TEST_P(LifeCycleTest, ReplacedByAnotherBuild) {
    Trial trial(net(), GetParam());
    const struct Directory {
        std::filesystem::path path = std::filesystem::temp_directory_path() / name_for_this_test("upgrade", 60);
        Directory() { std::filesystem::create_directories(path); }
        ~Directory() { std::filesystem::remove_all(path); }
    } directory;
    const auto program = directory.path / "underpass";
    std::filesystem::copy_file(underpass_path(), program, std::filesystem::copy_options::overwrite_existing);
    const Finished up = run(trial.host(), {program, "up", kBridge, "--hook", trial.hook()});
    ASSERT_TRUE(up.ok()) << up.text();
    introduce(trial);
    const pid_t daemon = trial.daemon();
    const auto version = trial.status().at("daemon").at("version");

    Stream stream(trial.a(), kHostA, kHostB, interval());
    rest(milliseconds(200));
    const auto next = directory.path / "next";
    std::filesystem::copy_file(UNDERPASS_NEXT_PROGRAM, next, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::rename(next, program);
    // True: what it knows is younger than the signal.
    const auto reload = [&] {
        const auto told = Clock::now();
        ::kill(daemon, SIGHUP);
        for (const auto end = told + kPatience; Clock::now() < end;) {
            rest(milliseconds(10));
            const auto since = std::chrono::duration_cast<milliseconds>(Clock::now() - told);
            try {
                if (milliseconds(trial.status().at("maps").at("age_ms").get<std::int64_t>()) < since) return true;
            } catch (const std::runtime_error&) {
                // Asked in the moment between the two.
            }
        }
        return false;
    };
    const auto before = trial.share();
    ASSERT_TRUE(reload());
    EXPECT_EQ(trial.daemon(), daemon) << "the service manager's process stays";
    EXPECT_NE(trial.status().at("daemon").at("version"), version);
    EXPECT_TRUE(trial.status().at("maps").at("adopted").get<bool>());
    const auto after = trial.share();
    if (!is_emulated()) {
        EXPECT_EQ(after.all - after.fast, before.all - before.fast) << "there was a gap in which frames were slow";
    }
    expect_fast(trial);

    // A build that lays its maps out in another way does not adopt them: it brings its own, and changes over. The
    // daemon may beat, and so write its own number again, before it hears the signal: then it is told once more.
    bool adopted = true;
    for (int attempt = 0; adopted && attempt < 10; attempt++) {
        trial.host().run([] {
            const Map<std::uint32_t, control> map(PinDirectory::of_this_namespace().open(MAP_CONTROL).value());
            control record = map.lookup(0).value();
            record.abi++;
            EXPECT_FALSE(map.update(0, record));
        });
        ASSERT_TRUE(reload());
        adopted = trial.status().at("maps").at("adopted").get<bool>();
    }
    EXPECT_FALSE(adopted);
    // Its maps are new, so the host at B has to be seen first. A's own frames go on all the while.
    trial.introduce(trial.b(), kHostB);
    expect_fast(trial);
    expect_all(trial, stream.stop());
}

TEST_P(LifeCycleTest, TakenAway) {
    Trial trial(net(), GetParam());
    const auto is_running = [&] {
        return trial.host().run([] { return std::filesystem::exists(RunDirectory::of_this_namespace().path); });
    };
    for (const bool by_signal : {false, true}) {
        trial.up();
        introduce(trial);
        const pid_t daemon = trial.daemon();
        Stream stream(trial.a(), kHostA, kHostB, interval());
        rest(milliseconds(200));
        if (by_signal) {
            ::kill(daemon, SIGTERM);
            for (const auto end = Clock::now() + kPatience; Clock::now() < end && is_running();) rest(milliseconds(5));
        } else {
            const Finished down = underpass(trial.host(), {"down"});
            EXPECT_TRUE(down.ok()) << down.text();
        }
        rest(milliseconds(200));
        // A veth drops what waits in its queue when its program goes; here nothing waits, but where all is slow. A
        // kernel without tcx stops a device's transmission for the moment in which a clsact qdisc goes.
        const std::size_t lost_with_the_hook = trial.hook() == "xdp" ? 256 : 8;
        expect_all(trial, stream.stop(), is_emulated() ? lost_with_the_hook : 0);

        EXPECT_FALSE(is_running());
        trial.host().run([] {
            EXPECT_FALSE(PinDirectory::of_this_namespace().exists());
            NetlinkSocket route(NETLINK_ROUTE);
            dump_links(route, [](Event&& event) {
                const Link& link = std::get<LinkChanged>(event).link;
                EXPECT_EQ(link.xdp_program, 0U) << link.name;
            });
        });
        const Finished programs = run(trial.host(), {"bpftool", "net", "show"});
        EXPECT_TRUE(programs.ok()) << programs.text();
        EXPECT_EQ(programs.out.find("underpass"), std::string::npos) << programs.out;
    }
}

// Nobody hears what happens while the daemon hangs. When it goes on, its maps are not to be believed before they have
// what it missed.
TEST_P(LifeCycleTest, Hung) {
    Trial trial(net(), GetParam());
    trial.up();
    introduce(trial);
    const pid_t daemon = trial.daemon();
    const struct Continue {
        pid_t pid;
        ~Continue() { ::kill(pid, SIGCONT); }
    } whatever_happens{daemon};
    FrameSocket* here = &trial.b();
    FrameSocket* there = &trial.c();
    for (int round = 0; round < 4; round++) {
        Stream fast(trial.a(), kHostA, kHostB, interval());
        expect_fast(trial);
        ::kill(daemon, SIGSTOP);
        rest(kBeyondTimeout);
        expect_all_left_to_kernel(trial);
        fast.stop();

        trial.host().run([there] { lab::set_fdb(there->device(), kHostB, lab::FdbKind::fixed); });
        rest(milliseconds(is_emulated() ? 500 : 20));  // what was on its way has arrived
        here->discard();
        there->discard();
        Stream stream(trial.a(), kHostA, kHostB, interval());
        rest(milliseconds(50));
        ::kill(daemon, SIGCONT);
        rest(milliseconds(200));
        trial.catch_up();
        rest(milliseconds(50));
        const std::uint32_t sent = stream.stop();
        EXPECT_EQ(Trial::numbers(Trial::await(*there, sent)).size(), sent);
        EXPECT_EQ(Trial::numbers(here->receive(milliseconds(0))).size(), 0U) << "frames went where the host was before";
        trial.introduce(*there, kHostB);
        std::swap(here, there);
    }
    Stream fast(trial.a(), kHostA, kHostB, interval());
    expect_fast(trial);
}

INSTANTIATE_TEST_SUITE_P(Hooks, LifeCycleTest, ::testing::Values("tc", "xdp"),
                         [](const auto& test) { return test.param; });

}  // namespace

}  // namespace underpass::test
