// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Many addresses at once, lost events, and a map that is full.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "loader/pin.h"
#include "maps/abi.h"
#include "trial.h"

namespace underpass::test {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr double kAllowedMs = 1000;

std::uint32_t scaled(std::uint32_t count) {
    return is_emulated() ? count / 20 : count;
}

double ms_since(Clock::time_point time) {
    return std::chrono::duration<double, std::milli>(Clock::now() - time).count();
}

MacAddr numbered_mac(std::uint32_t number) {
    return {{0x02, 0x01, static_cast<std::uint8_t>(number >> 24), static_cast<std::uint8_t>(number >> 16),
             static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)}};
}

Frame frame(const MacAddr& destination, const MacAddr& source) {
    return Ethernet{.destination = destination, .source = source} / IPv4{} / UDP{} / Payload{18};
}

// Each address speaks once at port A.
void speak(Trial& trial, std::uint32_t count, std::uint32_t first = 0) {
    for (std::uint32_t i = first; i < first + count; i++) trial.a().send(frame(kHostB, numbered_mac(i)));
}

std::size_t entries_of(const nlohmann::json& status) {
    return status.at("maps").at("fdb").at("entries").get<std::size_t>();
}

// Waits until the map holds what the kernel's FDB does. The milliseconds that it took from `since` on.
double in_step_after(const Trial& trial, std::size_t at_least, Clock::time_point since) {
    for (const auto end = Clock::now() + std::chrono::seconds(is_emulated() ? 120 : 20); Clock::now() < end;) {
        const auto entries = entries_of(trial.status());
        const double ms = ms_since(since);
        if (entries >= at_least && map_fdb(trial.host()) == kernel_fdb(trial.host())) return ms;
        std::this_thread::sleep_for(milliseconds(5));
    }
    ADD_FAILURE() << "the map never came in step with the kernel";
    return ms_since(since);
}

// "VmRSS": what it has now; "VmHWM": the most that it had.
std::size_t resident_mebibytes(pid_t process, const std::string& which = "VmRSS") {
    std::ifstream file(fmt::format("/proc/{}/status", process));
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(which + ":")) return std::stoul(line.substr(which.size() + 1)) / 1024;
    return 0;
}

class ScaleTest : public TestNet {};

TEST_F(ScaleTest, TenThousandAtOnce) {
    const std::uint32_t count = scaled(10000);
    Trial trial(net(), "tc");
    trial.up();
    const auto begun = Clock::now();
    speak(trial, count);
    const double speaking = ms_since(begun);
    const double ms = in_step_after(trial, count, Clock::now());
    fmt::print("{} addresses within {:.0f} ms; in step {:.0f} ms after the last\n", count, speaking, ms);
    EXPECT_EQ(trial.status().at("sync").at("overruns"), 0);
    if (!is_emulated()) {
        EXPECT_LT(ms, kAllowedMs);
    }
}

// The daemon hangs while more happens than its buffer holds; then it goes on. Frames flow from D to B meanwhile. The
// milliseconds until it is in step.
double lose_events(Trial& trial) {
    const auto before = trial.status().at("sync");
    const pid_t daemon = trial.daemon();
    ::kill(daemon, SIGSTOP);
    const struct Continue {
        pid_t pid;
        ~Continue() { ::kill(pid, SIGCONT); }
    } whatever_happens{daemon};
    // Entries that come and go, and in the end others than before.
    trial.host().run([] {
        for (int round = 0; round < (is_emulated() ? 10 : 25); round++) {
            for (std::uint32_t i = 0; i < 2000; i++) lab::set_fdb("b", numbered_mac(1000000 + i));
            for (std::uint32_t i = 0; i < 2000; i++) lab::delete_fdb("b", numbered_mac(1000000 + i));
        }
        for (std::uint32_t i = 0; i < 100; i++) lab::set_fdb("c", numbered_mac(2000000 + i));
        for (std::uint32_t i = 0; i < 100; i++) lab::delete_fdb("a", numbered_mac(i));
    });
    const auto fast_before = trial.share("d").fast;
    ::kill(daemon, SIGCONT);
    const auto resumed = Clock::now();
    while (trial.share("d").fast == fast_before && ms_since(resumed) < 60000)
        std::this_thread::sleep_for(milliseconds(1));
    const double fast_again = ms_since(resumed);
    const double ms = in_step_after(trial, 0, resumed);
    const auto sync = trial.status().at("sync");
    fmt::print(
        "events lost with {} addresses (overruns {}, resyncs {}): frames are fast again after {:.0f} ms, the map is in "
        "step after {:.0f} ms\n",
        entries_of(trial.status()), sync.at("overruns").dump(), sync.at("resyncs").dump(), fast_again, ms);
    EXPECT_GT(sync.at("overruns"), before.at("overruns")) << "no event was lost, so nothing is shown";
    EXPECT_GT(sync.at("resyncs"), before.at("resyncs"));
    return ms;
}

TEST_F(ScaleTest, LostEvents) {
    const std::uint32_t count = scaled(10000);
    Trial trial(net(), "tc");
    trial.up();
    speak(trial, count);
    in_step_after(trial, count, Clock::now());
    trial.introduce(trial.d(), kHostD);
    trial.introduce(trial.b(), kHostB);
    Stream stream(trial.d(), kHostD, kHostB, microseconds(200));
    const double ms = lose_events(trial);
    if (!is_emulated()) {
        EXPECT_LT(ms, kAllowedMs);
    }
}

