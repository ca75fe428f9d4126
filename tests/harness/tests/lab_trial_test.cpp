// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A lab's promises tried on a real network: what holds is said to hold, and what is broken is found and told.
#include "lab/trial.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <stdexcept>

#include "harness/process.h"
#include "harness/test_net.h"
#include "lab/stream.h"

namespace underpass::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

IpAddress ip(const std::string& text) {
    return IpAddress::parse(text).value();
}

// Hosts a, b and c on a bridge, each with 10.9.0.N/24 and fd09::N/64, and `apart`, which has a link to nobody.
class Trial : public TestNet {
protected:
    void SetUp() override {
        TestNet::SetUp();
        if (IsSkipped()) return;
        spec_.name = "trial";
        const lab::Namespace& host = make("host");
        host.run([] {
            lab::create_bridge("br0");
            lab::set_up("br0");
        });
        for (const char* name : {"a", "b", "c"}) {
            const Wire wire = add_wire(net(), host, "br0", name, false);
            add_node(name, wire.far, wire.device);
        }
        const lab::Namespace& apart = make("apart");
        make_loose(apart);
        add_node("apart", apart, "eth0");
    }

    // An eth0 that works and leads to nobody.
    static void make_loose(const lab::Namespace& where) {
        where.run([] {
            lab::create_veth("eth0", "end");
            lab::set_up("end");
            lab::set_up("eth0");
            lab::wait_until_running("eth0");
        });
    }

    void add_node(const std::string& name, const lab::Namespace& where, const std::string& device) {
        const std::string number = std::to_string(spaces_.size() + 1);
        add_node(name, where, device, {"10.9.0." + number + "/24", "fd09::" + number + "/64"});
    }

    void add_node(const std::string& name, const lab::Namespace& where, const std::string& device,
                  const std::vector<std::string>& addresses) {
        lab::Interface described{.name = device};
        where.run([&] {
            lab::set_sysctl("ipv6/conf/" + device + "/disable_ipv6", "0");
            for (const auto& each : addresses) {
                lab::add_address(device, each);
                described.addresses.push_back(IpPrefix::parse(each).value());
            }
        });
        lab::Node node;
        node.name = name;
        node.interfaces.push_back(described);
        spec_.nodes.push_back(node);
        spaces_.emplace(name, &where);
    }

    lab::TrialWorld world() const {
        return {.space = [this](const std::string& name) -> const lab::Namespace& { return *spaces_.at(name); },
                .run_in_guest =
                    [this](const std::string& name, const std::string& command) {
                        const Finished done = run(*spaces_.at(name), {"busybox", "sh", "-c", command});
                        return lab::GuestAnswer{done.status, done.out + done.err};
                    }};
    }

    // Of one promise, all outcomes.
    std::vector<lab::Outcome> try_promise(bool reach, const std::string& from, const std::string& to) {
        spec_.expectations = {{.reach = reach, .from = from, .to = to}};
        return lab::run_tries(spec_, lab::tries(spec_), world());
    }

    const lab::Namespace& space(const std::string& name) const { return *spaces_.at(name); }

    // A rule set in nft's language.
    void filter(const std::string& name, const std::string& rule) const {
        const Finished done =
            run(space(name), {"nft",
                              "add table inet t; add chain inet t in { type filter hook input priority 0; }; "
                              "add rule inet t in " +
                                  rule});
        ASSERT_TRUE(done.ok()) << done.text();
    }

    // A namespace takes the part of a guest: busybox runs inside, and its echo server.
    Child make_guest(const std::string& name) {
        for (lab::Node& node : spec_.nodes)
            if (node.name == name) node.kind = lab::NodeKind::guest;
        Child server(space(name), {"busybox", "nc", "-ll", "-p", "7", "-e", "busybox", "cat"});
        const auto end = std::chrono::steady_clock::now() + kPatience;
        while (std::chrono::steady_clock::now() < end &&
               !space(name).run([] { return lab::stream(ip("127.0.0.1"), 7, 10, 1s); }).ok()) {
        }
        return server;
    }

    lab::Spec spec_;
    std::map<std::string, const lab::Namespace*> spaces_;
};

::testing::AssertionResult held(const std::vector<lab::Outcome>& outcomes, std::size_t count) {
    if (outcomes.size() != count) return ::testing::AssertionFailure() << outcomes.size() << " outcomes";
    for (const auto& each : outcomes)
        if (!each.held) return ::testing::AssertionFailure() << each.what.address.text() << ": " << each.told;
    return ::testing::AssertionSuccess();
}

TEST_F(Trial, PingTimesEachEcho) {
    for (const char* address : {"10.9.0.2", "fd09::2"}) {
        const lab::PingResult result = space("a").run([&] { return lab::ping(ip(address)); });
        EXPECT_TRUE(result.all_answered()) << result.reason;
        EXPECT_EQ(result.echoes.size(), 5U);
        EXPECT_EQ(result.reason, "");
        EXPECT_GT(result.best().value_or(0ns), 0ns);
        EXPECT_TRUE(
            space("a").run([&] { return lab::ping(ip(address), {.count = 3, .payload = 3000}); }).all_answered());
    }
}

