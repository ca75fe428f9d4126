// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The configuration file: what each good one says, and the one sentence, with its place, that each bad one gets.
#include "sync/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "temporary_directory.h"
#include "yaml/reader.h"

namespace underpass {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Config, GoodFiles) {
    constexpr auto kAutomatic = HookChoice::automatic;
    constexpr auto kTc = HookChoice::tc;
    constexpr auto kXdp = HookChoice::xdp;
    struct Row {
        const char* text;
        Selection selection;
        std::uint32_t fdb_size = FDB_DEFAULT_SIZE;
        std::uint32_t flows_size = FLOWS_DEFAULT_SIZE;
    };
    const std::vector<Row> rows = {
        {"", {}},
        {"# nothing but a comment\n", {}},
        {"---\n", {}},
        {"{}\n", {}},
        {"bridges: []\n", {}},
        {"bridges: [br0]\n", {.bridges = {{"br0", kAutomatic}}}},
        {"bridges:\n  - br0\n  - br1\nhook: tc\n", {.bridges = {{"br0", kTc}, {"br1", kTc}}}},
        {"bridges: [{name: br0, hook: xdp}, br1]\nhook: tc\n", {.bridges = {{"br0", kXdp}, {"br1", kTc}}}},
        {"bridges: [{name: br0}]\n", {.bridges = {{"br0", kAutomatic}}}},
        {"bridges: [123456789012345]\n", {.bridges = {{"123456789012345", kAutomatic}}}},
        {"all: true\n", {.all = kAutomatic}},
        {"all: true\nhook: xdp\n", {.all = kXdp}},
        {"all: false\nhook: xdp\n", {}},
        {"all: true\nhook: tc\nbridges: [{name: br0, hook: auto}]\n", {.all = kTc, .bridges = {{"br0", kAutomatic}}}},
        {"rxvlan_off: true\n", {.rxvlan_off = true}},
        {"rxvlan_off: no\n", {}},
        {"rxvlan_off: true\nbridges: [br0]\n", {.bridges = {{"br0", kAutomatic}}, .rxvlan_off = true}},
        {"fdb_size: 1\n", {}, 1},
        {"fdb_size: 16777216\n", {}, 16777216},
        {"flows_size: 1\n", {}, FDB_DEFAULT_SIZE, 1},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.text);
        const Config config = parse_config(row.text, "f");
        EXPECT_EQ(config.selection, row.selection);
        EXPECT_EQ(config.sizes.fdb, row.fdb_size);
        EXPECT_EQ(config.sizes.flows, row.flows_size);
    }
}

