// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The builder against bytes that were written down by hand or computed elsewhere (RFC 1071's rule, tcpdump's verdict).
#include "harness/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace underpass::test {
namespace {

// The one's complement sum of a right header, its checksum included, is all ones.
std::uint16_t sum(const Frame& frame, std::size_t from, std::size_t size, std::uint32_t start = 0) {
    std::uint32_t total = start;
    for (std::size_t i = 0; i < size; i++) total += std::uint32_t{frame.at(from + i)} << (i % 2 == 0 ? 8 : 0);
    while (total >> 16 != 0) total = (total & 0xffff) + (total >> 16);
    return static_cast<std::uint16_t>(total);
}

TEST(Frame, IsWhatIsWrittenDown) {
    const Frame frame = Ethernet{.destination = mac(2), .source = mac(1)} /
                        IPv4{.source = "10.0.0.1", .destination = "10.0.0.2"} / UDP{.sport = 1000, .dport = 53} /
                        Bytes{{0xab, 0xcd, 0xef}};
    const Frame expected = {0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01,
                            0x08, 0x00,                                                              // Ethernet
                            0x45, 0x00, 0x00, 0x1f, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x26, 0xcc,  // IPv4
                            0x0a, 0x00, 0x00, 0x01, 0x0a, 0x00, 0x00, 0x02,                          //
                            0x03, 0xe8, 0x00, 0x35, 0x00, 0x0b, 0x4c, 0xea,                          // UDP
                            0xab, 0xcd, 0xef};
    EXPECT_EQ(difference(expected, frame), "");
}

TEST(Frame, TagsStandBeforeTheTypeOfWhatFollows) {
    const Frame frame = Ethernet{.destination = mac(2), .source = mac(1)} / Vlan{.vid = 100, .tpid = 0x88a8} /
                        Vlan{.vid = 5, .pcp = 3, .dei = true} / IPv6{};
    const Frame tags(frame.begin() + 12, frame.begin() + 22);
    EXPECT_EQ(tags, (Frame{0x88, 0xa8, 0x00, 0x64, 0x81, 0x00, 0x70, 0x05, 0x86, 0xdd}));
    EXPECT_EQ(frame.size(), 22U + 40U);
}

TEST(Frame, ChecksumsAreRight) {
    const Frame udp = Ethernet{} / IPv4{.options = {1, 1, 1, 1}} / UDP{} / Payload{33};
    EXPECT_EQ(sum(udp, 14, 24), 0xffff);
    EXPECT_EQ(sum(udp, 38, 41, sum(udp, 26, 8) + 17 + 41), 0xffff);
    const Frame tcp = Ethernet{} / IPv6{} / TCP{} / Payload{10};
    EXPECT_EQ(sum(tcp, 54, 30, sum(tcp, 22, 32) + 6 + 30), 0xffff);
    const Frame options = Ethernet{} / IPv4{} / TCP{.options = {1, 1, 1, 0}} / Payload{3};
    EXPECT_EQ(options[46], 0x60);  // the data offset
    EXPECT_EQ(sum(options, 34, 27, sum(options, 26, 8) + 6 + 27), 0xffff);
    const Frame ping = Ethernet{} / IPv4{} / ICMP{.rest = 0x12340001} / Payload{7};
    EXPECT_EQ(sum(ping, 34, 15), 0xffff);
    const Frame solicitation = Ethernet{} / IPv6{} / ICMP{.type = 135} / Payload{16};
    EXPECT_EQ(sum(solicitation, 54, 24, sum(solicitation, 22, 32) + 58 + 24), 0xffff);
}

TEST(Frame, AFieldSetByHandStays) {
    const Frame frame = Ethernet{.type = 0x1234} / IPv4{.header_words = 7, .total_length = 9, .checksum = 0xbeef} /
                        UDP{.length = 3, .checksum = 0} / PadTo{60};
    EXPECT_EQ(Frame(frame.begin() + 12, frame.begin() + 18), (Frame{0x12, 0x34, 0x47, 0x00, 0x00, 0x09}));
    EXPECT_EQ(Frame(frame.begin() + 24, frame.begin() + 26), (Frame{0xbe, 0xef}));
    EXPECT_EQ(Frame(frame.begin() + 38, frame.begin() + 42), (Frame{0, 3, 0, 0}));
    EXPECT_EQ(frame.size(), 60U);
}

TEST(Frame, PaddingIsInNoLength) {
    const Frame frame = Ethernet{} / IPv4{} / UDP{} / Payload{2} / PadTo{60};
    EXPECT_EQ(frame.at(17), 30);
    EXPECT_EQ(frame.size(), 60U);
    EXPECT_EQ(Frame(Ethernet{} / Payload{100} / PadTo{60}).size(), 114U);
}

TEST(Frame, DifferenceSaysWhere) {
    const Frame one = Ethernet{} / Payload{4};
    Frame other = one;
    EXPECT_EQ(difference(one, other), "");
    other[15] = 0x77;
    EXPECT_THAT(difference(one, other), ::testing::HasSubstr("from byte 15 on"));
    other = one;
    other.push_back(0);
    EXPECT_THAT(difference(one, other), ::testing::HasSubstr("from byte 18 on"));
}

TEST(Frame, RefusesWhatIsNoAddress) {
    EXPECT_THROW((void)Frame(Ethernet{} / IPv4{.source = "10.0.0"}), std::invalid_argument);
}

}  // namespace
}  // namespace underpass::test