TEST_F(Trial, PingTellsWhyNobodyAnswers) {
    const auto reason = [&](const char* address, std::chrono::milliseconds time) {
        return space("a").run([&] { return lab::ping(ip(address), {.timeout = time}); }).reason;
    };
    EXPECT_EQ(reason("10.9.0.99", 100ms), "no answer in 0.1 s");
    EXPECT_THAT(reason("10.9.0.98", 10s), HasSubstr("no neighbour answers"));
    EXPECT_THAT(reason("fd09::98", 10s), HasSubstr("no neighbour answers"));
    EXPECT_THAT(reason("192.0.2.1", 1s), StartsWith("no route to 192.0.2.1: Network is unreachable"));
    EXPECT_THAT(reason("fd77::1", 1s), StartsWith("no route to fd77::1"));
    filter("b", "icmp type echo-request reject with icmp type admin-prohibited");
    EXPECT_THAT(reason("10.9.0.2", 10s), StartsWith("destination unreachable, says 10.9.0.2: "));
}

TEST_F(Trial, PingTellsOfSomeThatAreLost) {
    // More than the bucket holds are dropped.
    filter("b", "icmp type echo-request limit rate over 1/minute burst 2 packets drop");
    const auto result = space("a").run([] { return lab::ping(ip("10.9.0.2"), {.timeout = 200ms}); });
    EXPECT_FALSE(result.all_answered());
    EXPECT_GT(result.answered(), 0U);
    EXPECT_THAT(result.reason, HasSubstr("of 5 echoes unanswered: no answer in 0.2 s"));
}

TEST_F(Trial, TransferBringsEveryByteBack) {
    for (const char* address : {"10.9.0.2", "fd09::2"})
        for (const std::size_t bytes : {0U, 1U, 100001U, 8U << 20U}) {
            const auto result = lab::transfer(space("a"), space("b"), ip(address), bytes, kPatience);
            EXPECT_TRUE(result.ok() && result.connected) << result.reason;
            EXPECT_EQ(result.bytes, bytes);
        }
}

TEST_F(Trial, StreamTellsWhatIsWrong) {
    const auto stream = [&](const char* address, std::chrono::milliseconds time) {
        return space("a").run([&] { return lab::stream(ip(address), 9, 1000, time); });
    };
    EXPECT_EQ(stream("10.9.0.2", 5s).reason, "no connection: Connection refused");
    EXPECT_EQ(stream("10.9.0.99", 100ms).reason, "no connection in 0.1 s");
    EXPECT_EQ(stream("192.0.2.1", 5s).reason, "no connection: Network is unreachable");
    // The handshake passes, what follows does not.
    filter("b", "tcp flags & (syn | psh) == psh drop");
    const auto result = lab::transfer(space("a"), space("b"), ip("10.9.0.2"), 1000, 500ms);
    EXPECT_TRUE(result.connected && result.accepted);
    EXPECT_EQ(result.reason, "connected, but 0 of 1000 bytes came back in 0.5 s");
    EXPECT_THROW(lab::transfer(space("a"), space("b"), ip("10.9.0.3"), 1, 1s), std::system_error);
}

TEST_F(Trial, WhatIsPromisedHolds) {
    spec_.expectations = {{.reach = true, .from = "a", .to = "b"},
                          {.reach = false, .from = "a", .to = "apart"},
                          {.reach = true, .from = "b", .to = "c"},
                          {.reach = false, .from = "apart", .to = "a"},
                          {.reach = true, .from = "c", .to = "10.9.0.1"}};
    std::size_t done = 0;
    const auto all = lab::tries(spec_);
    const auto outcomes = lab::run_tries(spec_, all, world(), [&](const lab::Outcome&) { done++; });
    EXPECT_TRUE(held(outcomes, 9));
    EXPECT_EQ(done, 9U);
    for (std::size_t i = 0; i < all.size(); i++) EXPECT_EQ(outcomes[i].what, all[i]);
    EXPECT_THAT(outcomes[0].told, HasSubstr("1.0 MiB both ways in "));
}

TEST_F(Trial, ReachingNobodyIsTold) {
    const auto outcomes = try_promise(true, "a", "apart");
    ASSERT_EQ(outcomes.size(), 2U);
    for (const auto& each : outcomes) {
        EXPECT_FALSE(each.held);
        EXPECT_THAT(each.told, HasSubstr("no neighbour answers"));
    }
}

