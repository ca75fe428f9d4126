// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A host with the rules that people write, and what its conntrack has. The server knows the router alone: what is not
// translated gets no answer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "route_fixture.h"

namespace underpass::test {

// One entry of conntrack. Ports in host order.
struct Connection {
    struct Ends {
        std::string source, destination;
        std::uint16_t source_port = 0, destination_port = 0;
    } original, reply;
    std::uint8_t protocol = 0;
    std::uint8_t tcp_state = 0;  // TCP_CONNTRACK_*
    std::uint32_t status = 0;    // IPS_*
    std::uint32_t timeout_s = 0;
};
// Those of IPv4, of the calling thread's namespace.
std::vector<Connection> list_connections();
void forget_connections();

class NatFixture : public RouteTest {
protected:
    // The client is behind the router's own address; its port 80 is published there as 8080.
    static const char* const kMasquerade;

    void SetUp() override;

    void nft(const std::string& rules) const { shell(*router_, "nft '" + rules + "'"); }
    // The same as Docker 24 writes it for a bridge of that name; "" or why iptables does not work here.
    std::string add_docker_rules() const;

    // iperf3 in one direction, for a second; "" if it went well.
    static std::string stream(const lab::Namespace& from, const std::string& to, const lab::Namespace& server, int port,
                              const std::string& options);
};

}  // namespace underpass::test
