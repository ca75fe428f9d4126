// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What `status --vlans` says of a host: which VLANs are told as one, and what each port is in them.
#include "sync/status_vlans.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "hosts.h"

namespace underpass {
namespace {

using testing::ElementsAre;
using Json = nlohmann::json;

// "10-20 802.1Q: eth1 tc untagged PVID forwarding 3/1 (why), eth2 ..." each; 3/1: fast and slow frames.
std::vector<std::string> lines(const Json& vlans) {
    std::vector<std::string> result;
    for (const Json& vlan : vlans) {
        const int first = vlan.at("first").get<int>(), last = vlan.at("last").get<int>();
        std::string line = first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
        line += fmt::format(" {}:", vlan.at("protocol").get<std::string>());
        for (const Json& port : vlan.at("ports")) {
            line +=
                fmt::format(" {} {}{}{} {}{}", port.at("name").get<std::string>(),
                            port.at("tagged").get<bool>() ? "tagged" : "untagged",
                            port.at("pvid").get<bool>() ? " PVID" : "", port.contains("vlan_device") ? " upper" : "",
                            port.at("state").get<std::string>(), port.at("hook") == "kernel" ? " kernel" : "");
            if (port.contains("why")) line += fmt::format(" ({})", port.at("why").get<std::string>());
            const Json fast = port.at("fast").at("packets"), slow = port.at("slow").at("packets");
            if (fast != 0 || slow != 0) line += fmt::format(" {}/{}", fast.get<int>(), slow.get<int>());
            line += ";";
        }
        result.push_back(std::move(line));
    }
    return result;
}

// br0 with the ports eth1 and eth2 only.
Host aware_host() {
    Host host = plain_host();
    host.links[kBridge].bridge->vlan_filtering = true;
    for (const Ifindex port : {kThirdNic, kContainer, kTap, kWire}) host.links.erase(port);
    return host;
}

std::vector<std::string> vlans_of(const Host& host, const VlanCounts& counts = {}) {
    return lines(vlans_json(host, plan_of(host), counts));
}

TEST(StatusVlans, BridgeWithoutVlans) {
    EXPECT_THAT(vlans_of(plain_host()), ElementsAre());
    EXPECT_THAT(vlans_of(aware_host()), ElementsAre());
}

TEST(StatusVlans, AlikeIsOne) {
    Host host = aware_host();
    host.vlans[kNic] = {.pvid = Vid{1},
                        .ranges = {{.first = 1, .last = 1, .untagged = true}, {.first = 10, .last = 4094}}};
    host.vlans[kOtherNic] = {.ranges = {{.first = 20, .last = 20, .untagged = true}}};
    EXPECT_THAT(vlans_of(host),
                ElementsAre("1 802.1Q: eth1 untagged PVID forwarding;", "10-19 802.1Q: eth1 tagged forwarding;",
                            "20 802.1Q: eth1 tagged forwarding; eth2 untagged forwarding;",
                            "21-4094 802.1Q: eth1 tagged forwarding;"));
    // Ranges that the kernel told apart.
    host.vlans[kNic] = {.ranges = {{.first = 2, .last = 5}, {.first = 6, .last = 9}}};
    host.vlans[kOtherNic] = {};
    EXPECT_THAT(vlans_of(host), ElementsAre("2-9 802.1Q: eth1 tagged forwarding;"));
    // One that has frames stands by itself.
    const VlanCounts counts = {{{kNic, 4}, {.fast = {3, 300}, .slow = {1, 60}}}};
    EXPECT_THAT(vlans_of(host, counts),
                ElementsAre("2-3 802.1Q: eth1 tagged forwarding;", "4 802.1Q: eth1 tagged forwarding 3/1;",
                            "5-9 802.1Q: eth1 tagged forwarding;"));
}

TEST(StatusVlans, StatesAndReasons) {
    Host host = aware_host();
    host.links[kBridge].bridge->vlan_protocol = 0x88a8;
    host.vlans[kNic] = {.ranges = {{.first = 5, .last = 5, .tunnel = true},
                                   {.first = 6, .last = 6, .state = PortState::blocking},
                                   {.first = 7, .last = 8}}};
    host.vlan_uppers[kNic] = {Vid{8}};
    EXPECT_THAT(vlans_of(host),
                ElementsAre("5 802.1ad: eth1 tagged forwarding kernel (it is mapped to a tunnel (tunnel_info));",
                            "6 802.1ad: eth1 tagged blocking;", "7 802.1ad: eth1 tagged forwarding;",
                            "8 802.1ad: eth1 tagged upper forwarding;"));
    // What is true of the port is true of all its VLANs.
    host.vlans[kNic] = {.ranges = {{.first = 6, .last = 7}}};
    host.links[kNic].port->state = PortState::learning;
    EXPECT_THAT(vlans_of(host), ElementsAre("6-7 802.1ad: eth1 tagged learning;"));
    host.links[kNic].carrier = false;
    EXPECT_THAT(vlans_of(host), ElementsAre("6-7 802.1ad: eth1 tagged no carrier;"));
    host.links[kNic].flags = 0;
    host.links[kNic].port->backup_port = kOtherNic;
    EXPECT_THAT(vlans_of(host), ElementsAre("6-7 802.1ad: eth1 tagged down kernel (it has a backup_port);"));
    host.links[kBridge].promiscuity = 1;
    BridgePlan plan = plan_of(host);
    plan.refusal = "no";
    EXPECT_THAT(lines(vlans_json(host, plan, {})), ElementsAre("6-7 802.1ad: eth1 tagged down kernel (no);"));
}

TEST(StatusVlans, VlanDevicesAsPorts) {
    Host host = plain_host();
    for (const auto& [index, vid] : {std::pair{kThirdNic, 20}, std::pair{kWire, 10}}) {
        Link& link = host.links[index];
        link.kind = "vlan";
        link.qdisc = "noqueue";
        link.vlan = VlanAttributes{.id = Vid{static_cast<std::uint16_t>(vid)}};
        link.lower = Ifindex{20};
        link.lower_netnsid.reset();
    }
    host.links[Ifindex{20}] = plain_link(Ifindex{20}, "trunk", "", "mq");
    const VlanCounts counts = {{{kWire, 10}, {.fast = {7, 700}, .slow = {0, 0}}}};
    EXPECT_THAT(vlans_of(host, counts),
                ElementsAre("10 802.1Q: wire0 tagged forwarding 7/0;", "20 802.1Q: eth3 tagged forwarding;"));
    const Json port = vlans_json(host, plan_of(host), counts).at(0).at("ports").at(0);
    EXPECT_EQ(port.value("below", ""), "trunk");
    EXPECT_EQ(port.value("vid", 0), 10);
}

}  // namespace
}  // namespace underpass
