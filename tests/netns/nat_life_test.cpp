// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// TCP connections behind masquerade and a stateful filter, from their first packet to their last: many short ones, busy
// ones for longer than conntrack would remember an idle one, and those that live while the daemon dies.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <netinet/in.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <map>
#include <string>
#include <thread>

#include "crowd.h"
#include "nat_fixture.h"
#include "trial.h"

namespace underpass::test {

namespace {

using Clock = std::chrono::steady_clock;

constexpr milliseconds kBeyondTimeout(1500);  // the heartbeat's second, and some

void rest(milliseconds time) {
    std::this_thread::sleep_for(time);
}

std::string text(const CrowdOutcome& outcome) {
    std::string all = fmt::format("{} closed, {} turns, {} of the slowest, longest turn {} ms", outcome.closed,
                                  outcome.turns, outcome.least_turns, outcome.longest_turn.count());
    for (const auto& [how, count] : outcome.wrong) all += fmt::format("; {}: {}", how, count);
    return all;
}

class NatLifeTest : public NatFixture {
protected:
    static void expect_all(const CrowdOutcome& outcome, std::size_t connections) {
        EXPECT_EQ(outcome.closed, connections) << text(outcome);
        EXPECT_TRUE(outcome.wrong.empty()) << text(outcome);
    }

    // How many there are of each kind, client's ports aside, once none is about to change.
    std::map<std::string, std::size_t> conntrack() const {
        std::map<std::string, std::size_t> kinds;
        for (int i = 0; i < 50; i++) {
            kinds.clear();
            bool changing = false;
            for (const Connection& each : router_->run(list_connections)) {
                changing |= each.protocol == IPPROTO_TCP && each.tcp_state != TCP_CONNTRACK_ESTABLISHED &&
                            each.tcp_state != TCP_CONNTRACK_TIME_WAIT;
                kinds[fmt::format("protocol {} {} > {}:{}, {}:{} > {}, {} port, status {:#x}, state {}", each.protocol,
                                  each.original.source, each.original.destination, each.original.destination_port,
                                  each.reply.source, each.reply.source_port, each.reply.destination,
                                  each.original.source_port == each.reply.destination_port ? "same" : "other",
                                  each.status, each.tcp_state)]++;
            }
            if (!changing) break;
            rest(milliseconds(100));
        }
        return kinds;
    }

    // Of the frames that come in by the client's port in this while, those that are translated fast.
    double share_for(milliseconds time) const {
        const auto count = [this] {
            const auto status = ask("status");
            std::uint64_t fast = 0, all = 0;
            for (const auto& bridge : status.at("bridges"))
                for (const auto& port : bridge.at("ports")) {
                    if (port.at("name") != "c") continue;
                    fast += port.at("translated").at("packets").get<std::uint64_t>();
                    all += port.at("fast").at("packets").get<std::uint64_t>();
                    for (const auto& reason : port.at("slow")) all += reason.at("packets").get<std::uint64_t>();
                }
            return std::pair(static_cast<double>(fast), static_cast<double>(all));
        };
        const auto before = count();
        rest(time);
        const auto after = count();
        return (after.first - before.first) / std::max(after.second - before.second, 1.0);
    }
    double share_in_time(double wanted) const {
        double share = 0;
        for (int i = 0; i < 20 && share < wanted; i++) share = share_for(milliseconds(is_emulated() ? 3000 : 500));
        return share;
    }

    // TCP segments that the client or the server sent again.
    std::uint64_t sent_again() const {
        std::uint64_t segments = 0;
        for (const lab::Namespace* each : {client_, server_})
            segments +=
                std::stoull(run(*each, {"sh", "-c", "nstat -asz TcpRetransSegs | awk \"/Tcp/ {print \\$2}\""}).out);
        return segments;
    }

