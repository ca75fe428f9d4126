// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The bench's frames as ranges: what pktgen makes of them are the same frames.
#include "bench/frame_ranges.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>

#include "bench/bpf/tag_change.h"
#include "bench/frames.h"

namespace underpass::bench {
namespace {

using ::testing::AllOf;
using ::testing::Contains;

std::vector<std::string> commands(const std::optional<pktgen::Traffic>& traffic) {
    EXPECT_TRUE(traffic);
    return traffic ? device_commands(*traffic, 0, 1) : std::vector<std::string>{};
}

TEST(FrameRanges, OfPairs) {
    const auto told = commands(ranges_of({.frame_bytes = 60, .flows = 4}, udp_frames(Side::left, 1024, 60)));
    EXPECT_THAT(told, AllOf(Contains("min_pkt_size 60"), Contains("max_pkt_size 60"),
                            Contains("src_mac 02:55:42:01:00:00"), Contains("src_mac_count 1024"),
                            Contains("dst_mac 02:55:42:02:00:00"), Contains("dst_mac_count 1024")));
    EXPECT_THAT(told, AllOf(Contains("src_min 10.1.0.0"), Contains("src_max 10.1.3.255"), Contains("dst_min 10.2.0.0"),
                            Contains("dst_max 10.2.3.255")));
    // The last one is the first that is not taken.
    EXPECT_THAT(told, AllOf(Contains("udp_src_min 1024"), Contains("udp_src_max 1028"), Contains("udp_dst_min 9"),
                            Contains("udp_dst_max 9")));
    const auto other = commands(ranges_of({.frame_bytes = 1500}, udp_frames(Side::right, 32768, 1500)));
    EXPECT_THAT(other,
                AllOf(Contains("src_mac 02:55:42:02:00:00"), Contains("src_mac_count 32768"),
                      Contains("dst_max 10.1.127.255"), Contains("min_pkt_size 1500"), Contains("udp_src_max 1024")));
}

TEST(FrameRanges, OfTaggedFrames) {
    const auto told =
        commands(ranges_of({.frame_bytes = 64, .tagged = true}, udp_frames(Side::left, 16, 60, BENCH_VID)));
    EXPECT_THAT(told, AllOf(Contains("vlan_id 10"), Contains("vlan_p 0"), Contains("min_pkt_size 64"),
                            Contains("src_min 10.1.0.0"), Contains("src_max 10.1.0.15"), Contains("dst_max 10.2.0.15"),
                            Contains("udp_dst_min 9")));
}

TEST(FrameRanges, OfRoutedFrames) {
    const auto router = mac_of(Side::left, 0xfffe);
    std::vector<frame_template> frames;
    for (std::uint16_t host = 0; host < 16; host++)
        frames.push_back(routed_frame(Side::left, host, router, address_of(Side::right, host), 60));
    const auto told = commands(ranges_of({.frame_bytes = 60, .flows = 63}, frames));
    EXPECT_THAT(told,
                AllOf(Contains("dst_mac 02:55:42:01:ff:fe"), Contains("dst_mac_count 0"), Contains("src_mac_count 16"),
                      Contains("src_max 10.1.0.15"), Contains("dst_max 10.2.0.15"), Contains("udp_src_max 1087")));
    const auto answers =
        commands(ranges_of({.frame_bytes = 60, .flows = 1024, .answers = true},
                           {routed_frame(Side::right, 0, router, address_of(Side::left, 0xfffe), 60)}));
    EXPECT_THAT(answers, AllOf(Contains("udp_src_min 9"), Contains("udp_src_max 9"), Contains("udp_dst_min 1024"),
                               Contains("udp_dst_max 2048"), Contains("dst_min 10.1.255.254"),
                               Contains("dst_max 10.1.255.254")));
}

TEST(FrameRanges, OfMarkedFrames) {
    const MacAddr from = MacAddr::parse("02:00:00:00:00:01").value(), to = MacAddr::parse("02:00:00:00:00:02").value();
    const frame_template frame = marked_frame(from, to, inet_addr("198.18.0.1"), inet_addr("198.18.0.2"), 1500);
    const auto told = commands(ranges_of({.frame_bytes = 1500, .flows = 256, .moved = true}, {frame}));
    EXPECT_THAT(told, AllOf(Contains("src_mac 02:00:00:00:00:01"), Contains("dst_mac 02:00:00:00:00:02"),
                            Contains("src_min 198.18.0.1"), Contains("dst_max 198.18.0.2"),
                            Contains("udp_src_max 1280"), Contains("max_pkt_size 1500")));
    // Where and what pktgen writes by itself.
    const auto* bytes = reinterpret_cast<const unsigned char*>(&frame);
    EXPECT_THAT(std::vector<unsigned char>(bytes + 42, bytes + 46), testing::ElementsAre(0xbe, 0x9b, 0xe9, 0x55));
}

TEST(FrameRanges, AreNotThereForEverything) {
    const TunnelFrames tunnelled = tunnel_frames(Side::right, 4, {.vni = 7});
    EXPECT_FALSE(ranges_of({.frame_bytes = 60, .outer = tunnelled.outer}, tunnelled.frames)) << "in a tunnel";
    auto frames = udp_frames(Side::left, 4, 60);
    std::swap(frames[1], frames[2]);
    EXPECT_FALSE(ranges_of({.frame_bytes = 60}, frames)) << "of addresses in another order";
    EXPECT_FALSE(ranges_of({.frame_bytes = 60}, {}));
    EXPECT_FALSE(ranges_of({.frame_bytes = 60, .flows = 64512}, udp_frames(Side::left, 1, 60)))
        << "pktgen has no range that ends at port 65535";
}

}  // namespace
}  // namespace underpass::bench
