// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Pods of several machines as flannel's backend "vxlan" joins them: each machine has a subnet of its own on a bridge,
// and routes those of the others into a VXLAN device without a bridge, whose neighbours and VTEPs are written down.
//
//   c1 (10.244.1.2) ─ [cni0 10.244.1.1] host1 ~ flannel.1 (10.244.1.0) · uplink ── underlay ── host2, host3 alike
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "lab/link.h"
#include "vxlan_fixture.h"

namespace underpass::test {

namespace {

using ::testing::HasSubstr;

constexpr std::size_t kMachines = 3;

std::string pod(std::size_t container) {
    return container == VxlanNet::kNeighbour ? "10.244.1.3" : fmt::format("10.244.{}.2", container);
}

// What flannel writes with --ip-masq, in its chains of iptables, for the network 10.244.0.0/16 and its own /24.
std::string masquerade_by_iptables(std::size_t machine) {
    const std::string own = fmt::format("10.244.{}.0/24", machine), comment = "-m comment --comment \"flanneld masq\"";
    std::string rules = "iptables -t nat -N FLANNEL-POSTRTG;";
    rules += "iptables -t nat -A POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG;";
    for (const std::string& rule : {std::string("-m mark --mark 0x4000/0x4000") + " {} -j RETURN",
                                    fmt::format("-s {} -d 10.244.0.0/16 {{}} -j RETURN", own),
                                    fmt::format("-s 10.244.0.0/16 -d {} {{}} -j RETURN", own),
                                    fmt::format("! -s 10.244.0.0/16 -d {} {{}} -j RETURN", own),
                                    std::string("-s 10.244.0.0/16 ! -d 224.0.0.0/4 {} -j MASQUERADE --random-fully"),
                                    std::string("! -s 10.244.0.0/16 -d 10.244.0.0/16 {} -j MASQUERADE --random-fully")})
        rules += "iptables -t nat -A FLANNEL-POSTRTG " + fmt::format(fmt::runtime(rule), comment) + ";";
    rules += "iptables -N FLANNEL-FWD; iptables -A FORWARD -m comment --comment \"flanneld forward\" -j FLANNEL-FWD;";
    for (const char* way : {"-s", "-d"})
        rules += fmt::format(
            "iptables -A FLANNEL-FWD {} 10.244.0.0/16 -m comment --comment \"flanneld forward\" "
            "-j ACCEPT;",
            way);
    // Docker's and Kubernetes' way: what nobody lets through does not pass.
    return rules + "iptables -P FORWARD DROP";
}

// The same as flannel has it with EnableNFTables.
std::string masquerade_by_nftables(std::size_t machine) {
    const std::string own = fmt::format("10.244.{}.0/24", machine);
    return fmt::format(
        "nft '"
        "add table ip flannel-ipv4;"
        "add chain ip flannel-ipv4 postrtg {{ type nat hook postrouting priority srcnat; }};"
        "add rule ip flannel-ipv4 postrtg meta mark 0x4000 return;"
        "add rule ip flannel-ipv4 postrtg ip saddr {0} ip daddr 10.244.0.0/16 return;"
        "add rule ip flannel-ipv4 postrtg ip saddr 10.244.0.0/16 ip daddr {0} return;"
        "add rule ip flannel-ipv4 postrtg ip saddr != {0} ip daddr 10.244.0.0/16 return;"
        "add rule ip flannel-ipv4 postrtg ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 "
        "masquerade fully-random;"
        "add rule ip flannel-ipv4 postrtg ip saddr != 10.244.0.0/16 ip daddr 10.244.0.0/16 "
        "masquerade fully-random;"
        "add chain ip flannel-ipv4 forward {{ type filter hook forward priority filter; }};"
        "add rule ip flannel-ipv4 forward ip saddr 10.244.0.0/16 accept;"
        "add rule ip flannel-ipv4 forward ip daddr 10.244.0.0/16 accept'",
        own);
}

class FlannelTest : public TestNet, public ::testing::WithParamInterface<const char*> {
protected:
    void SetUp() override {
        TestNet::SetUp();
        if (IsSkipped()) return;
        VxlanPlan plan;
        plan.hook = GetParam();
        plan.machines = kMachines;
        plan.inner_mtu = 1450;
        plan.bridge = "cni0";
        plan.vxlan = false;
        machines_.emplace(net(), plan);
        for (std::size_t machine = 1; machine <= kMachines; machine++) set_up_machine(machine);
        set_up_pod(VxlanNet::kNeighbour, machines_->neighbour(), 1);
        for (std::size_t machine = 1; machine <= kMachines; machine++)
            set_up_pod(machine, machines_->container(machine), machine);
    }

