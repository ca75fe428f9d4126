// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "route_fixture.h"

#include <chrono>
#include <thread>

#include "lab/link.h"
#include "lab/network.h"
#include "lab/spec.h"
#include "sync/control.h"
#include "sync/state.h"

namespace underpass::test {

namespace {

lab::Spec routed_net(const std::string& hook) {
    lab::Spec spec;
    for (const char* node : {"router", "client", "other", "server"}) {
        spec.nodes.push_back({.name = node});
        for (const char* tables : {"iptables", "ip6tables", "arptables"})
            spec.nodes.back().sysctls.emplace_back(std::string("-net.bridge.bridge-nf-call-") + tables, "0");
    }
    lab::Bridge bridge;
    bridge.name = "br0";
    bridge.multicast_snooping = false;
    bridge.ports = {{.device = "c"}, {.device = "d"}};
    spec.nodes[0].bridges.push_back(bridge);
    for (const char* sysctl : {"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"})
        spec.nodes[0].sysctls.emplace_back(sysctl, "1");
    // Addresses that become valid meanwhile would have every flow asked anew.
    for (lab::Node& node : spec.nodes)
        for (const char* sysctl : {"accept_dad", "router_solicitations"})
            node.sysctls.emplace_back(std::string("net.ipv6.conf.default.") + sysctl, "0");
    // Each error is sent.
    for (const char* sysctl : {"net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit"})
        spec.nodes[0].sysctls.emplace_back(sysctl, "0");
    const bool wire = hook == "xdp";
    spec.links.push_back({.ends = {{{"router", "c"}, {"client", "c"}}}, .wire = wire});
    spec.links.push_back({.ends = {{{"router", "d"}, {"other", "d"}}}, .wire = wire});
    spec.links.push_back({.ends = {{{"router", "up"}, {"server", "s"}}}, .wire = wire});
    return spec;
}

}  // namespace

void RouteTest::SetUp() {
    TestNet::SetUp();
    if (IsSkipped()) return;
    const lab::Network& network = net().build(routed_net(GetParam()));
    router_ = &network.space("router");
    client_ = &network.space("client");
    other_ = &network.space("other");
    server_ = &network.space("server");
    shell(*router_,
          "ip addr add 10.1.0.1/24 dev br0; ip addr add 10.2.0.1/24 dev up;"
          "ip addr add fd01::1/64 dev br0 nodad; ip addr add fd02::1/64 dev up nodad");
    shell(*client_,
          "ip addr add 10.1.0.2/24 dev c; ip route add default via 10.1.0.1;"
          "ip addr add fd01::2/64 dev c nodad; ip route add default via fd01::1");
    shell(*other_, "ip addr add 10.1.0.3/24 dev d; ip route add default via 10.1.0.1");
    shell(*server_,
          "ip addr add 10.2.0.2/24 dev s; ip route add default via 10.2.0.1;"
          "ip addr add fd02::2/64 dev s nodad; ip route add default via fd02::1");
    router_->run([] {
        for (const char* device : {"c", "d", "up", "br0"}) lab::wait_until_running(device);
    });
}

void RouteTest::shell(const lab::Namespace& where, const std::string& commands) {
    const Finished finished = run(where, {"sh", "-ec", commands});
    ASSERT_TRUE(finished.ok()) << commands << '\n' << finished.text();
}

std::string RouteTest::answer(const lab::Namespace& where, const std::vector<std::string>& command) {
    return run(where, command).text();
}

void RouteTest::up() const {
    const Finished finished = underpass(*router_, {"up", "br0", "up", "--hook", GetParam()});
    ASSERT_TRUE(finished.ok()) << finished.text();
}

nlohmann::json RouteTest::ask(const std::string& operation) const {
    return router_->run([&operation] {
        return control_request(RunDirectory::of_this_namespace().socket(), {{"operation", operation}}).value();
    });
}

std::uint64_t RouteTest::routed(const std::string& port, const std::string& what) const {
    std::uint64_t frames = 0;
    const auto status = ask("status");
    for (const auto& device : status.at("bridges"))
        for (const auto& each : device.at("ports"))
            if (port.empty() || each.at("name") == port) frames += each.at(what).at("packets").get<std::uint64_t>();
    return frames;
}

bool RouteTest::lists_flow(const std::string& out) const {
    for (int i = 0; i < 20; i++) {
        const Finished flows = underpass(*router_, {"flows"});
        if (flows.out.find(out) != std::string::npos) return true;
        std::this_thread::sleep_for(milliseconds(100));
    }
    return false;
}

}  // namespace underpass::test
