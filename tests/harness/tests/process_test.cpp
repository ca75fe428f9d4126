// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Children, and that nothing of a test outlives it.
#include "harness/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <csignal>

#include <chrono>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "harness/test_net.h"
#include "loader/pin.h"

namespace underpass::test {
namespace {

using namespace std::chrono_literals;

class Process : public TestNet {};

TEST_F(Process, RunsInTheNamespaceAndTellsHowItEnded) {
    const auto& host = make("host");
    host.run([] { lab::create_bridge("br-here"); });
    const Finished both = run(host, {"sh", "-c", "ip -o link show br-here; echo wrong >&2; exit 3"});
    EXPECT_EQ(both.status, 3);
    EXPECT_THAT(both.out, ::testing::HasSubstr("br-here"));
    EXPECT_EQ(both.err, "wrong\n");
    EXPECT_EQ(run(host, {"sh", "-c", "kill -TERM $$"}).status, 128 + SIGTERM);
    EXPECT_EQ(run(host, {"/no/such/program"}).status, 127);
}

TEST_F(Process, EndsWhatTakesTooLong) {
    const auto& host = make("host");
    const auto begin = std::chrono::steady_clock::now();
    const Finished late = run(host, {"sh", "-c", "echo begun; exec sleep 60"}, 2s);
    EXPECT_TRUE(late.timed_out);
    EXPECT_EQ(late.out, "begun\n");
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
}

TEST_F(Process, AChildIsKnownByItsPidAndGoesWithItsObject) {
    const auto& host = make("host");
    pid_t pid = 0;
    {
        const Child child(host, {"sh", "-c", "echo ready; exec sleep 60"});
        pid = child.pid();
        EXPECT_TRUE(child.wait_for("ready", 5s));
        EXPECT_FALSE(child.wait_for("never", 50ms));
        EXPECT_TRUE(child.running());
    }
    EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(Process, MuchOutputHoldsNobodyUp) {
    const Finished much = run(make("host"), {"sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"});
    EXPECT_TRUE(much.ok());
    EXPECT_EQ(much.out.size(), 1000000U);
}

TEST_F(Process, NothingStaysInANamespaceThatGoes) {
    auto own = std::make_unique<Net>();
    const lab::Namespace& host = own->make("host");
    const std::string path = host.path();
    // A daemon that leaves its parent, as `underpass up` starts one.
    const Finished started = run(host, {"sh", "-c", "setsid sleep 60 >/dev/null 2>&1 & echo $!"});
    const pid_t pid = std::stoi(started.out);
    EXPECT_EQ(::kill(pid, 0), 0);
    own.reset();
    EXPECT_FALSE(std::filesystem::exists(path));
    // Killed, it may be a zombie until its new parent looks.
    const auto end = std::chrono::steady_clock::now() + 5s;
    while (std::filesystem::exists("/proc/" + std::to_string(pid) + "/exe") && std::chrono::steady_clock::now() < end)
        ::usleep(1000);
    std::error_code gone;
    EXPECT_TRUE(std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/exe", gone).empty());
}

TEST_F(Process, TheDaemonRunsUntilItIsTold) {
    const auto& host = make("host");
    host.run([] { lab::create_bridge("br0"); });
    Child daemon = start_daemon(host);
    const Finished up = underpass(host, {"up", "br0"});
    EXPECT_TRUE(up.ok()) << up.text();
    EXPECT_THAT(underpass(host, {"status", "--json"}).out, ::testing::HasSubstr(std::to_string(daemon.pid())));
    EXPECT_THROW(start_daemon(host), std::runtime_error);
    daemon.signal(SIGTERM);
    const Finished end = daemon.wait(kPatience);
    EXPECT_TRUE(end.ok()) << end.text();
}

TEST_F(Process, WhatAKilledDaemonLeftGoesWithTheTest) {
    auto own = std::make_unique<Net>();
    const lab::Namespace& host = own->make("host");
    host.run([] { lab::create_bridge("br0"); });
    const std::string inode = std::to_string(host.run([] { return network_namespace_inode(); }));
    ASSERT_TRUE(underpass(host, {"up", "br0"}).ok());
    EXPECT_TRUE(std::filesystem::exists("/run/underpass/" + inode));
    EXPECT_TRUE(std::filesystem::exists("/sys/fs/bpf/underpass/" + inode));
    own.reset();
    EXPECT_FALSE(std::filesystem::exists("/run/underpass/" + inode));
    EXPECT_FALSE(std::filesystem::exists("/sys/fs/bpf/underpass/" + inode));
}

TEST_F(Process, NamesAreTheTestsOwn) {
    EXPECT_EQ(name_for_this_test("host", 40), "Process-NamesAreTheTestsOwn-host");
    EXPECT_EQ(name_for_this_test("host", 20).size(), 20U);
    EXPECT_NE(name_for_this_test("host", 20), name_for_this_test("hosu", 20));
    EXPECT_LE(name_for_this_test("", 15).size(), 15U);
}

}  // namespace
}  // namespace underpass::test
