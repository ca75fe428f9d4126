// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a guest boots from, and the form of requests and answers: bytes, without a machine.
#include "lab/initramfs.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "lab/guest_image.h"

namespace underpass::lab {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// One entry as a reader of the format sees it.
struct Read {
    unsigned long mode = 0, links = 0;
    std::string name, content;
};

std::vector<Read> read_archive(const std::string& archive) {
    std::vector<Read> entries;
    std::size_t at = 0;
    while (at < archive.size()) {
        const auto field = [&](std::size_t n) { return std::stoul(archive.substr(at + 6 + 8 * n, 8), nullptr, 16); };
        EXPECT_EQ(archive.substr(at, 6), "070701") << at;
        EXPECT_EQ(at % 4, 0U);
        const std::size_t size = field(6), name_size = field(11);
        const std::size_t content = (at + 110 + name_size + 3) / 4 * 4;
        EXPECT_EQ(archive.at(at + 110 + name_size - 1), '\0');
        entries.push_back({field(1), field(4), archive.substr(at + 110, name_size - 1), archive.substr(content, size)});
        at = (content + size + 3) / 4 * 4;
    }
    EXPECT_EQ(at, archive.size());
    return entries;
}

TEST(Initramfs, OneEntryToTheByte) {
    EXPECT_EQ(cpio_archive({{"a/file", S_IFREG | 0755, "12345"}}), std::string("070701"
                                                                               "00000001"
                                                                               "000081ED"
                                                                               "00000000"
                                                                               "00000000"
                                                                               "00000001"
                                                                               "00000000"
                                                                               "00000005"
                                                                               "00000000"
                                                                               "00000000"
                                                                               "00000000"
                                                                               "00000000"
                                                                               "00000007"
                                                                               "00000000"
                                                                               "a/file\0"
                                                                               "\0\0\0"
                                                                               "12345"
                                                                               "\0\0\0"
                                                                               "070701"
                                                                               "00000000"
                                                                               "00000000"
                                                                               "00000000"
                                                                               "00000000"
                                                                               "00000001"
                                                                               "00000000"
                                                                               "00000000"
                                                                               "00000000"
                                                                               "00000000"
                                                                               "00000000"
                                                                               "00000000"
                                                                               "0000000B"
                                                                               "00000000"
                                                                               "TRAILER!!!\0"
                                                                               "\0\0\0",
                                                                               2 * 110 + 7 + 3 + 5 + 3 + 11 + 3));
}

TEST(Initramfs, EveryLengthIsAligned) {
    std::vector<ArchiveEntry> entries;
    for (std::size_t i = 1; i < 20; i++)
        entries.push_back({std::string(i, 'n'), S_IFREG | 0644, std::string(i % 7, '\xff')});
    const auto read = read_archive(cpio_archive(entries));
    ASSERT_EQ(read.size(), entries.size() + 1);
    for (std::size_t i = 0; i < entries.size(); i++) {
        EXPECT_EQ(read[i].name, entries[i].path);
        EXPECT_EQ(read[i].mode, entries[i].mode);
        EXPECT_EQ(read[i].content, entries[i].content);
    }
    EXPECT_EQ(read.back().name, "TRAILER!!!");
}

TEST(Initramfs, OfAGuest) {
    const auto read = read_archive(guest_archive({.busybox = "BB", .modules = {"first", "second"}, .setup = "true\n"}));
    const auto content = [&](const std::string& name) {
        for (const auto& entry : read)
            if (entry.name == name) return entry.content;
        return "no " + name;
    };
    EXPECT_EQ(content("bin/busybox"), "BB");
    EXPECT_EQ(content("modules/000.ko"), "first");
    EXPECT_EQ(content("modules/001.ko"), "second");
    EXPECT_EQ(content("guest/setup"), "true\n");
    EXPECT_THAT(content("init"), HasSubstr(std::string("echo \"") + std::string(kGuestReady) + '"'));
    EXPECT_THAT(content("init"), Not(HasSubstr("@")));
    EXPECT_EQ(read.front().mode, static_cast<unsigned long>(S_IFDIR | 0755));
}

TEST(Modules, EachAfterWhatItNeeds) {
    const std::string dep =
        "kernel/net.ko: kernel/failover.ko kernel/base/virtio.ko kernel/base/virtio_ring.ko\n"
        "kernel/base/virtio.ko: kernel/base/virtio_ring.ko\n"
        "kernel/base/virtio_ring.ko:\n"
        "kernel/failover.ko:\n"
        "kernel/virtio-pci.ko: kernel/base/virtio.ko kernel/base/virtio_ring.ko";
    EXPECT_THAT(module_files({"virtio_pci", "net"}, dep, ""),
                ElementsAre("kernel/base/virtio_ring.ko", "kernel/base/virtio.ko", "kernel/virtio-pci.ko",
                            "kernel/failover.ko", "kernel/net.ko"));
    EXPECT_THAT(module_files({"failover", "failover"}, dep, ""), ElementsAre("kernel/failover.ko"));
    EXPECT_THAT(module_files({}, dep, ""), IsEmpty());
}

TEST(Modules, BuiltIn) {
    const std::string builtin = "kernel/drivers/virtio/virtio-pci.ko\nkernel/x.ko\n";
    EXPECT_THAT(module_files({"virtio_pci"}, "", builtin), IsEmpty());
    EXPECT_THAT(module_files({"virtio_pci", "y"}, "kernel/y.ko: kernel/x.ko\n", builtin), ElementsAre("kernel/y.ko"));
}

TEST(Modules, Missing) {
    try {
        module_files({"virtio_net"}, "kernel/virtio.ko:\nno colon\n\n", "kernel/x.ko\n");
        FAIL() << "it was found";
    } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "the kernel has no module virtio_net");
    }
}