TEST(Config, BadFiles) {
    struct Row {
        const char* text;
        std::vector<std::string> says;  // the first is how the sentence begins
    };
    const std::vector<Row> rows = {
        {"bridge: [br0]\n", {"/etc/c.yaml:1:1: ", "unknown key 'bridge'", "nearest: 'bridges'"}},
        {"all: true\n  \nfdb-size: 5\n", {"/etc/c.yaml:3:1: ", "unknown key 'fdb-size'", "nearest: 'fdb_size'"}},
        {"hok: tc\n",
         {"/etc/c.yaml:1:1: ", "nearest: 'hook'", "known: bridges, all, hook, rxvlan_off, fdb_size, flows_size"}},
        {"bridges:\n  - name: br0\n    hok: tc\n", {"/etc/c.yaml:3:5: ", "'hok'", "nearest: 'hook'", "name, hook"}},
        {"bridges: br0\n", {"/etc/c.yaml:1:10: ", "must be a list"}},
        {"bridges:\n", {"/etc/c.yaml:", "must be a list"}},
        {"bridges: {br0: tc}\n", {"/etc/c.yaml:1:10: ", "must be a list"}},
        {"bridges: [[br0]]\n", {"/etc/c.yaml:1:11: ", "a bridge must be a map"}},
        {"bridges:\n  -\n", {"/etc/c.yaml:", "a bridge must be a map"}},
        {"bridges: [{hook: tc}]\n", {"/etc/c.yaml:1:11: ", "a bridge needs a name"}},
        {"bridges: [{name: [br0]}]\n", {"/etc/c.yaml:1:18: ", "expected a name"}},
        {"bridges: ['']\n", {"/etc/c.yaml:1:11: ", "'' is no device name: 1 to 15 characters"}},
        {"bridges: [1234567890123456]\n", {"/etc/c.yaml:1:11: ", "1234567890123456", "is no device name"}},
        {"bridges: [br0, br1, br0]\n", {"/etc/c.yaml:1:21: ", "bridge br0 is listed twice"}},
        {"bridges: [br0, {name: br0, hook: tc}]\n", {"/etc/c.yaml:1:16: ", "bridge br0 is listed twice"}},
        {"hook: ebpf\n", {"/etc/c.yaml:1:7: ", "'ebpf' is no hook: expected auto, tc or xdp"}},
        {"hook: [tc]\n", {"/etc/c.yaml:1:7: ", "expected auto, tc or xdp"}},
        {"bridges: [{name: br0, hook: XDP}]\n", {"/etc/c.yaml:1:29: ", "'XDP' is no hook"}},
        {"all: maybe\n", {"/etc/c.yaml:1:6: ", "expected true or false"}},
        {"all: [true]\n", {"/etc/c.yaml:1:6: ", "expected true or false"}},
        {"rxvlan: off\n", {"/etc/c.yaml:1:1: ", "unknown key 'rxvlan'", "nearest: 'rxvlan_off'"}},
        {"rxvlan_off: eth0\n", {"/etc/c.yaml:1:13: ", "expected true or false"}},
        {"bridges: [{name: br0, rxvlan_off: true}]\n", {"/etc/c.yaml:1:23: ", "unknown key 'rxvlan_off'"}},
        {"fdb_size: many\n", {"/etc/c.yaml:1:11: ", "expected a number of entries"}},
        {"fdb_size: 1.5\n", {"/etc/c.yaml:1:11: ", "expected a number of entries"}},
        {"fdb_size: -1\n", {"/etc/c.yaml:1:11: ", ""}},
        {"fdb_size: 0\n", {"/etc/c.yaml:1:11: ", "from 1 to 16777216"}},
        {"flows_size: 0\n", {"/etc/c.yaml:1:13: ", "flows_size must be from 1 to 16777216"}},
        {"fdb_size: 16777217\n", {"/etc/c.yaml:1:11: ", "from 1 to 16777216"}},
        {"fdb_size: 99999999999\n", {"/etc/c.yaml:1:11: ", "expected a number of entries"}},
        {"hook: tc\nhook: xdp\n", {"/etc/c.yaml:2:1: ", "key 'hook' is there twice"}},
        {"bridges: [{name: br0, name: br1}]\n", {"/etc/c.yaml:1:23: ", "key 'name' is there twice"}},
        {"- br0\n", {"/etc/c.yaml:1:1: ", "the file must be a map"}},
        {"br0\n", {"/etc/c.yaml:1:1: ", "the file must be a map"}},
        {"bridges: [br0\n", {"/etc/c.yaml:", "not valid YAML"}},
        {"bridges: [br0]\n all: true\n", {"/etc/c.yaml:2:", "not valid YAML"}},
        {"a: b: c\n", {"/etc/c.yaml:1:", "not valid YAML"}},
        {"\x01\x02\n", {"/etc/c.yaml:", ""}},
        {"bridges: [*nothing]\n", {"/etc/c.yaml:1:", "not valid YAML"}},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.text);
        try {
            parse_config(row.text, "/etc/c.yaml");
            ADD_FAILURE() << "was taken";
        } catch (const FileError& error) {
            const std::string sentence = error.what();
            EXPECT_EQ(sentence.substr(0, row.says[0].size()), row.says[0]);
            for (const std::string& words : row.says) EXPECT_THAT(sentence, HasSubstr(words));
            EXPECT_THAT(sentence, Not(HasSubstr("\n")));
        }
    }
}

TEST(Config, ReadsAFile) {
    const TemporaryDirectory directory;
    const auto file = directory.path() / "config.yaml";
    std::ofstream(file) << "bridges: [br0]\n";
    EXPECT_EQ(read_config(file).selection, (Selection{.bridges = {{"br0", HookChoice::automatic}}}));
    std::ofstream(file).close();
    EXPECT_EQ(read_config(file).selection, Selection{}) << "an empty file";
    for (const auto& wrong : {directory.path() / "nothing", directory.path()}) {
        try {
            read_config(wrong);
            ADD_FAILURE() << wrong << " was taken";
        } catch (const FileError& error) {
            EXPECT_TRUE(std::string(error.what()).starts_with("cannot read " + wrong.string() + ": ")) << error.what();
        }
    }
}

}  // namespace
}  // namespace underpass
