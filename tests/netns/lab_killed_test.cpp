// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A lab whose building or taking away was interrupted or killed at any moment, and two commands at once: in the end
// nothing is left, by itself or by the next `down`.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "lab/record.h"
#include "lab_fixture.h"
#include "trial.h"

namespace underpass::test {

namespace {

using ::testing::HasSubstr;

constexpr std::size_t kHosts = 60;

class LabKilledTest : public LabCommandTest {
protected:
    // Stopped (so that nothing changes while the test looks), when it has begun its step of that number and a moment
    // has gone by.
    static void stop_at(const Child& child, std::size_t step, milliseconds later = milliseconds(0)) {
        ASSERT_TRUE(child.wait_for(fmt::format("[{}/", step), lab_patience())) << child.out() << child.err();
        std::this_thread::sleep_for(later);
        child.signal(SIGSTOP);
        siginfo_t info = {};
        ::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WSTOPPED | WEXITED | WNOWAIT);
        ASSERT_EQ(info.si_code, CLD_STOPPED) << "it has ended already: " << child.out() << child.err();
    }

    static bool is_complete(const std::string& lab) {
        const auto record = lab::read_record(lab);
        return record && record->complete;
    }

    // `up`, which gets this signal at that moment. False: it was ready by then.
    bool interrupt(const Words& up, const std::string& name, int signal, std::size_t step, milliseconds later) {
        SCOPED_TRACE(fmt::format("signal {} at step {} and {} ms", signal, step, later.count()));
        Child child = start_lab(up);
        stop_at(child, step, later);
        if (HasFatalFailure()) return false;
        const auto spaces = spaces_of(name);
        EXPECT_GE(spaces.size(), std::min(step, kHosts + 1) - 1);
        const bool complete = is_complete(name);
        child.signal(signal);
        child.signal(SIGCONT);
        const Finished finished = child.wait(lab_patience());
        if (complete) {
            EXPECT_TRUE(finished.ok() || signal == SIGKILL) << finished.text();
        } else if (signal == SIGKILL) {
            EXPECT_EQ(finished.status, 128 + SIGKILL);
        } else {
            EXPECT_EQ(finished.status, kInterrupted) << finished.text();
            EXPECT_THAT(finished.err, HasSubstr("underpass: interrupted; what was begun is taken back\n"));
            expect_nothing_left(name, spaces);
            if (finished.status == kInterrupted) return true;
        }
        // What is half there is told, and not taken for the lab.
        if (!complete && signal == SIGKILL) {
            wait_for_lock(name);
            expect_half_told(up, name);
        }
        lab_ok({"down", name});
        expect_nothing_left(name, spaces);
        return !complete;
    }

    // A daemon that is about to be executed still has what its parent had, the lock too.
    static void wait_for_lock(const std::string& name) {
        for (int i = 0; i < 1000; i++) {
            try {
                const lab::LabDirectory mine(name);
                return;
            } catch (const std::runtime_error&) {
                std::this_thread::sleep_for(milliseconds(10));
            }
        }
    }