TEST_F(ScaleTest, HundredThousand) {
    const std::uint32_t count = scaled(100000);
    Trial trial(net(), "tc");
    trial.up();
    trial.introduce(trial.d(), kHostD);
    trial.introduce(trial.b(), kHostB);
    const auto mebibytes = resident_mebibytes(trial.daemon());
    Stream stream(trial.d(), kHostD, kHostB, microseconds(1000));
    const auto begun = Clock::now();
    speak(trial, count);
    const double speaking = ms_since(begun);
    const double ms = in_step_after(trial, count, Clock::now());
    const auto share = trial.share("d");
    const auto sync = trial.status().at("sync");
    fmt::print(
        "{} addresses within {:.0f} ms: in step {:.0f} ms after the last, {} overruns; the daemon has {} MiB, {} "
        "before; of {} frames of two old hosts, one each ms, {} went by the kernel because the maps were not fresh\n",
        count, speaking, ms, sync.at("overruns").dump(), resident_mebibytes(trial.daemon()), mebibytes, share.all,
        share.stale);
    const auto pins = trial.host().run([] { return PinDirectory::of_this_namespace().path(); });
    fmt::print("{}", run(trial.host(), {"bpftool", "map", "show", "pinned", pins / MAP_FDB}).out);

    ::kill(trial.daemon(), SIGKILL);
    const auto restarted = Clock::now();
    trial.up();
    const double up = ms_since(restarted);
    const double again = in_step_after(trial, count, restarted);
    fmt::print(
        "a daemon that adopts them: `up` returns after {:.0f} ms, in step after {:.0f} ms; {} frames more were not "
        "fresh\n",
        up, again, trial.share("d").stale - share.stale);
    EXPECT_TRUE(trial.status().at("maps").at("adopted").get<bool>());

    if (!is_emulated()) lose_events(trial);
    const auto flushed = Clock::now();
    trial.host().run([] { lab::flush_port_fdb("a"); });
    const double gone = in_step_after(trial, 0, flushed);
    fmt::print("all flushed by one command: in step after {:.0f} ms; the daemon had {} MiB at the most\n", gone,
               resident_mebibytes(trial.daemon(), "VmHWM"));
    EXPECT_LT(entries_of(trial.status()), 200U);
}

// A dump is many messages, and entries that go while it is read must not hide others.
TEST_F(ScaleTest, ReadWhileEntriesComeAndGo) {
    const std::uint32_t count = scaled(30000);
    Trial trial(net(), "tc");
    trial.up();
    speak(trial, count);
    in_step_after(trial, count, Clock::now());
    std::atomic<bool> ended = false;
    std::jthread churn([&] {
        trial.host().run([&] {
            for (std::uint32_t i = 0; i < count; i += 2) lab::delete_fdb("a", numbered_mac(i));
        });
        ended = true;
    });
    int rounds = 0;
    for (; !ended; rounds++) {
        ::kill(trial.daemon(), SIGKILL);
        trial.up();
    }
    churn.join();
    EXPECT_GE(rounds, 1);
    in_step_after(trial, 0, Clock::now());
}

TEST_F(ScaleTest, FullMap) {
    constexpr std::uint32_t kSize = 64, kCount = 200, kGone = 40;
    Trial trial(net(), "tc");
    const struct File {
        std::filesystem::path path = std::filesystem::temp_directory_path() / name_for_this_test("config.yaml", 60);
        ~File() { std::filesystem::remove(path); }
    } file;
    std::ofstream(file.path) << fmt::format("bridges: [{{name: br0, hook: tc}}]\nfdb_size: {}\n", kSize);
    const Child daemon = start_daemon(trial.host(), {"-c", file.path});
    trial.introduce(trial.b(), kHostB);
    speak(trial, kCount);
    trial.catch_up();
    const auto left_out = [&] { return trial.status().at("maps").at("fdb").at("left_out").get<std::size_t>(); };
    const auto expect_full = [&] {
        EXPECT_EQ(entries_of(trial.status()), kSize);
        EXPECT_EQ(map_fdb(trial.host()).size(), kSize);
        EXPECT_EQ(left_out() + kSize, kernel_fdb(trial.host()).size());
        EXPECT_EQ(trial.status().at("sync").at("failures"), 0) << "full is no failure";
    };
    expect_full();

    // Frames to all of them arrive, whether they are in the map or not.
    const auto expect_all_reached = [&](std::uint32_t first, std::uint32_t count) {
        trial.a().discard();
        for (std::uint32_t i = first; i < first + count; i++) trial.b().send(frame(numbered_mac(i), kHostB));
        EXPECT_EQ(trial.a().receive_count(count, milliseconds(is_emulated() ? 20000 : 3000)).size(), count);
    };
    expect_all_reached(0, kCount);
    const auto status = trial.status();
    bool counted = false;
    for (const auto& port : status.at("bridges").at(0).at("ports"))
        if (port.at("name") == "b") counted = port.at("slow").contains("destination-unknown");
    EXPECT_TRUE(counted) << status.dump(2);

    // What goes makes room for what was left out.
    const auto left_out_before = left_out();
    const auto in_map = map_fdb(trial.host());
    std::uint32_t gone = 0;
    trial.host().run([&] {
        for (std::uint32_t i = 0; i < kCount && gone < kGone; i++) {
            const FdbKey key{lab::ifindex("br0"), Vid::none, numbered_mac(i)};
            if (!in_map.contains(key)) continue;
            lab::delete_fdb("a", key.mac);
            gone++;
        }
    });
    EXPECT_EQ(gone, kGone);
    trial.catch_up();
    expect_full();
    EXPECT_EQ(left_out() + kGone, left_out_before);

    trial.host().run([] { lab::flush_port_fdb("a"); });
    speak(trial, kSize / 2, 500);
    trial.catch_up();
    EXPECT_EQ(map_fdb(trial.host()), kernel_fdb(trial.host())) << "there is room for all again";
    EXPECT_EQ(left_out(), 0U);
    expect_all_reached(500, kSize / 2);
}

}  // namespace

}  // namespace underpass::test
