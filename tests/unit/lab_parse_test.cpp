// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A lab's file: every model is one, what is wrong is said in one sentence with its place, and the schema for editors
// knows the same keys.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lab/models.h"
#include "lab/parse.h"
#include "yaml/reader.h"

namespace underpass::lab {
namespace {

using testing::HasSubstr;
using testing::Not;

// Two hosts on a bridge, and at the end whatever a test adds.
constexpr const char* kBase =
    "name: x\n"                                                // 1
    "nodes:\n"                                                 // 2
    "  host:\n"                                                // 3
    "    bridges: {br0: {ports: [a, b]}}\n"                    // 4
    "  a: {interfaces: {eth0: {addresses: [10.0.0.1/24]}}}\n"  // 5
    "  b: {interfaces: {eth0: {addresses: [10.0.0.2/24]}}}\n"  // 6
    "links:\n"                                                 // 7
    "  - ends: [host:a, a:eth0]\n"                             // 8
    "  - ends: [host:b, b:eth0]\n";                            // 9

TEST(LabParse, EveryModelIsALab) {
    EXPECT_GE(models().size(), 9U);
    for (const auto& [name, text] : models()) {
        const Spec spec = parse_spec(std::string(text), std::string(name));
        EXPECT_EQ(spec.name, name);
        EXPECT_FALSE(spec.about.empty()) << name;
        EXPECT_FALSE(spec.expectations.empty()) << name;
        EXPECT_FALSE(spec.links.empty()) << name;
    }
}

TEST(LabParse, TheWholeFormat) {
    const Spec spec = parse_spec(R"(
name: all
about: everything
accelerate: true
nodes:
  host:
    accelerate: xdp
    sysctls: {net.ipv4.ip_forward: 1, -net.bridge.bridge-nf-call-iptables: 0}
    interfaces:
      eth0: {addresses: [192.0.2.1/24, "fd00::1/64"], mac: 02:00:00:00:00:07, mtu: 9000}
      lo: {addresses: [198.51.100.1/32]}
    bridges:
      br0:
        ports:
          - a
          - {device: eth0.10, pvid: 10, tagged: [20, 30], isolated: true, hairpin: true}
          - vx
        stp: true
        vlan_filtering: true
        multicast_snooping: false
        ageing: 20
        pvid: 10
        tagged: [20]
    vlans:
      eth0.10: {on: eth0, id: 10, protocol: 802.1ad}
    vxlans:
      vx: {vni: 7, local: 192.0.2.1, remotes: [192.0.2.2], on: eth0, port: 8472, learning: false, mtu: 8950}
    routes:
      - {to: default, via: 192.0.2.254}
      - {to: "::/0", via: "fd00::fe", dev: eth0}
      - {to: 10.9.0.0/16, dev: eth0}
    nat:
      - {masquerade: 10.0.0.0/8, out: eth0}
      - {snat: 10.1.0.0/16, out: eth0, to: 192.0.2.9}
      - {dnat: 10.0.0.1, port: 53, to_port: 5353, protocol: udp, in: eth0}
    nftables: "add table ip t"
  peer:
  a: {macvlans: {m0: {on: "host:eth0", mode: private}}}
  vm: {guest: {memory: 256}}
  own: {tap: true}
links:
  - {ends: [host:eth0, peer:eth0], mtu: 9000, wire: true}
  - ends: [host:a, vm:eth0]
  - ends: [host:o, own:eth0]
reach:
  - {from: a, to: [a, host, 192.0.2.2]}
isolate:
  - {from: [a, host], to: peer}
)",
                                 "f");
    ASSERT_EQ(spec.nodes.size(), 5U);
    const Node& host = spec.nodes[0];
    EXPECT_EQ(host.accelerate, HookChoice::xdp);
    EXPECT_EQ(spec.nodes[1].accelerate, HookChoice::automatic);
    EXPECT_EQ(host.sysctls[1].first, "-net.bridge.bridge-nf-call-iptables");
    EXPECT_EQ(host.interfaces[0].mtu, 9000U);
    EXPECT_EQ(host.interfaces[0].addresses[1].text(), "fd00::1/64");
    const Bridge& bridge = host.bridges.at(0);
    EXPECT_TRUE(bridge.stp && bridge.vlan_filtering && !bridge.multicast_snooping);
    EXPECT_EQ(bridge.ageing, std::chrono::seconds(20));
    EXPECT_EQ(bridge.ports[1].vlans.pvid, Vid{10});
    EXPECT_EQ(bridge.ports[1].vlans.tagged, (std::vector<Vid>{Vid{20}, Vid{30}}));
    EXPECT_TRUE(bridge.ports[1].isolated && bridge.ports[1].hairpin);
    EXPECT_TRUE(bridge.ports[0].vlans.is_default());
    EXPECT_EQ(bridge.self.pvid, Vid{10});
    EXPECT_TRUE(host.vlans[0].service);
    EXPECT_EQ(host.vxlans[0].port, 8472);
    EXPECT_FALSE(host.vxlans[0].learning);
    EXPECT_EQ(host.routes[0].to.text(), "0.0.0.0/0");
    EXPECT_EQ(host.routes[1].to.text(), "::/0");
    EXPECT_FALSE(host.routes[2].via);
    EXPECT_EQ(host.nat[1].to->text(), "192.0.2.9");
    EXPECT_EQ(host.nat[2].to_port, 5353);
    EXPECT_EQ(spec.nodes[2].macvlans[0].on, (Endpoint{"host", "eth0"}));
    EXPECT_EQ(spec.nodes[3].kind, NodeKind::guest);
    EXPECT_EQ(spec.nodes[3].guest.memory_mib, 256U);
    EXPECT_EQ(spec.nodes[4].kind, NodeKind::tap);
    EXPECT_TRUE(spec.links[0].wire);
    // Nobody is asked to reach himself.
    ASSERT_EQ(spec.expectations.size(), 4U);
    EXPECT_TRUE(spec.expectations[1].reach);
    EXPECT_EQ(spec.expectations[1].to, "192.0.2.2");
    EXPECT_FALSE(spec.expectations[2].reach);
}

struct Bad {
    std::string text;
    std::string place;  // "LINE:COLUMN"
    std::vector<std::string> says;
};

TEST(LabParse, WhatIsWrongIsOneSentenceWithItsPlace) {
    const std::string base = kBase;
    const std::vector<Bad> rows = {
        {"", "1:1", {"the file is empty"}},
        {"- a\n", "1:1", {"the file must be a map"}},
        {"name: x\n", "1:1", {"a lab needs nodes"}},
        {"name: x\nnodes: {}\n", "1:7", {"a lab needs nodes"}},
        {"nodes: {a: }\n", "1:1", {"needs the key 'name'"}},
        {"name: x\nnodes: [a]\n", "2:8", {"nodes must be a map"}},
        {"name: x\nnodes: {a: 5}\n", "2:12", {"a node must be a map"}},
        {"name: x\nnodes: {a: {}, a: {}}\n", "2:16", {"node a is there twice"}},
        {"name: x.y\nnodes: {a: }\n", "1:7", {"'x.y' is no name for a lab"}},
        {"name: x\nnodes: {a/b: }\n", "2:9", {"'a/b' is no name for a node"}},
        {"name: x\nnodes:\n  a:\n    brigdes: {}\n", "4:5", {"unknown key 'brigdes'", "nearest: 'bridges'"}},
        {base + "link: []\n", "10:1", {"unknown key 'link'", "nearest: 'links'"}},
        {base + "name: y\n", "10:1", {"key 'name' is there twice"}},
        {base + "accelerate: fast\n", "10:13", {"'fast' is no way to accelerate"}},
        {base + "reach: [{from: a, to: c}]\n", "10:9", {"there is no node 'c'", "nearest: 'a'"}},
        {base + "reach: [{from: a}]\n", "10:9", {"needs the key 'to'"}},
        {base + "  - ends: [host:c, c:eth0]\n", "10:5", {"there is no node 'c'"}},
        {base + "  - ends: [host:a, a:eth1]\n", "10:5", {"device a of node host is there twice"}},
        {base + "  - ends: [host:c]\n", "10:11", {"a link has two ends"}},
        {base + "  - ends: [host, a:eth1]\n", "10:12", {"'host' is no end of a link"}},
        {base + "  - {ends: [host:c, a:eth1], mtu: 20}\n", "10:35", {"an MTU must be from 68 to 65535, not 20"}},
        {base + "  - ends: [host:abcdefghijklmnop, a:eth1]\n",
         "10:5",
         {"'abcdefghijklmnop' is no name", "15 characters"}},
        {base + "  - ends: [host:all, a:eth1]\n", "10:5", {"cannot be called all"}},
        {"name: x\nnodes: {a: {vlans: {v: {on: eth0, id: 4095}}}}\n", "2:39", {"from 1 to 4094, not 4095"}},
        {"name: x\nnodes: {a: {vlans: {v: {on: eth0, id: ten}}}}\n", "2:39", {"expected a number"}},
        {"name: x\nnodes: {a: {vlans: {v: {on: eth0, id: 10}}}}\n", "2:21", {"node a has no device 'eth0'"}},
        {"name: x\nnodes: {a: {vlans: {v: {on: v, id: 10}}}}\n", "2:21", {"v cannot be on itself"}},
        {"name: x\nnodes: {a: {bridges: {br0: {ports: [eth0]}}}}\n", "2:37", {"node a has no device 'eth0'"}},
        {"name: x\nnodes: {a: {bridges: {b: {ports: [c]}, c: {}}}}\n", "2:35", {"c is a bridge"}},
        {"name: x\nnodes: {a: {bridges: {b: {pvid: 10}}}}\n", "2:23", {"b is not VLAN-aware"}},
        {"name: x\nnodes: {a: {bridges: {b: {tagged: [1, 1]}}}}\n", "2:39", {"VLAN 1 is there twice"}},
        {"name: x\nnodes: {a: {interfaces: {lo: {addresses: [10.0.0.1]}}}}\n", "2:43", {"needs its prefix length"}},
        {"name: x\nnodes: {a: {interfaces: {lo: {addresses: [10.0.0.1/33]}}}}\n",
         "2:43",
         {"'10.0.0.1/33' is no address"}},
        {"name: x\nnodes: {a: {interfaces: {lo: {mac: 01:00:00:00:00:01}}}}\n", "2:36", {"the address of a group"}},
        {"name: x\nnodes: {a: {sysctls: {kernel.x: 1}}}\n", "2:23", {"'kernel.x' is no sysctl of a node"}},
        {"name: x\nnodes: {a: {sysctls: {net/../../kernel: 1}}}\n", "2:23", {"is no sysctl of a node"}},
        {"name: x\nnodes: {a: {routes: [{to: default}]}}\n", "2:22", {"a route needs 'via' or 'dev'"}},
        {"name: x\nnodes: {a: {routes: [{to: '::/0', via: 10.0.0.1}]}}\n", "2:22", {"of one family"}},
        {"name: x\nnodes: {a: {nat: [{out: eth0}]}}\n", "2:19", {"one of masquerade, snat and dnat"}},
        {"name: x\nnodes: {a: {nat: [{masquerade: 10.0.0.0/8, port: 8}]}}\n",
         "2:50",
         {"'port' says nothing for masquerade"}},
        {"name: x\nnodes: {a: {nat: [{dnat: 10.0.0.1, port: 70000}]}}\n", "2:42", {"from 1 to 65535"}},
        {"name: x\nnodes: {a: {tap: true}}\n", "2:9", {"a is a tap: it needs a link"}},
        {"name: x\nnodes: {a: {vxlans: {v: {vni: 16777216, local: 10.0.0.1}}}}\n",
         "2:31",
         {"a VNI must be from 0 to 16777215"}},
        {"name: x\nnodes: {a: {vxlans: {v: {vni: 1, local: 10.0.0.1, remotes: ['::1']}}}}\n",
         "2:61",
         {"of the local address's family"}},
        {"name: x\nnodes: {a: {vxlans: {v: {vni: 1, local: 10.0.0.1}}}}\n",
         "2:22",
         {"10.0.0.1 is no address of node a"}},
        {"name: x\nnodes: {a: {interfaces: {lo: {addresses: [10.0.0.1/32]}}, vxlans: {v: {vni: 1, local: 10.0.0.1}, "
         "w: {vni: 1, local: 10.0.0.1}}}}\n",
         "2:68",
         {"have the same VNI at the same port"}},
        {"name: x\nnodes: {a: {interfaces: {lo: {addresses: [10.0.0.0/24]}}}}\n",
         "2:26",
         {"10.0.0.0/24 is no address of a host"}},
        {"name: x\nnodes: {a: {interfaces: {lo: {addresses: [10.0.0.255/24]}}}}\n",
         "2:26",
         {"is no address of a host"}},
        {"name: x\nnodes: {a: {bridges: {b: {}}, routes: [{to: 10.0.0.1/24, dev: b}]}}\n",
         "2:40",
         {"is no destination"}},
        {"name: x\nnodes: {a: {macvlans: {m: {on: 'b:eth0'}}}}\n", "2:24", {"there is no node 'b'"}},
        {"name: [x]\nnodes: {a: }\n", "1:7", {"expected a text"}},
        {"name: *x\n", "1:7", {"not valid YAML"}},
        {"name: x\nnodes: {a: {}\n", "3:1", {"not valid YAML"}},
    };
    for (const Bad& row : rows) {
        SCOPED_TRACE(row.text);
        try {
            parse_spec(row.text, "f.yaml");
            ADD_FAILURE() << "was taken";
        } catch (const FileError& error) {
            const std::string sentence = error.what();
            EXPECT_THAT(sentence, testing::StartsWith("f.yaml:" + row.place + ": "));
            for (const std::string& words : row.says) EXPECT_THAT(sentence, HasSubstr(words));
            EXPECT_THAT(sentence, Not(HasSubstr("\n")));
        }
    }
}

TEST(LabParse, AnAddressIsInANetworkOnce) {
    const auto refused = [](const std::string& text) {
        try {
            parse_spec(text, "f");
            return false;
        } catch (const FileError& error) {
            EXPECT_THAT(error.what(), HasSubstr("already"));
            return true;
        }
    };
    std::string twice = kBase;
    twice.replace(twice.find("10.0.0.2"), 8, "10.0.0.1");
    EXPECT_TRUE(refused(twice)) << "across a bridge";
    EXPECT_TRUE(
        refused("name: x\nnodes: {a: {bridges: {b: {addresses: [10.0.0.1/24]}, c: {addresses: [10.0.0.1/8]}}}}\n"))
        << "in a node";
    EXPECT_TRUE(
        refused("name: x\nnodes:\n  a: {interfaces: {lo: {addresses: [10.0.0.1/32]}}, vxlans: {v: {vni: 5, local: "
                "10.0.0.1, addresses: [10.1.0.1/24]}}}\n"
                "  b: {interfaces: {lo: {addresses: [10.0.0.2/32]}}, vxlans: {v: {vni: 5, local: 10.0.0.2, addresses: "
                "[10.1.0.1/24]}}}\n"))
        << "across a tunnel";
    EXPECT_FALSE(
        refused("name: x\nnodes:\n  a: {bridges: {b: {addresses: [10.1.0.1/24]}}}\n"
                "  b: {bridges: {b: {addresses: [10.1.0.1/24]}}}\n"))
        << "in networks that know nothing of each other";
}

// What the fuzzer has found interesting: none of it is more than refused, in one line.
TEST(LabParse, SurvivesTheCorpus) {
    std::size_t files = 0, labs = 0;
    for (const auto& entry : std::filesystem::directory_iterator(UNDERPASS_CORPUS)) {
        files++;
        const std::string text = read_text(entry.path());
        try {
            parse_spec(text, "f");
            labs++;
        } catch (const FileError& error) {
            EXPECT_THAT(error.what(), AllOf(testing::StartsWith("f:"), Not(HasSubstr("\n")))) << entry.path();
        }
    }
    EXPECT_GT(files, 100U);
    EXPECT_GT(labs, 10U);
}

// The schema's definitions have the names of the parser's parts.
TEST(LabParse, TheSchemaKnowsTheSameKeys) {
    const auto json = nlohmann::json::parse(schema());
    for (const auto& [part, keys] : known_keys()) {
        const auto& object = part == "lab" ? json : json.at("definitions").at(std::string(part));
        EXPECT_FALSE(object.at("additionalProperties").get<bool>()) << part;
        std::vector<std::string> known;
        for (const auto& [key, value] : object.at("properties").items()) known.push_back(key);
        EXPECT_THAT(known, testing::UnorderedElementsAreArray(std::vector<std::string>(keys.begin(), keys.end())))
            << part;
    }
}

}  // namespace
}  // namespace underpass::lab