TEST(Modules, CompressedOnesKeepTheirNames) {
    EXPECT_THAT(module_files({"a"}, "kernel/a.ko.xz: kernel/b.ko.xz\n", ""),
                ElementsAre("kernel/b.ko.xz", "kernel/a.ko.xz"));
}

std::string program(const std::vector<std::uint32_t>& segments, std::uint16_t machine = EM_X86_64) {
    Elf64_Ehdr header = {};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_machine = machine;
    header.e_phoff = sizeof header;
    header.e_phnum = static_cast<Elf64_Half>(segments.size());
    std::string file(reinterpret_cast<const char*>(&header), sizeof header);
    for (const std::uint32_t type : segments) {
        Elf64_Phdr segment = {};
        segment.p_type = type;
        file.append(reinterpret_cast<const char*>(&segment), sizeof segment);
    }
    return file;
}

TEST(StaticProgram, OnlyWithoutAnInterpreter) {
    EXPECT_TRUE(is_static_program(program({PT_LOAD, PT_LOAD})));
    EXPECT_FALSE(is_static_program(program({PT_LOAD, PT_INTERP})));
    EXPECT_FALSE(is_static_program(program({PT_LOAD}, EM_AARCH64)));
    EXPECT_FALSE(is_static_program("#!/bin/sh\n" + std::string(100, '#')));
    EXPECT_FALSE(is_static_program(""));
    const std::string whole = program({PT_LOAD, PT_LOAD});
    EXPECT_FALSE(is_static_program(whole.substr(0, whole.size() - 1)));
}

TEST(GuestCommand, Quoting) {
    EXPECT_EQ(quote_words({"ping", "-c", "1"}), "$'ping' $'-c' $'1'");
    EXPECT_EQ(quote_words({"", "a b", "it's", "\\n", "\n\x01\xc3"}),
              R"($'' $'a b' $'it\047s' $'\134n' $'\012\001\303')");
    EXPECT_EQ(quote_words({}), "");
}

TEST(GuestCommand, Request) {
    EXPECT_EQ(guest_request("ab12", "$'true'"), "\nab12 $'true' ab12\n");
}

TEST(GuestCommand, Answer) {
    const std::string whole = "\nab12 7 6\nx\n0 0\nand more";
    for (std::size_t size = 0; size < whole.size() - 8; size++)
        EXPECT_FALSE(find_answer(whole.substr(0, size), "ab12")) << size;
    const auto answer = find_answer(whole, "ab12");
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 7);
    EXPECT_EQ(answer->output, "x\n0 0\n");
}

TEST(GuestCommand, AnswerAfterTheRestOfAnother) {
    EXPECT_FALSE(find_answer("\ncd34 0 2\nhi", "ab12"));
    EXPECT_FALSE(find_answer("xab12 0 2\nhi", "ab12"));
    const auto answer = find_answer("rest of an old one\ncd34 0 9\ncut\nab12 0 0\n", "ab12");
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->output, "");
}

TEST(GuestSetup, Network) {
    GuestOptions options;
    options.name = "vm1";
    options.mtu = 9000;
    options.addresses = {*IpPrefix::parse("10.17.0.1/24"), *IpPrefix::parse("fd17::1/64")};
    Route by_gateway, six, on_link;
    by_gateway.to = *IpPrefix::parse("0.0.0.0/0");
    by_gateway.via = IpAddress::parse("10.17.0.254");
    six.to = *IpPrefix::parse("fd18::/64");
    six.via = IpAddress::parse("fd17::fe");
    six.dev = "eth0";
    on_link.to = *IpPrefix::parse("10.18.0.0/16");
    options.routes = {by_gateway, six, on_link};
    EXPECT_EQ(guest_setup(options),
              "$'hostname' $'vm1'\n"
              "ip link set lo up\n"
              "[ ! -e /proc/sys/net/ipv6 ] || echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad\n"
              "ip link set eth0 mtu 9000\n"
              "ip link set eth0 up\n"
              "ip addr add 10.17.0.1/24 dev eth0\n"
              "ip addr add fd17::1/64 dev eth0\n"
              "$'ip' $'-4' $'route' $'add' $'default' $'via' $'10.17.0.254'\n"
              "$'ip' $'-6' $'route' $'add' $'fd18::/64' $'via' $'fd17::fe' $'dev' $'eth0'\n"
              "$'ip' $'-4' $'route' $'add' $'10.18.0.0/16' $'dev' $'eth0'\n");
}

}  // namespace
}  // namespace underpass::lab
