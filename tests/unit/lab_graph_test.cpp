// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The pictures of a lab: the drawing for a terminal to the letter, and of the text for Graphviz what it must hold.
// Whether a picture is beautiful, a person must look.
#include "lab/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "lab/drawing.h"
#include "lab/spec.h"

namespace underpass::lab {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<IpPrefix> prefixes(const std::vector<std::string>& texts) {
    std::vector<IpPrefix> all;
    all.reserve(texts.size());
    for (const std::string& text : texts) all.push_back(IpPrefix::parse(text).value());
    return all;
}

template <class Device = Interface>
Device device(const std::string& name, const std::vector<std::string>& addresses = {}) {
    Device made;
    made.name = name;
    made.addresses = prefixes(addresses);
    return made;
}

Node host(const std::string& name, const std::vector<std::string>& addresses) {
    Node node;
    node.name = name;
    node.interfaces.push_back(device("eth0", addresses));
    return node;
}

Bridge bridge(const std::string& name, const std::vector<std::string>& ports,
              const std::vector<std::string>& addresses = {}) {
    auto made = device<Bridge>(name, addresses);
    for (const std::string& port : ports) made.ports.push_back({.device = port});
    return made;
}

Link link(const Endpoint& a, const Endpoint& b) {
    Link made;
    made.ends = {a, b};
    return made;
}

VxlanDevice vxlan(const std::string& local, const std::vector<std::string>& remotes) {
    auto made = device<VxlanDevice>("vxlan7");
    made.vni = 7;
    made.mtu = 1450;
    made.local = IpAddress::parse(local).value();
    for (const std::string& remote : remotes) made.remotes.push_back(IpAddress::parse(remote).value());
    return made;
}

// A bridge with two hosts, and an uplink that the machine forwards and masquerades to.
Spec nat_lab() {
    Spec spec;
    spec.name = "nat";
    Node machine;
    machine.name = "host";
    machine.sysctls = {{"net.ipv4.ip_forward", "1"}};
    machine.bridges.push_back(bridge("br0", {"a", "b"}, {"10.13.0.254/24"}));
    machine.interfaces.push_back(device("uplink", {"192.0.2.2/24"}));
    machine.nat.push_back({.from = IpPrefix::parse("10.13.0.0/24"), .out = "uplink"});
    spec.nodes = {machine, host("a", {"10.13.0.1/24"}), host("b", {"10.13.0.2/24"}), host("world", {"192.0.2.1/24"})};
    spec.links = {link({"host", "a"}, {"a", "eth0"}), link({"host", "b"}, {"b", "eth0"}),
                  link({"host", "uplink"}, {"world", "eth0"})};
    return spec;
}

// Everything that a picture may show, once.
Spec rich_lab() {
    Spec spec;
    spec.name = "rich";
    Node one, two;
    one.name = "one";
    one.bridges.push_back(bridge("br0", {"a", "trunk", "vxlan7"}));
    one.bridges.front().vlan_filtering = one.bridges.front().stp = true;
    one.bridges.front().ports[0].vlans.pvid = Vid{10};
    one.bridges.front().ports[0].isolated = true;
    one.bridges.front().ports[1].vlans.tagged = {Vid{10}, Vid{20}};
    one.vxlans.push_back(vxlan("192.0.2.1", {"192.0.2.2", "198.51.100.9"}));
    one.interfaces.push_back(device("uplink", {"192.0.2.1/24", "fd00::1/64"}));
    two.name = "two";
    two.accelerate = HookChoice::tc;
    two.bridges.push_back(bridge("brvlan10", {"eth0.10", "vxlan7", "vm"}));
    auto vlan = device<VlanDevice>("eth0.10");
    vlan.on = "eth0";
    vlan.id = Vid{10};
    two.vlans.push_back(vlan);
    two.vxlans.push_back(vxlan("192.0.2.2", {"192.0.2.1"}));
    two.interfaces = {device("uplink", {"192.0.2.2/24"}), device("lo", {"10.255.0.2/32"})};
    Node vm = host("vm", {"10.0.0.3/24"}), upper;
    vm.kind = NodeKind::guest;
    upper.name = "upper";
    upper.macvlans.push_back(device<MacvlanDevice>("eth0", {"192.0.2.50/24"}));
    upper.macvlans.front().on = {"two", "uplink"};
    spec.nodes = {one, two, host("a", {"10.0.0.1/24", "fd10::1/64"}), vm, upper};
    spec.links = {link({"one", "a"}, {"a", "eth0"}), link({"one", "trunk"}, {"two", "eth0"}),
                  link({"one", "uplink"}, {"two", "uplink"}), link({"two", "vm"}, {"vm", "eth0"})};
    spec.links[0].mtu = 1450;
    spec.links[2].wire = true;
    return spec;
}

Spec crowded_lab(int hosts) {
    Spec spec;
    spec.name = "crowd";
    Node machine;
    machine.name = "host";
    machine.bridges.push_back(bridge("br0", {}));
    spec.nodes.push_back(machine);
    for (int i = 1; i <= hosts; i++) {
        const std::string number = std::to_string(i);
        spec.nodes.front().bridges.front().ports.push_back({.device = "p" + number});
        spec.nodes.push_back(
            host("h" + number, {"10.1." + std::to_string(i / 256) + '.' + std::to_string(i % 256) + "/16"}));
        spec.links.push_back(link({"host", "p" + number}, {"h" + number, "eth0"}));
    }
    return spec;
}

std::size_t columns(const std::string& line) {
    return static_cast<std::size_t>(
        std::ranges::count_if(line, [](char each) { return (static_cast<unsigned char>(each) & 0xc0) != 0x80; }));
}

std::size_t widest(const std::string& text) {
    std::size_t most = 0;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) most = std::max(most, columns(line));
    return most;
}

