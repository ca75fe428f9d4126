// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Labs of a person's own: wires that go fast by XDP, wrong files, which are told in one line and leave nothing, and
// what belongs to somebody else, which stays.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "lab/link.h"
#include "lab/record.h"
#include "lab_fixture.h"

namespace underpass::test {

namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(LabCommandTest, WiresGoFastByXdp) {
    const std::string file = file_of(R"(
name: wires
accelerate: xdp
nodes:
  host:
    bridges: {br0: {ports: [a, b]}}
  a:
    interfaces: {eth0: {addresses: [10.61.0.1/24]}}
  b:
    interfaces: {eth0: {addresses: [10.61.0.2/24]}}
links:
  - {ends: [host:a, a:eth0], wire: true}
  - {ends: [host:b, b:eth0], wire: true}
reach:
  - {from: [a, b], to: [a, b]}
)");
    const std::string name = lab_name();
    lab_ok({"up", file, "--name", name});
    const auto spaces = spaces_of(name);
    const json tried = lab_json({"test", name});
    EXPECT_TRUE(tried.at("ok").get<bool>()) << tried;
    EXPECT_GT(tried.at("frames").at("host").at("fast").get<std::uint64_t>(), 100U);
    const json status = json::parse(lab_ok({"exec", name + ".host", "--", underpass_path(), "status", "--json"}));
    const json& ports = status.at("bridges").at(0).at("ports");
    EXPECT_EQ(ports.size(), 2U);
    for (const json& port : ports) {
        EXPECT_EQ(port.at("hook"), "xdp") << port;
        EXPECT_GT(port.at("fast").at("packets").get<std::uint64_t>(), 0U) << port;
    }
    lab_ok({"down", name});
    expect_nothing_left(name, spaces);
}

struct BadFile {
    const char* what;
    const char* text;
    const char* place;  // behind the file's name
    std::vector<std::string> parts;
};

TEST_F(LabCommandTest, BadFilesAreToldInOneLine) {
    const std::string name = lab_name();
    const std::vector<BadFile> files = {
        {"unknown key", "name: x\nnodes:\n  a:\n    brigdes: {}\n", ":4:5: ", {"unknown key 'brigdes'", "'bridges'"}},
        {"missing node",
         "name: x\nnodes: {host: }\nlinks:\n  - ends: [host:a, hots:b]\n",
         ":4:5: ",
         {"'hots'", "'host'"}},
        {"VLAN 4095",
         "name: x\nnodes:\n  a:\n    vlans:\n      v: {on: eth0, id: 4095}\n  b:\nlinks:\n  - ends: [a:eth0, b:eth0]\n",
         ":5:25: ",
         {"4095", "4094"}},
        {"address twice",
         "name: x\nnodes:\n  a: {interfaces: {e: {addresses: [10.0.0.1/24]}}}\n"
         "  b: {interfaces: {e: {addresses: [10.0.0.1/24]}}}\nlinks:\n  - ends: [a:e, b:e]\n",
         ":4:20: ",
         {"10.0.0.1", "a:e"}},
        {"long device",
         "name: x\nnodes: {a: , b: }\nlinks:\n  - ends: [a:a-name-of-16-cha, b:e]\n",
         ":4:5: ",
         {"a-name-of-16-cha", "15"}},
        {"wrong type",
         "name: x\nnodes: {a: , b: }\nlinks:\n  - {ends: [a:e, b:e], mtu: much}\n",
         ":4:29: ",
         {"number"}},
        {"port of two",
         "name: x\nnodes:\n  a: {bridges: {c: {ports: [e]}, d: {ports: [e]}}}\n  b:\nlinks: [{ends: [a:e, b:e]}]\n",
         ":3:46: ",
         {"e is a port of c already"}},
        {"no YAML", "name: x\nnodes: [\n", ":3:1: ", {"not valid YAML"}},
        {"nothing in it", "", "", {"empty"}},
        {"bytes", "\x7f\x45LF\x02\x01\x01", "", {}},
    };
    for (const BadFile& each : files) {
        SCOPED_TRACE(each.what);
        const std::string file = file_of(each.text);
        std::vector<std::string> parts = each.parts;
        parts.push_back(file + each.place);
        expect_refused({"up", file, "--name", name}, kFailed, parts);
        expect_nothing_left(name, {});
    }
    const std::string nowhere = "/nowhere/lab.yaml";
    expect_refused({"up", nowhere, "--name", name}, kFailed, {nowhere, "No such file"});
    expect_refused({"up", "/tmp/", "--name", name}, kFailed, {"/tmp/", "no file"});
    expect_refused({"up", "isolatde", "--name", name}, kFailed, {"'isolatde'", "'isolated'", "underpass lab models"});
    expect_nothing_left(name, {});
}

TEST_F(LabCommandTest, WrongWords) {
    const std::string name = lab_name();
    for (const char* bad : {"", "a b", "a.b", "a/b", "../x", "-x", "a-name-that-has-thirty-three-chars"})
        expect_refused({"up", "isolated", fmt::format("--name={}", bad)}, kWrongUse,
                       {"--name", "underpass lab up --help"});
    expect_refused({"up", "isolated", "--name", name, "--accelerate", "zap"}, kWrongUse, {"--accelerate", "zap"});
    expect_refused({"up"}, kWrongUse, {"LAB", "underpass lab up --help"});
    expect_refused({"frob"}, kWrongUse, {"underpass lab --help"});
    for (const char* command : {"down", "show", "test"}) expect_refused({command, name}, kFailed, {"no lab " + name});
    expect_refused({"exec", name + ".a", "--", "true"}, kFailed, {""});
    expect_nothing_left(name, {});
}

TEST_F(LabCommandTest, ALabOfAnotherFileStays) {
    const std::string name = lab_name();
    lab_ok({"up", "isolated", "--name", name});
    const auto spaces = spaces_of(name);
    expect_refused({"up", "bridged", "--name", name}, kFailed,
                   {"of model isolated", "is up already", "model isolated", "underpass lab down " + name, "--name"});
    expect_refused({"up", "isolated", "--name", name, "--accelerate", "tc"}, kFailed, {"is up already"});
    EXPECT_EQ(spaces_of(name), spaces);
    EXPECT_TRUE(lab_json({"test", name}).at("ok").get<bool>());
    // A command's words are its own, in their order, whether or not `--` is before them.
    for (const std::vector<std::string>& mark : {std::vector<std::string>{"--"}, {}}) {
        std::vector<std::string> words = {"exec", name + ".a"};
        words.insert(words.end(), mark.begin(), mark.end());
        words.insert(words.end(), {"printf", "<%s>", "-n", "two", "--", "--help", "-c"});
        EXPECT_EQ(lab(words).out, "<-n><two><--><--help><-c>");
    }
    const Finished nothing = lab({"exec", name + ".nowhere", "--", "true"});
    EXPECT_EQ(nothing.status, kFailed) << nothing.text();
    lab_ok({"down", name});
    expect_nothing_left(name, spaces);
}

// Found out late, by the kernel: all is taken back.
TEST_F(LabCommandTest, WhatTheKernelRefusesIsTakenBack) {
    const std::string name = lab_name();
    const std::string two =
        "links: [{ends: [a:eth0, b:eth0]}]\nnodes:\n  a: {interfaces: {eth0: {addresses: [10.62.0.1/24]}}}\n";
    const std::vector<std::pair<std::string, std::vector<std::string>>> files = {
        {"  b: {routes: [{to: 10.63.0.0/16, via: 10.77.0.1}]}\n", {"b: ", "10.63.0.0/16", "unreachable"}},
        {"  b: {nftables: \"table ip x { chain y { frobnicate } }\"}\n", {"b: ", "nftables", "frobnicate"}},
        {"  b: {sysctls: {net.ipv4.no_such_thing: 1}}\n", {"b: ", "no_such_thing"}},
    };
    for (const auto& [node, parts] : files) {
        SCOPED_TRACE(node);
        expect_refused({"up", file_of(fmt::format("name: x\n{}{}", two, node)), "--name", name}, kFailed, parts);
        expect_nothing_left(name, {});
    }
}

TEST_F(LabCommandTest, SomebodyElsesNamespaceIsLeftAlone) {
    const std::string name = lab_name();
    const auto theirs = lab::Namespace::create(name + ".world");
    const auto before = spaces_of(name);
    ASSERT_EQ(before.size(), 1U);
    expect_refused({"up", "isolated", "--name", name}, kFailed, {name + ".world", "ip netns del"});
    EXPECT_EQ(spaces_of(name), before);
    EXPECT_FALSE(std::filesystem::exists(lab::directory_of(name)));
}

// Also if the kernel has given it the number of the one that was ours, as it does at times.
TEST_F(LabCommandTest, ANamespaceThatSomebodyMadeAnewIsLeftAlone) {
    const std::string name = lab_name();
    const std::string its = name + ".b";
    for (const bool same_number : {false, true}) {
        SCOPED_TRACE(same_number ? "of the same number" : "of another number");
        lab_ok({"up", "isolated", "--name", name});
        auto spaces = spaces_of(name);
        const std::uint64_t ours = spaces.at(its);
        std::optional<lab::Namespace> theirs;
        lab::Namespace::remove(its);
        std::vector<lab::Namespace> others;  // which keep the numbers that are not wanted
        for (int i = 0; i < 300; i++) {
            theirs.emplace(lab::Namespace::create(its));
            if (!same_number || theirs->inode() == ours) break;
            theirs->keep();
            lab::Namespace::remove(its);
            others.push_back(std::move(*theirs));
            theirs.reset();
            std::this_thread::sleep_for(milliseconds(5));
        }
        if (!theirs) {
            // Files of /proc take numbers of the same pool, so it may have gone to one of these. That another one is
            // left alone is tried all the same.
            fmt::print("the kernel did not use the number again: tried with another one\n");
            theirs.emplace(lab::Namespace::create(its));
        }
        expect_refused({"up", "isolated", "--name", name}, kFailed, {"not whole", its, "underpass lab down"});
        const Finished down = lab({"down", name});
        EXPECT_TRUE(down.ok()) << down.text();
        EXPECT_THAT(spaces_of(name), ::testing::ElementsAre(std::pair(its, theirs->inode())));
        EXPECT_FALSE(std::filesystem::exists(lab::directory_of(name)));
        theirs.reset();
        spaces.erase(its);
        expect_nothing_left(name, spaces);
    }
}

TEST_F(LabCommandTest, AProcessThatStaysIsTold) {
    const std::string name = lab_name();
    lab_ok({"up", "isolated", "--name", name});
    auto spaces = spaces_of(name);
    Child sleep = start_lab({"exec", name + ".a", "--", "sleep", "1000"});
    for (int i = 0; i < 5000; i++) {  // until it is there
        std::string comm;
        std::getline(std::ifstream(fmt::format("/proc/{}/comm", sleep.pid())), comm);
        if (comm == "sleep") break;
        std::this_thread::sleep_for(milliseconds(2));
    }
    const Finished down = lab({"down", name});
    EXPECT_TRUE(down.ok()) << down.text();
    EXPECT_THAT(down.out, HasSubstr(name + ".a stays without its name until these end: sleep (pid " +
                                    std::to_string(sleep.pid()) + ")"));
    EXPECT_TRUE(sleep.running());
    spaces.erase(name + ".a");
    expect_nothing_left(name, spaces);
}

// Where /run outlives a boot, the record of the earlier one means nothing any more.
TEST_F(LabCommandTest, TheRecordOfAnEarlierBoot) {
    const std::string name = lab_name();
    lab_ok({"up", "isolated", "--name", name});
    const auto spaces = spaces_of(name);
    const auto journal = lab::directory_of(name) / "journal";
    std::string text, boot;
    std::getline(std::ifstream(journal), text, '\0');
    std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
    ASSERT_NE(text.find(boot), std::string::npos);
    text.replace(text.find(boot), boot.size(), "an-earlier-one");
    lab_ok({"down", name});
    const auto put_back = [&] {
        std::filesystem::create_directories(journal.parent_path());
        std::ofstream(journal) << text;
    };
    put_back();
    expect_refused({"show", name}, kFailed, {"no lab"});
    lab_ok({"down", name});
    expect_nothing_left(name, spaces);
    put_back();
    lab_ok({"up", "isolated", "--name", name});
    EXPECT_THAT(lab_ok({"up", "isolated", "--name", name}), HasSubstr("nothing was changed"));
    EXPECT_TRUE(lab_json({"test", name}).at("ok").get<bool>());
    lab_ok({"down", name});
    expect_nothing_left(name, spaces);
}

}  // namespace

}  // namespace underpass::test