    // Flows from the client of which frames went fast.
    std::size_t fast_flows() const {
        const Finished flows = underpass(*router_, {"flows", "--json"});
        const auto list = nlohmann::json::parse(flows.out).at("flows");
        return static_cast<std::size_t>(std::ranges::count_if(list, [](const auto& flow) {
            return flow.at("source") == "10.1.0.2" && flow.at("packets").template get<std::uint64_t>() > 0;
        }));
    }
};

// Most are over before they are prepared for the fast path, some soon after, and some live all along: none is lost, and
// conntrack knows the same of them in the end.
TEST_P(NatLifeTest, ShortAndLongConnections) {
    nft(kMasquerade);
    const std::vector<std::uint16_t> ports = {5001, 5002, 5003, 5004, 5005};
    const std::size_t part = is_emulated() ? 20 : 1;
    const CrowdPlan long_ones = {.connections = 100 / (is_emulated() ? 5U : 1U),
                                 .at_once = 100,
                                 .bytes = 3000,
                                 .turns = 0,
                                 .pause = milliseconds(is_emulated() ? 200 : 20)};
    const CrowdPlan some = {.connections = 500 / part, .at_once = 10, .bytes = 2000, .turns = 50};
    const CrowdPlan short_ones = {.connections = 10000 / part, .at_once = 50, .bytes = 200, .turns = 1};
    const auto live = [&] {
        router_->run(forget_connections);
        const EchoServer server(*server_, ports);
        Crowd first(*client_, "10.2.0.2", ports, long_ones);
        rest(milliseconds(is_emulated() ? 5000 : 500));
        const auto begun = Clock::now();
        Crowd second(*client_, "10.2.0.2", ports, some);
        Crowd third(*client_, "10.2.0.2", ports, short_ones);
        expect_all(third.finish(), short_ones.connections);
        expect_all(second.finish(), some.connections);
        fmt::print("{:.1f} s\n", std::chrono::duration<double>(Clock::now() - begun).count());
        std::string known;
        for (const auto& [kind, count] : conntrack()) known += fmt::format("{} of {}\n", count, kind);
        const CrowdOutcome outcome = first.stop();
        expect_all(outcome, long_ones.connections);
        EXPECT_GE(outcome.least_turns, 5U);
        for (const auto& [kind, count] : conntrack()) known += fmt::format("then {} of {}\n", count, kind);
        EXPECT_EQ(server.broken(), 0U);
        return known;
    };
    const std::string expected = live();
    fmt::print("{}", expected);
    up();
    const std::string now = live();
    EXPECT_EQ(now, expected);
    EXPECT_GE(routed("c", "translated"), is_emulated() ? 100U : 5000U) << ask("status").dump(2);
    EXPECT_GE(routed("up", "translated"), is_emulated() ? 100U : 5000U);
}

// Conntrack is told often enough that a connection is alive; and a server that gets another address is found.
TEST_P(NatLifeTest, BusyForLongerThanTheTimeout) {
    nft(kMasquerade);
    shell(*router_, "sysctl -q -w net.netfilter.nf_conntrack_tcp_timeout_established=20");
    up();
    const EchoServer server(*server_, {5001});
    Crowd crowd(*client_, "10.2.0.2", {5001},
                {.connections = 3, .at_once = 3, .turns = 0, .pause = milliseconds(is_emulated() ? 20 : 2)});
    rest(milliseconds(is_emulated() ? 3000 : 500));
    for (int second = 0; second < 30; second++) {
        const std::size_t turns = crowd.turns();
        const std::uint64_t fast = routed("c", "translated"), back = routed("up", "translated");
        if (second == 3) shell(*server_, "ip link set s address 02:00:00:00:99:01; ping -n -q -c 1 -W 5 10.2.0.1");
        rest(milliseconds(1000));
        // It is not known there at first.
        if (second == 3) continue;
        EXPECT_GE(crowd.turns() - turns, is_emulated() ? 3U : 100U) << "in second " << second;
        EXPECT_GE(routed("c", "translated") - fast, is_emulated() ? 3U : 100U) << "in second " << second;
        EXPECT_GE(routed("up", "translated") - back, is_emulated() ? 3U : 100U) << "in second " << second;
    }
    EXPECT_NE(answer(*router_, {"ip", "neigh", "show", "10.2.0.2"}).find("02:00:00:00:99:01"), std::string::npos);
    const auto count = [this](std::uint8_t state) {
        return std::ranges::count_if(router_->run(list_connections),
                                     [state](const Connection& each) { return each.tcp_state == state; });
    };
    EXPECT_EQ(count(TCP_CONNTRACK_ESTABLISHED), 3);
    const CrowdOutcome outcome = crowd.stop();
    expect_all(outcome, 3);
    fmt::print("{}; {} segments sent again\n", text(outcome), sent_again());
    EXPECT_LE(outcome.longest_turn, milliseconds(is_emulated() ? 10000 : 2000));
    rest(milliseconds(is_emulated() ? 2000 : 1000));
    EXPECT_EQ(count(TCP_CONNTRACK_TIME_WAIT), 3);
    EXPECT_EQ(server.broken(), 0U);
}

// What they say meanwhile goes by the kernel, or as before if another daemon is there at once.
TEST_P(NatLifeTest, DaemonKilledUnderLiveConnections) {
    nft(kMasquerade);
    up();
    const std::vector<std::uint16_t> ports = {5001, 5002, 5003, 5004};
    const EchoServer server(*server_, ports);
    const std::size_t connections = is_emulated() ? 100 : 1000;
    const double wanted = is_emulated() ? 0.3 : 0.9;  // one frame a second of each is the kernel's
    Crowd crowd(*client_, "10.2.0.2", ports,
                {.connections = connections,
                 .at_once = connections,
                 .turns = 0,
                 .turns_at_first = 20,  // so many that it is prepared for the fast path
                 .pause = milliseconds(is_emulated() ? 500 : 100),
                 .opening = milliseconds(is_emulated() ? 50 : 2)});
    rest(milliseconds(is_emulated() ? 8000 : 2500));
    const double before = share_in_time(wanted);
    EXPECT_GE(before, wanted) << ask("status").dump(2);
    const std::uint64_t again = sent_again();
    double share = 0;
    for (const milliseconds pause : {kBeyondTimeout, milliseconds(0)}) {
        SCOPED_TRACE(pause.count());
        const std::size_t turns = crowd.turns();
        ::kill(ask("status").at("daemon").at("pid").get<pid_t>(), SIGKILL);
        rest(pause);
        if (pause.count() > 0) {
            EXPECT_GT(crowd.turns(), turns + connections / 2);
        }
        up();
        EXPECT_TRUE(ask("status").at("maps").at("adopted").get<bool>());
        rest(kBeyondTimeout);
        share = share_in_time(wanted);
        EXPECT_GE(share, wanted) << ask("status").dump(2);
    }
    fmt::print("{} segments sent again at first, {} since\n", again, sent_again() - again);
    const std::size_t flows = fast_flows();
    EXPECT_GE(flows, connections);
    const auto established = std::ranges::count_if(router_->run(list_connections), [](const Connection& each) {
        return each.tcp_state == TCP_CONNTRACK_ESTABLISHED;
    });
    EXPECT_EQ(established, static_cast<std::ptrdiff_t>(connections));
    const CrowdOutcome outcome = crowd.stop();
    expect_all(outcome, connections);
    EXPECT_EQ(server.broken(), 0U);
    fmt::print("{:.0f} % fast before, {:.0f} % in the end, {} flows; {}\n", before * 100, share * 100, flows,
               text(outcome));
    for (const auto& [kind, count] : conntrack()) {
        EXPECT_NE(kind.find(fmt::format("state {}", int{TCP_CONNTRACK_TIME_WAIT})), std::string::npos)
            << count << " of " << kind;
    }
}

INSTANTIATE_TEST_SUITE_P(Hooks, NatLifeTest, ::testing::Values("tc", "xdp"),
                         [](const auto& test) { return test.param; });

}  // namespace

}  // namespace underpass::test