TEST(TextDrawing, OneMachine) {
    Spec spec = nat_lab();
    // The notes are beside the name as long as they fit.
    constexpr const char* kRest =
        "├─ br0 (bridge) 10.13.0.254/24\n"
        "│  ├─ a ────── a:eth0 10.13.0.1/24\n"
        "│  └─ b ────── b:eth0 10.13.0.2/24\n"
        "└─ uplink 192.0.2.2/24 ────── world:eth0 192.0.2.1/24\n";
    EXPECT_EQ(
        text_drawing(spec),
        std::string("host                            forwards, masquerades 10.13.0.0/24 out of uplink\n") + kRest);
    EXPECT_EQ(
        text_drawing(spec, 100),
        std::string("host                                        forwards, masquerades 10.13.0.0/24 out of uplink\n") +
            kRest);
    EXPECT_EQ(text_drawing(spec, 53), std::string("host\n"
                                                  "│  forwards\n"
                                                  "│  masquerades 10.13.0.0/24 out of uplink\n") +
                                          kRest);
}

TEST(TextDrawing, Everything) {
    EXPECT_EQ(text_drawing(rich_lab()),
              "one\n"
              "├─ br0 (bridge, VLAN-aware, STP)\n"
              "│  ├─ a pvid 10, isolated ─ MTU 1450 ─ a:eth0 10.0.0.1/24 fd10::1/64\n"
              "│  ├─ trunk tagged 10, 20 ──────────── two:eth0\n"
              "│  └─ vxlan7 (VXLAN 7, 192.0.2.1) MTU 1450 ╌╌╌╌╌╌ two:vxlan7, 198.51.100.9\n"
              "└─ uplink 192.0.2.1/24 fd00::1/64 ══════ two:uplink 192.0.2.2/24\n"
              "\n"
              "two                                         accelerated (tc)\n"
              "├─ brvlan10 (bridge)\n"
              "│  ├─ eth0.10 (VLAN 10 on eth0)\n"
              "│  ├─ vxlan7 (VXLAN 7, 192.0.2.2) MTU 1450 ╌╌╌╌╌╌ one:vxlan7\n"
              "│  └─ vm (tap) ────── vm:eth0 10.0.0.3/24 (guest, 128 MiB)\n"
              "├─ eth0 ───────────────────── one:trunk\n"
              "├─ uplink 192.0.2.2/24 ══════ one:uplink 192.0.2.1/24 fd00::1/64\n"
              "│  └─ upper:eth0 192.0.2.50/24 (macvlan, bridge)\n"
              "└─ lo 10.255.0.2/32\n");
}