    void expect_half_told(const Words& up, const std::string& name) {
        expect_refused(up, kFailed, {name + " was never finished", "underpass lab down " + name});
        expect_refused({"test", name}, kFailed, {"never finished", "underpass lab down " + name});
        EXPECT_EQ(lab_json({"show", name}).at("labs").at(0).at("state"), "unfinished");
    }
};

TEST_F(LabKilledTest, InTheMiddleOfUp) {
    const std::string name = lab_name();
    const Words up = {"up", file_of(star(kHosts)), "--name", name};
    const std::vector<int> signals =
        is_emulated() ? std::vector{SIGINT, SIGKILL} : std::vector{SIGINT, SIGTERM, SIGKILL};
    for (const int signal : signals)
        for (const std::size_t step : {1U, 20U, 70U, 110U}) {
            EXPECT_TRUE(interrupt(up, name, signal, step, milliseconds(0)));
            if (HasFatalFailure()) return;
        }
    for (const int signal : signals)  // behind the last step: addresses and waiting
        interrupt(up, name, signal, 2 * kHosts + 2, milliseconds(5));
}

// The daemon is a process of its own, which may not have begun to be one.
TEST_F(LabKilledTest, WhileTheDaemonStarts) {
    const std::string name = lab_name();
    const Words up = {"up", file_of(star(kHosts)), "--name", name, "--accelerate", "tc"};
    constexpr std::size_t kDaemonStep = 2 * kHosts + 3;
    const int slower = is_emulated() ? 20 : 1;
    std::size_t hits = 0;
    for (const int signal : {SIGINT, SIGKILL})
        for (const int later : is_emulated() ? std::vector{0, 5, 20} : std::vector{0, 1, 2, 3, 5, 8, 12, 20, 40}) {
            hits += interrupt(up, name, signal, kDaemonStep, milliseconds(later * slower)) ? 1 : 0;
            if (HasFatalFailure()) return;
        }
    EXPECT_GE(hits, 4U) << "too late nearly every time";
}

TEST_F(LabKilledTest, InTheMiddleOfDown) {
    const std::string name = lab_name();
    const std::string file = file_of(star(kHosts));
    std::size_t hits = 0;
    for (const int later : is_emulated() ? std::vector{100, 400} : std::vector{3, 6, 9, 12, 16, 20, 30}) {
        SCOPED_TRACE(fmt::format("{} ms", later));
        lab_ok({"up", file, "--name", name, "--accelerate", "tc"});
        const auto spaces = spaces_of(name);
        Child down = start_lab({"down", name});
        std::this_thread::sleep_for(milliseconds(later));
        down.signal(SIGKILL);
        down.wait(lab_patience());
        const bool left = std::filesystem::exists(lab::directory_of(name));
        hits += left ? 1 : 0;
        const Finished again = lab({"down", name});
        EXPECT_EQ(again.ok(), left) << again.text();
        expect_nothing_left(name, spaces);
    }
    EXPECT_GE(hits, 1U) << "too late every time";
}

// Nothing but the directory: killed before a word was written, or when nearly all was gone.
TEST_F(LabKilledTest, WithNothingButTheLock) {
    const std::string name = lab_name();
    for (const char* word : {"down", "up"}) {
        std::filesystem::create_directories(lab::directory_of(name));
        std::ofstream(lab::directory_of(name) / "lock").close();
        lab_ok(word == std::string("up") ? Words{"up", "isolated", "--name", name} : Words{"down", name});
        lab({"down", name});
        expect_nothing_left(name, {});
    }
}

TEST_F(LabKilledTest, TwoAtOnce) {
    const std::string name = lab_name();
    const Words up = {"up", file_of(star(kHosts)), "--name", name};
    for (int round = 0; round < (is_emulated() ? 1 : 3); round++) {
        Child one = start_lab(up), other = start_lab(up);
        std::vector<Finished> ended;
        ended.push_back(one.wait(lab_patience()));
        ended.push_back(other.wait(lab_patience()));
        std::size_t built = 0;
        for (const Finished& each : ended) {
            if (each.ok()) {
                built += each.out.find("nothing was changed") == std::string::npos ? 1 : 0;
            } else {
                EXPECT_EQ(each.status, kFailed);
                EXPECT_THAT(each.err, HasSubstr("another command is at work on the lab " + name));
            }
        }
        EXPECT_EQ(built, 1U) << ended[0].text() << ended[1].text();
        EXPECT_EQ(lab_json({"show", name}).at("labs").at(0).at("state"), "up");
        const auto spaces = spaces_of(name);
        EXPECT_EQ(spaces.size(), kHosts + 1);
        // And two that take it away.
        Child down = start_lab({"down", name}), too = start_lab({"down", name});
        const Finished first = down.wait(lab_patience()), second = too.wait(lab_patience());
        EXPECT_TRUE(first.ok() || second.ok()) << first.text() << second.text();
        const auto told = ::testing::AnyOf(HasSubstr("another command is at work"), HasSubstr("no lab"), "");
        EXPECT_THAT(first.err, told);
        EXPECT_THAT(second.err, told);
        expect_nothing_left(name, spaces);
    }
}

}  // namespace

}  // namespace underpass::test