    // In flannel's own order: the device and its address, then each other machine's neighbour, VTEP and route.
    void set_up_machine(std::size_t machine) const {
        const auto mac_of = [](std::size_t number) { return VxlanNet::vxlan_mac(number).text(); };
        std::string commands = fmt::format(
            "ip link add flannel.1 address {} mtu 1450 type vxlan id 1 dev uplink local {} dstport 8472 nolearning;"
            "sysctl -q -w net.ipv6.conf.flannel/1.disable_ipv6=1 || true;"
            "ip addr add 10.244.{}.0/32 dev flannel.1; ip link set flannel.1 up;"
            "ip addr add 10.244.{}.1/24 dev cni0; sysctl -q -w net.ipv4.ip_forward=1;",
            mac_of(machine), machines_->vtep(machine), machine, machine);
        for (std::size_t other = 1; other <= kMachines; other++)
            if (other != machine)
                commands += fmt::format(
                    "ip neigh replace 10.244.{0}.0 lladdr {1} nud permanent dev flannel.1;"
                    "bridge fdb replace {1} dev flannel.1 dst {2} self permanent;"
                    "ip route replace 10.244.{0}.0/24 via 10.244.{0}.0 dev flannel.1 onlink;",
                    other, mac_of(other), machines_->vtep(other));
        shell_in(machines_->host(machine), commands);
    }

    static void set_up_pod(std::size_t container, const lab::Namespace& space, std::size_t machine) {
        shell_in(space, fmt::format("ip addr flush dev eth0; ip addr add {}/24 dev eth0;"
                                    "ip route add default via 10.244.{}.1",
                                    pod(container), machine));
    }

    void up() const { machines_->up({"flannel.1"}); }

    std::string converse() const {
        std::string said;
        const lab::Namespace& from = machines_->container(1);
        for (const std::size_t other : {VxlanNet::kNeighbour, std::size_t{2}, std::size_t{3}}) {
            const lab::Namespace& to =
                other == VxlanNet::kNeighbour ? machines_->neighbour() : machines_->container(other);
            const std::string address = pod(other);
            said += ping_words(from, "-c 20 " + address) + ping_words(from, "-c 5 -M do -s 1422 " + address);
            said += ping_words(from, "-c 5 -s 9000 " + address);
            said += ping_words(from, "-c 1 -t 1 " + address) + ping_words(from, "-c 1 -t 2 " + address);
            for (const std::size_t size : {1UL, 18UL, 1422UL, 1423UL, 9000UL})
                said += exchange_datagrams(from, to, address, size);
            said += hold_connections(from, to, address);
        }
        said += hold_connections(machines_->container(2), from, pod(1));
        // The machines themselves: to a pod of theirs, to another's, and to each other by the underlay.
        said += ping_words(machines_->host(1), "-c 5 " + pod(1)) + ping_words(machines_->host(1), "-c 5 " + pod(2));
        said += ping_words(from, "-c 5 10.244.2.1") + ping_words(from, "-c 5 10.244.2.0");
        return said + ping_words(machines_->host(1), "-c 5 " + machines_->vtep(2));
    }

    void expect_same_with_and_without() const {
        const std::string expected = converse();
        EXPECT_THAT(expected, HasSubstr("20 packets transmitted, 20 received"));
        up();
        EXPECT_EQ(converse(), expected);
        machines_->expect_some(1, "flannel.1", REASON_DECAPSULATED);
        machines_->expect_some(2, "c2", REASON_ENCAPSULATED);
        machines_->down();
        EXPECT_EQ(converse(), expected);
        fmt::print("{}", expected);
    }

    // Skips where `probe` does not work.
    void masquerade(const std::string& probe, std::string (*rules)(std::size_t)) {
        const Finished probed = run(make("probe"), {"sh", "-ec", probe});
        if (!probed.ok()) GTEST_SKIP() << "this kernel has no such NAT: " << probed.text();
        for (std::size_t machine = 1; machine <= kMachines; machine++)
            shell_in(machines_->host(machine), rules(machine));
    }