TEST(TextDrawing, CrowdsAreOneLine) {
    EXPECT_EQ(text_drawing(crowded_lab(500)),
              "host\n"
              "└─ br0 (bridge)\n"
              "   └─ p1 … p500 ────── h1 … h500: 500 hosts, 10.1.0.1/16 … 10.1.1.244/16\n");
    EXPECT_THAT(text_drawing(crowded_lab(24)), HasSubstr("├─ p9 ─────── h9:eth0 10.1.0.9/16\n"));
}

TEST(TextDrawing, CrowdsAreOfOneVlan) {
    Spec spec = crowded_lab(100);
    for (std::size_t i = 0; i < 100; i++)
        spec.nodes.front().bridges.front().ports[i].vlans.pvid = i < 60 ? Vid{10} : Vid{20};
    // 80 columns: the lines are as long as the second allows.
    EXPECT_EQ(text_drawing(spec),
              "host\n"
              "└─ br0 (bridge)\n"
              "   ├─ p1 … p60 pvid 10 ────── h1 … h60: 60 hosts, 10.1.0.1/16 … 10.1.0.60/16\n"
              "   └─ p61 … p100 pvid 20 ──── h61 … h100: 40 hosts, 10.1.0.61/16 … 10.1.0.100/16\n");
    // Each in a VLAN of its own: one crowd, rather than a hundred.
    for (std::size_t i = 0; i < 100; i++)
        spec.nodes.front().bridges.front().ports[i].vlans.pvid = Vid{static_cast<std::uint16_t>(i + 1)};
    EXPECT_THAT(text_drawing(spec), HasSubstr("h1 … h100: 100 hosts"));
}

TEST(TextDrawing, KeepsItsWidth) {
    for (const Spec& spec : {nat_lab(), rich_lab(), crowded_lab(24), crowded_lab(25)})
        for (const std::size_t width : {20U, 30U, 40U, 60U, 80U}) EXPECT_LE(widest(text_drawing(spec, width)), width);
    EXPECT_THAT(text_drawing(rich_lab(), 200), Not(HasSubstr("…")));
    EXPECT_THAT(text_drawing(rich_lab(), 30), HasSubstr("…\n"));
}

TEST(TextDrawing, WithoutLinks) {
    Spec spec;
    EXPECT_EQ(text_drawing(spec), "");
    spec.nodes = {host("x", {"10.0.0.1/24"}), host("y", {"10.0.0.2/24"}), Node{.name = "lonely"}};
    spec.links = {link({"x", "eth0"}, {"y", "eth0"})};
    EXPECT_EQ(text_drawing(spec),
              "x\n"
              "└─ eth0 10.0.0.1/24 ────── y:eth0 10.0.0.2/24\n"
              "\n"
              "lonely\n");
}

TEST(DotGraph, HasEveryDeviceAndAddress) {
    for (const Spec& spec : {nat_lab(), rich_lab(), crowded_lab(24)}) {
        const std::string dot = dot_graph(spec);
        for (const Node& node : spec.nodes) {
            EXPECT_THAT(dot, HasSubstr("<b>" + node.name + "</b>"));
            for (const Interface* each : interfaces_of(node)) {
                EXPECT_THAT(dot, HasSubstr('>' + each->name + '<')) << node.name;
                for (const IpPrefix& address : each->addresses) EXPECT_THAT(dot, HasSubstr(address.text()));
            }
        }
        for (const Link& link : spec.links)
            for (const Endpoint& end : link.ends)
                EXPECT_TRUE(dot.find('"' + end.text() + '"') != std::string::npos ||
                            dot.find('"' + end.node + "\" [") != std::string::npos)
                    << end.text();
    }
}

