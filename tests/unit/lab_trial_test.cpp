// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Which tries a lab's promises become, and how what a guest's ping prints is read.
#include "lab/trial.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace underpass::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

Node node(const std::string& name, const std::vector<std::string>& prefixes) {
    Interface device{.name = "eth0"};
    for (const auto& each : prefixes) device.addresses.push_back(IpPrefix::parse(each).value());
    Node made;
    made.name = name;
    made.interfaces.push_back(device);
    return made;
}

// a and b have both families, v4 one, none has no address.
Spec lab_of(const std::vector<Expectation>& expectations) {
    Spec spec;
    spec.name = "t";
    spec.nodes = {node("a", {"10.0.0.1/24", "fd00::1/64"}), node("b", {"10.0.0.2/24", "fd00::2/64"}),
                  node("v4", {"10.0.0.3/24"}), node("none", {})};
    spec.expectations = expectations;
    return spec;
}

Expectation reach(const std::string& from, const std::string& to) {
    return {.reach = true, .from = from, .to = to};
}

Expectation isolate(const std::string& from, const std::string& to) {
    return {.reach = false, .from = from, .to = to};
}

// "a -> 10.0.0.2", "a -x 10.0.0.2"
std::vector<std::string> texts(const Spec& spec) {
    std::vector<std::string> all;
    for (const Try& each : tries(spec)) all.push_back(each.from + (each.reach ? " -> " : " -x ") + each.address.text());
    return all;
}

TEST(Tries, ANodeIsEachOfItsAddresses) {
    const Spec spec = lab_of({reach("a", "b"), isolate("b", "a")});
    EXPECT_THAT(texts(spec), ElementsAre("a -> 10.0.0.2", "a -> fd00::2", "b -x 10.0.0.1", "b -x fd00::1"));
    EXPECT_EQ(tries(spec)[0], (Try{true, "a", "b", IpAddress::parse("10.0.0.2").value()}));
}

TEST(Tries, AddressesOfAllDevicesCount) {
    Spec spec = lab_of({reach("a", "b")});
    Bridge bridge;
    bridge.name = "br0";
    bridge.addresses = {IpPrefix::parse("10.9.0.2/24").value()};
    spec.nodes[1].bridges.push_back(bridge);
    EXPECT_THAT(texts(spec), ElementsAre("a -> 10.0.0.2", "a -> fd00::2", "a -> 10.9.0.2"));
}

TEST(Tries, AnAddressIsItselfWhoeverHasIt) {
    const Spec spec = lab_of({reach("a", "10.0.0.2"), isolate("a", "192.0.2.9")});
    EXPECT_THAT(texts(spec), ElementsAre("a -> 10.0.0.2", "a -x 192.0.2.9"));
    EXPECT_EQ(tries(spec)[0].to, "10.0.0.2");
}

TEST(Tries, NobodyReachesItself) {
    EXPECT_THAT(texts(lab_of({reach("a", "a"), reach("a", "10.0.0.1"), isolate("a", "a")})), IsEmpty());
    // Two tenants with the same addresses: a cannot ask the other a, its own address answers.
    Spec spec = lab_of({isolate("a", "twin")});
    spec.nodes.push_back(node("twin", {"10.0.0.1/24", "10.0.0.9/24"}));
    EXPECT_THAT(texts(spec), ElementsAre("a -x 10.0.0.9"));
}

TEST(Tries, AddressesThatNeverLeaveANodeAreLeftOut) {
    Spec spec = lab_of({reach("a", "b")});
    Interface lo{.name = "lo"};
    for (const char* each : {"127.0.0.1/8", "::1/128", "fe80::7/64", "10.255.0.2/32"})
        lo.addresses.push_back(IpPrefix::parse(each).value());
    spec.nodes[1].interfaces = {lo};
    EXPECT_THAT(texts(spec), ElementsAre("a -> 10.255.0.2"));
    EXPECT_THAT(texts(lab_of({reach("a", "224.0.0.1"), reach("a", "ff02::1"), isolate("a", "0.0.0.0")})), IsEmpty());
}

TEST(Tries, ReachingIsTriedInTheFamiliesThatBothHave) {
    EXPECT_THAT(texts(lab_of({reach("v4", "b")})), ElementsAre("v4 -> 10.0.0.2"));
}

TEST(Tries, IsolationIsTriedInEveryFamily) {
    EXPECT_THAT(texts(lab_of({isolate("v4", "b")})), ElementsAre("v4 -x 10.0.0.2", "v4 -x fd00::2"));
}