    // Beyond the pods' network a pod has its machine's address: the other machine knows no way to a pod behind itself.
    void expect_masqueraded() const {
        shell_in(machines_->host(1), fmt::format("ip route replace 203.0.113.0/24 via {}", machines_->vtep(2)));
        shell_in(machines_->host(2), "ip addr replace 203.0.113.1/32 dev lo");
        EXPECT_THAT(ping_words(machines_->container(1), "-c 20 203.0.113.1"), HasSubstr(" 0% packet loss"));
        const Child listening(machines_->host(2), {"tcpdump", "-n", "-l", "-i", "uplink", "-c", "1", "icmp"});
        std::this_thread::sleep_for(milliseconds(500));
        ping_words(machines_->container(1), "-c 3 203.0.113.1");
        EXPECT_TRUE(listening.wait_for(machines_->vtep(1) + " > 203.0.113.1", kPatience)) << listening.out();
    }

    std::optional<VxlanNet> machines_;
};

TEST_P(FlannelTest, Pods) {
    expect_same_with_and_without();
}

TEST_P(FlannelTest, MasqueradeByIptables) {
    masquerade("iptables -t nat -A POSTROUTING -m mark --mark 1 -j MASQUERADE", masquerade_by_iptables);
    if (IsSkipped()) return;
    expect_masqueraded();
    expect_same_with_and_without();
    up();
    expect_masqueraded();
}

TEST_P(FlannelTest, MasqueradeByNftables) {
    masquerade("nft 'add table ip n; add chain ip n c { type nat hook postrouting priority 0; }'",
               masquerade_by_nftables);
    if (IsSkipped()) return;
    expect_masqueraded();
    expect_same_with_and_without();
    up();
    expect_masqueraded();
}

// A machine leaves and another comes under its number, as when a node is replaced: another VTEP, another MAC.
TEST_P(FlannelTest, AMachineIsReplaced) {
    up();
    const std::string to_pod = "-c 20 " + pod(2);
    EXPECT_THAT(ping_words(machines_->container(1), to_pod), HasSubstr(" 0% packet loss"));
    const std::string mac = "02:00:00:00:99:02";
    shell_in(machines_->host(2),
             fmt::format("ip addr add 192.0.2.22/24 dev uplink; ip link del flannel.1;"
                         "ip link add flannel.1 address {} mtu 1450 type vxlan id 1 dev uplink local 192.0.2.22 "
                         "dstport 8472 nolearning; ip addr add 10.244.2.0/32 dev flannel.1; ip link set flannel.1 up;"
                         "ip neigh replace 10.244.1.0 lladdr {} nud permanent dev flannel.1;"
                         "bridge fdb replace {} dev flannel.1 dst {} self permanent;"
                         "ip route replace 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink",
                         mac, VxlanNet::vxlan_mac(1).text(), VxlanNet::vxlan_mac(1).text(), machines_->vtep(1)));
    EXPECT_THAT(ping_words(machines_->container(1), to_pod + " -W 1"), HasSubstr(" 0 received"));
    shell_in(machines_->host(1), fmt::format("bridge fdb del {} dev flannel.1 dst {} self;"
                                             "ip neigh replace 10.244.2.0 lladdr {} nud permanent dev flannel.1;"
                                             "bridge fdb replace {} dev flannel.1 dst 192.0.2.22 self permanent",
                                             VxlanNet::vxlan_mac(2).text(), machines_->vtep(2), mac, mac));
    EXPECT_THAT(ping_words(machines_->container(1), to_pod), HasSubstr(" 0% packet loss"));
    EXPECT_THAT(ping_words(machines_->container(2), "-c 20 " + pod(1)), HasSubstr(" 0% packet loss"));
    EXPECT_THAT(hold_connections(machines_->container(1), machines_->container(2), pod(2)), HasSubstr("good"));
}

INSTANTIATE_TEST_SUITE_P(Hooks, FlannelTest, ::testing::Values("tc", "xdp"),
                         [](const auto& test) { return test.param; });

}  // namespace

}  // namespace underpass::test
