// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "nat_fixture.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

#include <array>

#include "crowd.h"
#include "netlink/attribute.h"
#include "netlink/request.h"
#include "netlink/socket.h"
#include "trial.h"

namespace underpass::test {

namespace {

constexpr const char* kDocker = R"(
iptables -t nat -N DOCKER
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A POSTROUTING -s 10.1.0.0/24 ! -o br0 -j MASQUERADE
iptables -t nat -A POSTROUTING -s 10.0.0.0/24 ! -o br0 -j MASQUERADE
iptables -t nat -A POSTROUTING -s 10.1.0.2/32 -d 10.1.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
iptables -t nat -A DOCKER -i br0 -j RETURN
iptables -t nat -A DOCKER ! -i br0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80
iptables -t nat -A DOCKER ! -i br0 -p udp -m udp --dport 8080 -j DNAT --to-destination 10.1.0.2:80
for c in DOCKER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2 DOCKER-USER; do iptables -N $c; done
iptables -P FORWARD DROP
iptables -A FORWARD -j DOCKER-USER
iptables -A FORWARD -j DOCKER-ISOLATION-STAGE-1
iptables -A FORWARD -o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A FORWARD -o br0 -j DOCKER
iptables -A FORWARD -i br0 ! -o br0 -j ACCEPT
iptables -A FORWARD -i br0 -o br0 -j ACCEPT
iptables -A DOCKER -d 10.1.0.2/32 ! -i br0 -o br0 -p tcp -m tcp --dport 80 -j ACCEPT
iptables -A DOCKER -d 10.1.0.2/32 ! -i br0 -o br0 -p udp -m udp --dport 80 -j ACCEPT
iptables -A DOCKER-ISOLATION-STAGE-1 -i br0 ! -o br0 -j DOCKER-ISOLATION-STAGE-2
iptables -A DOCKER-ISOLATION-STAGE-1 -j RETURN
iptables -A DOCKER-ISOLATION-STAGE-2 -o br0 -j DROP
iptables -A DOCKER-ISOLATION-STAGE-2 -j RETURN
iptables -A DOCKER-USER -j RETURN
)";

std::uint16_t port_of(const Attribute& attribute) {
    return ntohs(attribute.u16().value_or(0));
}

std::string address_of(const Attribute& attribute) {
    std::array<char, INET_ADDRSTRLEN> text{};
    const in_addr address = attribute.as<in_addr>().value_or(in_addr{});
    return ::inet_ntop(AF_INET, &address, text.data(), text.size());
}

std::uint8_t decode_tuple(Connection::Ends& ends, underpass::Bytes attributes) {
    std::uint8_t protocol = 0;
    for_each_attribute(attributes, [&](const Attribute& part) {
        return for_each_attribute(part.payload, [&](const Attribute& each) {
            if (part.type == CTA_TUPLE_IP) {
                if (each.type == CTA_IP_V4_SRC) ends.source = address_of(each);
                if (each.type == CTA_IP_V4_DST) ends.destination = address_of(each);
            } else if (part.type == CTA_TUPLE_PROTO) {
                if (each.type == CTA_PROTO_NUM) store(protocol, each.u8());
                if (each.type == CTA_PROTO_SRC_PORT) ends.source_port = port_of(each);
                if (each.type == CTA_PROTO_DST_PORT) ends.destination_port = port_of(each);
            }
            return true;
        });
    });
    return protocol;
}

void decode_protocol(Connection& connection, underpass::Bytes attributes) {
    for_each_attribute(attributes, [&](const Attribute& protocol) {
        if (protocol.type != CTA_PROTOINFO_TCP) return true;
        return for_each_attribute(protocol.payload, [&](const Attribute& each) {
            if (each.type == CTA_PROTOINFO_TCP_STATE) store(connection.tcp_state, each.u8());
            return true;
        });
    });
}

}  // namespace

std::vector<Connection> list_connections() {
    NetlinkSocket conntrack(NETLINK_NETFILTER);
    DumpRequest<nfgenmsg> request(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET);
    request.header->nfgen_family = AF_INET;
    std::vector<Connection> connections;
    conntrack.dump(request.message, "list connections", [&connections](const nlmsghdr* message) {
        const auto payload = payload_of<nfgenmsg>(message);
        if (!payload) return;
        Connection& connection = connections.emplace_back();
        for_each_attribute(payload->attributes, [&connection](const Attribute& attribute) {
            switch (attribute.type) {
                case CTA_TUPLE_ORIG: connection.protocol = decode_tuple(connection.original, attribute.payload); break;
                case CTA_TUPLE_REPLY: decode_tuple(connection.reply, attribute.payload); break;
                case CTA_PROTOINFO: decode_protocol(connection, attribute.payload); break;
                case CTA_STATUS: connection.status = attribute.be32().value_or(0); break;
                case CTA_TIMEOUT: connection.timeout_s = attribute.be32().value_or(0); break;
                default: break;
            }
            return true;
        });
    });
    return connections;
}

void forget_connections() {
    NetlinkSocket conntrack(NETLINK_NETFILTER);
    DumpRequest<nfgenmsg> flush(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE);
    flush.header->nfgen_family = AF_INET;
    conntrack.request(flush.message, "forget all connections");
}

const char* const NatFixture::kMasquerade =
    "add table ip n;"
    "add chain ip n pre { type nat hook prerouting priority dstnat; };"
    "add chain ip n post { type nat hook postrouting priority srcnat; };"
    "add rule ip n pre iifname up tcp dport 8080 dnat to 10.1.0.2:80;"
    "add rule ip n pre iifname up udp dport 8080 dnat to 10.1.0.2:80;"
    "add rule ip n post oifname up ip saddr { 10.0.0.0/24, 10.1.0.0/24 } masquerade;"
    "add table inet f;"
    "add chain inet f forward { type filter hook forward priority filter; policy drop; };"
    "add rule inet f forward ct state established,related counter accept;"
    "add rule inet f forward ct state invalid drop;"
    "add rule inet f forward tcp flags syn / syn,rst tcp option maxseg size set rt mtu;"
    "add rule inet f forward iifname br0 oifname up accept;"
    "add rule inet f forward ct status dnat accept";

void NatFixture::SetUp() {
    RouteTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (!run(*router_, {"nft", "add table ip n; add chain ip n c { type nat hook postrouting priority 0; }"}).ok())
        GTEST_SKIP() << "this kernel has no NAT for nftables";
    shell(*router_, "nft flush ruleset");
    shell(*server_, "ip route del default; ip -6 route del default");
}

std::string NatFixture::add_docker_rules() const {
    const Finished finished = run(*router_, {"sh", "-ec", kDocker});
    return finished.ok() ? "" : finished.text();
}

std::string NatFixture::stream(const lab::Namespace& from, const std::string& to, const lab::Namespace& server,
                               int port, const std::string& options) {
    return iperf3(from, fmt::format("-c {} -t {} {}", to, is_emulated() ? 2 : 1, options), server, port);
}

}  // namespace underpass::test
