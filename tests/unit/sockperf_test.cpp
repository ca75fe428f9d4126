// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Which cases a generator makes, and what sockperf tells of those that are its own.
#include "bench/sockperf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "bench/scenarios.h"

namespace underpass::bench {
namespace {

// Of sockperf 3.7, on a loopback device.
constexpr const char* kRoundTrips =
    "sockperf: \x1b[2;35m== version #3.7-no.git == \x1b[0m\n"
    "sockperf[CLIENT] send on:sockperf: using recvfrom() to block on socket(s)\n"
    "\n"
    "[ 0] IP = 127.0.0.1       PORT = 11111 # UDP\n"
    "sockperf: Warmup stage (sending a few dummy messages)...\n"
    "sockperf: Starting test...\n"
    "sockperf: Test end (interrupted by timer)\n"
    "sockperf: Test ended\n"
    "sockperf: [Total Run] RunTime=1.001 sec; Warm up time=400 msec; SentMessages=76809; ReceivedMessages=76808\n"
    "sockperf: ========= Printing statistics for Server No: 0\n"
    "sockperf: [Valid Duration] RunTime=0.550 sec; SentMessages=42350; ReceivedMessages=42350\n"
    "sockperf: \x1b[2;35m====> avg-rtt=12.965 (std-dev=3.689)\x1b[0m\n"
    "sockperf: # dropped messages = 0; # duplicated messages = 0; # out-of-order messages = 0\n"
    "sockperf: Summary: Round trip is 12.965 usec\n"
    "sockperf: \x1b[2;35mTotal 42350 observations\x1b[0m; each percentile contains 423.50 observations\n"
    "sockperf: ---> <MAX> observation =  151.103\n"
    "sockperf: ---> percentile 99.999 =  151.103\n"
    "sockperf: ---> percentile 99.990 =   96.622\n"
    "sockperf: ---> percentile 99.900 =   67.199\n"
    "sockperf: ---> percentile 99.000 =   17.465\n"
    "sockperf: ---> percentile 90.000 =   15.292\n"
    "sockperf: ---> percentile 75.000 =   14.531\n"
    "sockperf: ---> percentile 50.000 =   11.767\n"
    "sockperf: ---> percentile 25.000 =   11.136\n"
    "sockperf: ---> <MIN> observation =   10.866\n";

// The same without --full-rtt, from its totals on.
constexpr const char* kHalves =
    "sockperf: [Total Run] RunTime=1.001 sec; Warm up time=400 msec; SentMessages=64281; ReceivedMessages=64280\n"
    "sockperf: ========= Printing statistics for Server No: 0\n"
    "sockperf: [Valid Duration] RunTime=0.551 sec; SentMessages=37415; ReceivedMessages=37415\n"
    "sockperf: \x1b[2;35m====> avg-latency=7.350 (std-dev=32.109)\x1b[0m\n"
    "sockperf: # dropped messages = 0; # duplicated messages = 0; # out-of-order messages = 0\n"
    "sockperf: Summary: Latency is 7.350 usec\n"
    "sockperf: \x1b[2;35mTotal 37415 observations\x1b[0m; each percentile contains 374.15 observations\n"
    "sockperf: ---> <MAX> observation = 2538.978\n"
    "sockperf: ---> percentile 99.999 = 2538.978\n"
    "sockperf: ---> percentile 99.990 = 2043.790\n"
    "sockperf: ---> percentile 99.900 =   49.012\n"
    "sockperf: ---> percentile 99.000 =   11.201\n"
    "sockperf: ---> percentile 90.000 =    8.046\n"
    "sockperf: ---> percentile 75.000 =    7.456\n"
    "sockperf: ---> percentile 50.000 =    6.099\n"
    "sockperf: ---> percentile 25.000 =    5.793\n"
    "sockperf: ---> <MIN> observation =    5.533\n";

TEST(SockperfTest, TransactionsAreOfTheValidDuration) {
    const RequestResponse told = request_response_of(kRoundTrips);
    EXPECT_DOUBLE_EQ(told.seconds, 0.550);
    EXPECT_EQ(told.transactions, 42350U);
    EXPECT_DOUBLE_EQ(told.p50_us, 11.767);
    EXPECT_DOUBLE_EQ(told.p99_us, 17.465);
}

TEST(SockperfTest, WhatIsNotAllThereIsNoResult) {
    const std::string whole = kRoundTrips;
    for (const std::string& broken :
         {std::string(kHalves), std::string(), std::string("sockperf: No messages were received from the server."),
          whole.substr(0, whole.find("---> percentile 50")), whole.substr(0, whole.find("[Valid"))})
        EXPECT_THROW(request_response_of(broken), std::runtime_error) << broken;
    try {
        request_response_of("sockperf: ERROR: so it is");
        FAIL();
    } catch (const std::runtime_error& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("ERROR: so it is"));
    }
}

std::vector<std::string> made_by(GeneratorKind generator, const std::string& scenario) {
    std::vector<std::string> made;
    const Scenario named = scenarios_named({scenario}).front();
    for (const Talk& talk : named.talks)
        if (makes(generator, talk)) made.push_back(talk.name);
    return made;
}

TEST(SockperfTest, EachMakesItsOwnCases) {
    using testing::ElementsAre;
    EXPECT_THAT(made_by(GeneratorKind::sockperf, "container-to-container"),
                ElementsAre("tcp-rr", "udp-rr", "udp-small", "vxlan-udp-small", "vxlan-tcp-rr"));
    EXPECT_THAT(made_by(GeneratorKind::sockperf, "container-to-uplink"),
                ElementsAre("route-tcp-rr", "nat-tcp-rr", "nat-filter-tcp-rr"));
    EXPECT_THAT(made_by(GeneratorKind::iperf3, "container-to-container"),
                ElementsAre("tcp-bulk", "vxlan-tcp-bulk", "vxlan-tcp-bulk-8", "vxlan-unsummed-tcp-bulk",
                            "vxlan-unsummed-tcp-bulk-8"));
    EXPECT_THAT(made_by(GeneratorKind::iperf3, "nat"), ElementsAre("tcp-bulk"));
    EXPECT_THAT(made_by(GeneratorKind::pktgen, "nat"), ElementsAre("tcp-bulk", "tcp-rr", "tcp-crr"));
    EXPECT_THAT(made_by(GeneratorKind::sockperf, "l2"), ElementsAre());
}

// A talk is of a case, and frames have cases of their own.
TEST(SockperfTest, TalksAreCasesOfTheirScenario) {
    for (const Scenario& scenario : all_scenarios())
        for (const Talk& talk : scenario.talks)
            EXPECT_THAT(scenario.cases, testing::Contains(talk.name)) << scenario.name;
    EXPECT_TRUE(scenarios_named({"nat"}).front().has_frames());
    EXPECT_FALSE(scenarios_named({"container-to-uplink"}).front().has_frames());
}

}  // namespace
}  // namespace underpass::bench