TEST(Tries, APromiseIsNotDroppedForWantOfAnAddress) {
    EXPECT_THAT(texts(lab_of({reach("v4", "fd00::2"), reach("none", "v4"), isolate("none", "v4")})),
                ElementsAre("v4 -> fd00::2", "none -> 10.0.0.3", "none -x 10.0.0.3"));
}

TEST(GuestPing, AllAnswered) {
    const PingResult read = read_guest_ping(
        "PING 10.0.0.2 (10.0.0.2): 56 data bytes\n"
        "64 bytes from 10.0.0.2: seq=0 ttl=64 time=1.500 ms\n"
        "64 bytes from 10.0.0.2: seq=1 ttl=64 time=0.051 ms\n"
        "\n--- 10.0.0.2 ping statistics ---\n"
        "2 packets transmitted, 2 packets received, 0% packet loss\n"
        "round-trip min/avg/max = 0.051/0.775/1.500 ms\n",
        2);
    EXPECT_TRUE(read.all_answered());
    EXPECT_EQ(read.echoes[0], 1500us);
    EXPECT_EQ(read.best(), 51us);
    EXPECT_EQ(read.reason, "");
}

TEST(GuestPing, OnesThatAreMissingOrThereTwice) {
    const PingResult read = read_guest_ping(
        "64 bytes from 10.0.0.2: seq=1 ttl=64 time=1.0 ms\r\n"
        "64 bytes from 10.0.0.2: seq=1 ttl=64 time=2.0 ms (DUP!)\r\n"
        "64 bytes from 10.0.0.2: seq=7 ttl=64 time=2.0 ms\r\n"
        "\r\n--- 10.0.0.2 ping statistics ---\r\n"
        "3 packets transmitted, 1 packets received, 1 duplicates, 66% packet loss\r\n",
        3);
    EXPECT_EQ(read.answered(), 1U);
    EXPECT_EQ(read.echoes[1], 1ms);
    EXPECT_EQ(read.reason, "3 packets transmitted, 1 packets received, 1 duplicates, 66% packet loss");
}

TEST(GuestPing, NoneAnswered) {
    EXPECT_EQ(read_guest_ping("PING\n\n--- 10.0.0.9 ping statistics ---\n"
                              "5 packets transmitted, 0 packets received, 100% packet loss\n",
                              5)
                  .reason,
              "no answer");
    EXPECT_EQ(read_guest_ping("ping: sendto: Network is unreachable\n", 5).reason,
              "ping: sendto: Network is unreachable");
    EXPECT_EQ(read_guest_ping("", 5).reason, "ping printed nothing");
    EXPECT_EQ(read_guest_ping("", 5).echoes.size(), 5U);
}

// Without a network: what goes wrong in a try is its outcome.
TEST(RunTries, OutcomesHaveTheOrderOfTheTriesWhateverHappens) {
    Spec spec = lab_of({isolate("a", "b"), reach("b", "v4"), reach("tap", "v4")});
    spec.nodes.push_back(node("tap", {"10.0.0.8/24"}));
    spec.nodes.back().kind = NodeKind::tap;
    const auto all = tries(spec);
    const TrialWorld world{
        .space = [](const std::string& name) -> const Namespace& { throw std::runtime_error("no " + name); },
        .run_in_guest = {}};
    std::size_t done = 0;
    const auto outcomes = run_tries(spec, all, world, [&](const Outcome&) { done++; });
    ASSERT_EQ(outcomes.size(), all.size());
    EXPECT_EQ(done, all.size());
    for (std::size_t i = 0; i < all.size(); i++) {
        EXPECT_EQ(outcomes[i].what, all[i]);
        EXPECT_FALSE(outcomes[i].held);
    }
    EXPECT_EQ(outcomes[0].told, "no a");
    EXPECT_EQ(outcomes[2].told, "no b");
    EXPECT_EQ(outcomes[3].told, "tap is a tap: nothing can be tried from it");
}

TEST(RunTries, WhatTheCallbackThrowsEndsThem) {
    const Spec spec = lab_of({reach("a", "b"), reach("b", "a"), isolate("a", "b")});
    const TrialWorld world{
        .space = [](const std::string& name) -> const Namespace& { throw std::runtime_error("no " + name); },
        .run_in_guest = {}};
    const auto stop = [](const Outcome&) { throw std::logic_error("enough"); };
    EXPECT_THROW(run_tries(spec, tries(spec), world, stop), std::logic_error);
}

}  // namespace
}  // namespace underpass::lab
