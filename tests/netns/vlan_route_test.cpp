// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A VLAN-aware bridge that routes between its VLANs, and out of an uplink: by VLAN devices on it, and by its own
// address in its own VLAN. By both hooks: conversations as without Underpass, in one step from port to port.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nat_fixture.h"
#include "trial.h"

namespace underpass::test {

namespace {

// The client is in VLAN 10, untagged; the other, in VLAN 20, behind a trunk.
class VlanRouteTest : public NatFixture {
protected:
    void SetUp() override {
        NatFixture::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        if (!run(*router_, {"ip", "link", "set", "br0", "type", "bridge", "vlan_filtering", "1"}).ok())
            GTEST_SKIP() << "bridges of this kernel have no VLAN filtering";
        shell(*server_, "ip route add default via 10.2.0.1");
        shell(*router_,
              "ip addr flush dev br0; bridge vlan add dev c vid 10 pvid untagged; bridge vlan del dev c vid 1;"
              "bridge vlan add dev d vid 20; bridge vlan add dev br0 vid 20 self;"
              "ip link add link br0 name br0.20 type vlan id 20; ip addr add 10.3.0.1/24 dev br0.20;"
              "ip link set br0.20 up");
        shell(*other_,
              "ip addr flush dev d; ip link add link d name d.20 type vlan id 20; ip addr add 10.3.0.2/24 dev d.20;"
              "ip link set d.20 up; ip route add default via 10.3.0.1");
    }

    std::string converse() const {
        std::string said;
        for (const char* to : {"10.3.0.2", "10.2.0.2", "10.1.0.1", "10.3.0.1"})
            said += run(*client_, {"sh", "-c",
                                   fmt::format("ping -n -W 5 -c 3 -i 0.01 {} | grep transmitted | "
                                               "sed 's/, time.*//'",
                                               to)})
                        .out;
        said += stream(*client_, "10.3.0.2", *other_, 5201, "");
        said += stream(*client_, "10.3.0.2", *other_, 5201, "-R");
        said += stream(*other_, "10.2.0.2", *server_, 5201, "");
        return said;
    }

    void expect_same_conversations(const std::vector<std::string>& devices) {
        const std::string expected = converse();
        EXPECT_EQ(expected.find("unreachable"), std::string::npos) << expected;
        // A VLAN device runs no XDP itself.
        std::vector<std::string> words = {"up", "br0", "up", "--hook", std::string(GetParam()) == "tc" ? "tc" : "auto"};
        words.insert(words.end(), devices.begin(), devices.end());
        const Finished up = underpass(*router_, words);
        ASSERT_TRUE(up.ok()) << up.text();
        EXPECT_EQ(converse(), expected);
        for (const char* port : {"c", "d", "up"})
            EXPECT_GE(routed(port, "routed"), is_emulated() ? 10U : 500U) << ask("status").dump(2);
        const Finished down = underpass(*router_, {"down"});
        EXPECT_TRUE(down.ok()) << down.text();
        fmt::print("{}", expected);
    }
};

TEST_P(VlanRouteTest, BetweenVlanDevicesOnTheBridge) {
    shell(*router_,
          "bridge vlan add dev br0 vid 10 self; ip link add link br0 name br0.10 type vlan id 10;"
          "ip addr add 10.1.0.1/24 dev br0.10; ip link set br0.10 up");
    expect_same_conversations({"br0.10", "br0.20"});
}

TEST_P(VlanRouteTest, ByTheBridgesOwnVlan) {
    shell(*router_,
          "bridge vlan add dev br0 vid 10 self pvid untagged; bridge vlan del dev br0 vid 1 self;"
          "ip addr add 10.1.0.1/24 dev br0");
    expect_same_conversations({"br0.20"});
}

constexpr auto kHookName = [](const auto& info) { return std::string(info.param); };
INSTANTIATE_TEST_SUITE_P(Hooks, VlanRouteTest, ::testing::Values("tc", "xdp"), kHookName);

}  // namespace

}  // namespace underpass::test