TEST(DotGraph, SaysWhatThingsAre) {
    const std::string dot = dot_graph(rich_lab());
    for (const char* said : {"bridge, VLAN-aware, STP", "pvid 10", "isolated", "tagged 10, 20", "VLAN 10 on eth0",
                             "VXLAN 7", "to 198.51.100.9", "guest, 128 MiB", "macvlan on two:uplink, bridge",
                             "accelerated (tc)", "label=\" MTU 1450 \""})
        EXPECT_THAT(dot, HasSubstr(said));
    EXPECT_THAT(dot_graph(nat_lab()), HasSubstr("masquerades 10.13.0.0/24 out of uplink"));
}

TEST(DotGraph, TunnelsAreDrawnOnce) {
    Spec spec = rich_lab();
    EXPECT_THAT(dot_graph(spec), HasSubstr(R"("one:vxlan7" -> "two:vxlan7" [color="#c07830" style=dashed)"));
    EXPECT_THAT(dot_graph(spec), Not(HasSubstr(R"("two:vxlan7" -> "one:vxlan7")")));
    EXPECT_THAT(dot_graph(spec), Not(HasSubstr("dir=forward")));
    spec.nodes[0].vxlans.front().remotes.clear();
    EXPECT_THAT(dot_graph(spec), Not(HasSubstr(R"("one:vxlan7" -> "two:vxlan7")")));
    EXPECT_THAT(dot_graph(spec), HasSubstr("dir=forward"));
    spec.nodes[0].vxlans.front().vni = 8;
    EXPECT_THAT(dot_graph(spec), Not(HasSubstr("style=dashed penwidth")));
}

TEST(DotGraph, CrowdsAreOneBox) {
    const std::string dot = dot_graph(crowded_lab(500));
    EXPECT_THAT(dot, HasSubstr("<b>h1 … h500</b><br/>500 hosts, 10.1.0.1/16 … 10.1.1.244/16"));
    EXPECT_THAT(dot, HasSubstr(R"("host:p1" [label=<p1 … p500>)"));
    EXPECT_LT(std::ranges::count(dot, '\n'), 20);
    EXPECT_THAT(dot_graph(crowded_lab(24)), HasSubstr("<b>h24</b>"));
}

// What is between angle brackets is XML; a name in quotes ends at the first bare quote.
TEST(DotGraph, NothingBreaksOut) {
    Spec spec = nat_lab();
    spec.about = "a \"quote\", a \\ <b>tag</b> & 'more'>];\nend\\";
    EXPECT_THAT(
        dot_graph(spec),
        HasSubstr("a &#34;quote&#34;, a &#92; &#60;b&#62;tag&#60;/b&#62; &#38; &#39;more&#39;&#62;]; end&#92;<br/>"));
    spec.about = "caf\xc3\xa9 \xff \xed\xa0\x80 \xe2\x82";
    EXPECT_THAT(dot_graph(spec), HasSubstr("caf\xc3\xa9 \ufffd \ufffd\ufffd\ufffd \ufffd\ufffd<br/>"));
    spec = {};
    spec.name = R"(x" ] } \)";
    spec.nodes = {host(R"(a"\)", {})};
    const std::string dot = dot_graph(spec);
    EXPECT_THAT(dot, HasSubstr(R"(digraph "x\" ] } \\" {)"));
    EXPECT_THAT(dot, HasSubstr(R"("a\"\\" [label=<<b>a&#34;&#92;</b>)"));
}

}  // namespace
}  // namespace underpass::lab
