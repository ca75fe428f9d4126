// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the kernel's packet generator is told, and what is read of what it says.
#include <gmock/gmock.h>

#include "pktgen/traffic.h"

namespace underpass::pktgen {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Range<IpAddress> range(const char* first, const char* last) {
    return {IpAddress::parse(first).value(), IpAddress::parse(last).value()};
}
Traffic plain() {
    Traffic traffic;
    traffic.destination_mac.first = MacAddr::parse("02:00:00:00:00:01").value();
    traffic.source = range("198.18.0.1", "198.18.0.1");
    traffic.destination = range("198.18.0.2", "198.18.0.9");
    return traffic;
}

TEST(Pktgen, IsToldWhatToSend) {
    Traffic traffic = plain();
    traffic.size = {64, 1514};
    traffic.destination_mac.count = 16;
    traffic.vid = 10;
    traffic.priority = 5;
    traffic.burst = 32;
    EXPECT_EQ(fault_of(traffic, 1), "");
    EXPECT_THAT(
        device_commands(traffic, 0, 1),
        ElementsAre("xmit_mode start_xmit", "count 0", "delay 0", "min_pkt_size 64", "max_pkt_size 1514",
                    "dst_mac 02:00:00:00:00:01", "dst_mac_count 16", "vlan_id 10", "vlan_p 5", "src_min 198.18.0.1",
                    "src_max 198.18.0.1", "dst_min 198.18.0.2", "dst_max 198.18.0.9", "udp_src_min 9", "udp_src_max 9",
                    "udp_dst_min 9", "udp_dst_max 9", "burst 32", "clone_skb 0"));
}

TEST(Pktgen, ThreadsShareCountAndRate) {
    Traffic traffic = plain();
    traffic.count = 10;
    traffic.rate = 7;
    for (const auto& [thread, count, rate] :
         {std::tuple(0U, "count 4", "ratep 3"), std::tuple(1U, "count 3", "ratep 2"),
          std::tuple(2U, "count 3", "ratep 2")})
        EXPECT_THAT(device_commands(traffic, thread, 3),
                    AllOf(Contains(count), Contains(rate), Contains("flag QUEUE_MAP_CPU")));
    EXPECT_THAT(device_commands(plain(), 0, 1),
                AllOf(Not(Contains(HasSubstr("ratep"))), Not(Contains(HasSubstr("QUEUE_MAP")))));
}

// The kernel counts up to the port before the last.
TEST(Pktgen, PortsAreARangeWithBothEnds) {
    Traffic traffic = plain();
    traffic.source_port = {1000, 1003};
    EXPECT_THAT(device_commands(traffic, 0, 1), AllOf(Contains("udp_src_min 1000"), Contains("udp_src_max 1004")));
    traffic.source_port = {1, 65535};
    EXPECT_THAT(fault_of(traffic, 1), HasSubstr("65534"));
    traffic.source_port = {65535, 65535};
    EXPECT_EQ(fault_of(traffic, 1), "");
}

TEST(Pktgen, Ipv6) {
    Traffic traffic = plain();
    traffic.size = {78, 78};
    traffic.source = range("2001:2::1", "2001:2::1");
    traffic.destination = range("2001:2::2", "2001:2::2");
    EXPECT_EQ(fault_of(traffic, 1), "");
    EXPECT_THAT(device_commands(traffic, 0, 1), AllOf(Contains("src6 2001:2::1"), Contains("dst6 2001:2::2")));
    traffic.destination.last = IpAddress::parse("2001:2::ff").value();
    EXPECT_THAT(fault_of(traffic, 1), HasSubstr("no ranges"));
}

TEST(Pktgen, SaysWhatMeansNothing) {
    const auto fault = [](auto change) {
        Traffic traffic = plain();
        change(traffic);
        return fault_of(traffic, 1);
    };
    EXPECT_THAT(fault([](Traffic& t) { t.destination_mac.first = {}; }), HasSubstr("nobody's address"));
    EXPECT_THAT(fault([](Traffic& t) { t.source_mac = MacRange{{{1, 0, 0, 0, 0, 0}}}; }), HasSubstr("cannot be where"));
    EXPECT_THAT(fault([](Traffic& t) { t.size = {57, 60}; }), HasSubstr("58 bytes at the least, not 57"));
    EXPECT_THAT(fault([](Traffic& t) {
                    t.vid = 10;
                    t.size = {61, 61};
                }),
                HasSubstr("62 bytes at the least"));
    EXPECT_THAT(fault([](Traffic& t) { t.size = {70, 60}; }), HasSubstr("backwards"));
    EXPECT_THAT(fault([](Traffic& t) { t.destination = range("10.0.0.2", "10.0.0.1"); }), HasSubstr("backwards"));
    EXPECT_THAT(fault([](Traffic& t) { t.destination = range("fd00::1", "fd00::1"); }), HasSubstr("all IPv4, or all"));
    EXPECT_THAT(fault([](Traffic& t) {
                    t.vid = 4095;
                    t.size = {64, 64};
                }),
                HasSubstr("1 to 4094"));
    EXPECT_THAT(fault([](Traffic& t) { t.priority = 8; }), HasSubstr("0 to 7"));
    EXPECT_THAT(fault([](Traffic& t) {
                    t.way = Traffic::Way::queue;
                    t.burst = 2;
                }),
                HasSubstr("--burst"));
    EXPECT_THAT(fault([](Traffic& t) {
                    t.way = Traffic::Way::receive;
                    t.clone = 2;
                }),
                HasSubstr("--clone"));
}

TEST(Pktgen, EachThreadHasAnEnd) {
    Traffic traffic = plain();
    traffic.count = 2;
    EXPECT_EQ(fault_of(traffic, 2), "");
    EXPECT_THAT(fault_of(traffic, 3), HasSubstr("each of the 3 threads"));
    traffic.count = 0;
    traffic.rate = 2;
    EXPECT_EQ(fault_of(traffic, 2), "");
    EXPECT_THAT(fault_of(traffic, 3), HasSubstr("each of the 3 threads"));
    traffic.rate = 1000000001;
    EXPECT_THAT(fault_of(traffic, 1), HasSubstr("1000000000 at the most"));
    traffic = plain();
    traffic.count = 10000000000;
    EXPECT_THAT(fault_of(traffic, 1), HasSubstr("9999999999 at the most"));
}

TEST(Pktgen, ResultIsRead) {
    const auto result = parse_result(
        "Current:\n     pkts-sofar: 1000  errors: 2\n     started: 1us  stopped: 9us idle: 82us\n"
        "Result: OK: 1000094(c1000012+d82) usec, 1000 (60byte,0frags)\n  999pps 0Mb/sec (479520bps) errors: 2\n");
    ASSERT_TRUE(result);
    EXPECT_EQ(result->packets, 1000U);
    EXPECT_EQ(result->errors, 2U);
    EXPECT_DOUBLE_EQ(result->seconds, 1.000094);
    for (const char* none :
         {"", "Result: Idle\n", "Result: OK: dst_mac 02:00:00:00:00:01\n",
          "Result: OK: 99999999999999999999999(c1+d1) usec, 1 (60byte,0frags)\n  9pps 0Mb/sec (1bps) errors: 0\n"})
        EXPECT_FALSE(parse_result(none)) << none;
}

TEST(Pktgen, ProgressAndDevicesAreRead) {
    EXPECT_EQ(parse_progress("Current:\n     pkts-sofar: 12345  errors: 0\n"), 12345U);
    EXPECT_EQ(parse_progress("nothing"), 0U);
    EXPECT_THAT(parse_devices("Running: eth1@0 \nStopped: eth0@0 a b \nResult: OK: add_device=eth0\n"),
                ElementsAre("eth1@0", "eth0@0", "a", "b"));
    EXPECT_THAT(parse_devices("Running: \nStopped: \nResult: NA\n"), IsEmpty());
}

}  // namespace
}  // namespace underpass::pktgen