TEST_F(Trial, AnIsolationThatIsBrokenIsTold) {
    const auto outcomes = try_promise(false, "a", "b");
    ASSERT_EQ(outcomes.size(), 2U);
    for (const auto& each : outcomes) {
        EXPECT_FALSE(each.held);
        EXPECT_THAT(each.told, HasSubstr("answers echoes ("));
        EXPECT_THAT(each.told, HasSubstr("and TCP connects"));
    }
}

TEST_F(Trial, TcpAloneBreaksAnIsolation) {
    filter("b", "icmpv6 type echo-request drop");
    filter("b", "icmp type echo-request drop");
    for (const auto& each : try_promise(false, "a", "b")) {
        EXPECT_FALSE(each.held);
        EXPECT_EQ(each.told, "a TCP connection came about");
    }
}

TEST_F(Trial, EchoesAloneAreNoReaching) {
    filter("b", "meta l4proto tcp reject with tcp reset");
    const auto outcomes = try_promise(true, "a", "b");
    ASSERT_EQ(outcomes.size(), 2U);
    for (const auto& each : outcomes) {
        EXPECT_FALSE(each.held);
        EXPECT_EQ(each.told, "answers echoes, but TCP fails: no connection: Connection refused");
    }
    // Nor is it isolated.
    for (const auto& each : try_promise(false, "a", "b")) EXPECT_FALSE(each.held);
}

TEST_F(Trial, ARuleThatDropsOneWayIsolates) {
    filter("b", "ip saddr 10.9.0.1 drop");
    filter("b", "ip6 saddr fd09::1 icmpv6 type echo-request drop");
    filter("b", "ip6 saddr fd09::1 meta l4proto tcp drop");
    EXPECT_TRUE(held(try_promise(false, "a", "b"), 2));
    EXPECT_TRUE(held(try_promise(true, "c", "b"), 2));
    // The answers to b's own come from there too.
    for (const auto& each : try_promise(false, "b", "10.9.0.1")) EXPECT_TRUE(each.held) << each.told;
}

TEST_F(Trial, ATwinIsNotTakenForTheOther) {
    // b's address is in another network too, at a node that a does not reach.
    const lab::Namespace& where = make("twin");
    make_loose(where);
    add_node("twin", where, "eth0", {"10.9.0.2/24"});
    EXPECT_TRUE(held(try_promise(false, "a", "twin"), 1));
    EXPECT_TRUE(held(try_promise(true, "a", "b"), 2));
    EXPECT_FALSE(try_promise(true, "a", "twin").front().held);
    EXPECT_FALSE(try_promise(false, "a", "b").front().held);
    // Of an address nobody can say whose it should be.
    EXPECT_TRUE(held(try_promise(true, "a", "10.9.0.2"), 1));
}

TEST_F(Trial, AnAddressThatItsNodeLacksIsTold) {
    spec_.nodes[1].interfaces[0].addresses = {IpPrefix::parse("10.9.0.3/24").value()};
    spec_.nodes[2].interfaces.clear();
    for (const bool reach : {true, false}) {
        const auto outcomes = try_promise(reach, "a", "b");
        ASSERT_EQ(outcomes.size(), 1U);
        EXPECT_FALSE(outcomes[0].held);
        EXPECT_THAT(outcomes[0].told, HasSubstr("listen at 10.9.0.3 in "));
    }
}

TEST_F(Trial, ATapIsPingedOnly) {
    spec_.nodes[1].kind = lab::NodeKind::tap;
    filter("b", "meta l4proto tcp drop");
    const auto outcomes = try_promise(true, "a", "b");
    EXPECT_TRUE(held(outcomes, 2));
    EXPECT_THAT(outcomes[0].told, ::testing::EndsWith(" ms"));
}

TEST_F(Trial, GuestsTryAndAreTried) {
    if (!run(space("a"), {"busybox", "true"}).ok()) GTEST_SKIP() << "needs busybox";
    const Child a = make_guest("a");
    const Child b = make_guest("b");
    for (const auto& [from, to] : {std::pair("a", "b"), {"a", "c"}, {"c", "a"}}) {
        const auto outcomes = try_promise(true, from, to);
        EXPECT_TRUE(held(outcomes, 2)) << from << " to " << to;
        EXPECT_THAT(outcomes.at(0).told, HasSubstr(" both ways in "));
        for (const auto& each : try_promise(false, from, to)) {
            EXPECT_FALSE(each.held);
            EXPECT_THAT(each.told, HasSubstr("and TCP connects"));
        }
    }
    for (const auto& [from, to] : {std::pair("a", "apart"), {"apart", "a"}})
        EXPECT_TRUE(held(try_promise(false, from, to), 2)) << from << " to " << to;
    filter("b", "meta l4proto tcp reject with tcp reset");
    for (const auto& each : try_promise(true, "a", "b")) {
        EXPECT_FALSE(each.held);
        EXPECT_THAT(each.told, HasSubstr("TCP fails: nc: can't connect to remote host"));
    }
}

}  // namespace
}  // namespace underpass::test
