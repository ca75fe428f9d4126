// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A random life of a host that routes between two bridges, with rules on the way: whoever is at the first is behind the
// host's address on the second, or behind another (10.7.0.1), and may be published there; or there are filters alone.
//
// What is sent are conversations. Which addresses their frames have at either end is known in advance: each has a
// client port of its own, so that no translation has to choose another one. Only a client begins: where the first frame
// that the host sees would be a server's, conntrack would take up the connection the wrong way round, and choose at
// random.
#include <fmt/format.h>

#include <array>

#include "conversation.h"

namespace underpass::test {

namespace {

constexpr const char* kOutside = "10.9.1.1";
constexpr const char* kBehind = "10.7.0.1";
constexpr std::uint16_t kFirstClientPort = 20000, kFirstPublished = 8000, kService = 80;

class Maker : TalkingLife {
public:
    explicit Maker(std::uint64_t seed) : TalkingLife(seed) {}

    Scenario make() {
        begin();
        step(ForgetConnections{});
        type("nft flush ruleset");
        draw_rules();
        // Nothing ends by itself meanwhile.
        std::string timeouts = "sysctl -q -w net.ipv4.ipfrag_time=600";
        for (const char* what : {"tcp_timeout_syn_sent", "tcp_timeout_syn_recv", "tcp_timeout_fin_wait",
                                 "tcp_timeout_close_wait", "tcp_timeout_last_ack", "tcp_timeout_time_wait",
                                 "tcp_timeout_close", "udp_timeout", "udp_timeout_stream", "icmp_timeout"})
            timeouts += fmt::format(" net.netfilter.nf_conntrack_{}=600", what);
        type(timeouts);
        step(Settle{});
        const std::size_t acts = 4 + below(4);
        for (std::size_t i = 0; i < acts; i++) {
            converse();
            if (chance(80)) undo_changes();
            if (chance(20)) change();
            if (chance(restore_.empty() ? 20 : 80)) change_rules();
        }
        undo_changes();
        return std::move(scenario_);
    }

private:
    enum class Source { kept, masqueraded, behind, behind_in_range };

    void nft(const std::string& rules) { type("nft '" + rules + "'"); }

    void draw_rules() {
        source_ = any_of(std::array{Source::kept, Source::masqueraded, Source::behind, Source::behind_in_range});
        published_ = chance(60);
        both_ = published_ && chance(40);
        const bool nat = source_ != Source::kept || published_;
        std::string rules;
        if (nat) {
            // See above. Nor does the host itself answer.
            rules +=
                "add table ip g; add chain ip g forward { type filter hook forward priority -10; };"
                "add rule ip g forward meta l4proto { tcp, udp } th sport < 1024 ct state new drop;"
                "add chain ip g input { type filter hook input priority 0; policy drop; };";
            rules +=
                "add table ip n; add chain ip n pre { type nat hook prerouting priority dstnat; };"
                "add chain ip n post { type nat hook postrouting priority srcnat; };";
            rules += translations();
            type(fmt::format("ip route replace blackhole {}", kBehind));
        }
        rules +=
            "add table ip f; add chain ip f late { type filter hook forward priority 5; }; add chain ip f called;"
            "add set ip f blocked { type ipv4_addr; }; add rule ip f late ip saddr @blocked drop;"
            "add rule ip f late jump called;";
        // Where nothing asks for a state there is no conntrack, and nothing goes fast.
        switch (nat || chance(15) ? below(3) : 2) {
            case 0: break;
            case 1:
                rules += fmt::format(
                    "add chain ip f forward {{ type filter hook forward priority filter; policy {0}; }};"
                    "add rule ip f forward udp dport {1} drop; add rule ip f forward ip saddr 10.9.0.0/16 accept;",
                    chance(50) ? "drop" : "accept", kService + 2);
                break;
            default:
                rules +=
                    "add chain ip f forward { type filter hook forward priority filter; policy drop; };"
                    "add rule ip f forward ct state established,related counter accept;"
                    "add rule ip f forward iifname br0 accept;"
                    "add rule ip f forward ct status dnat accept;";
                if (chance(40)) rules += "insert rule ip f forward ct state invalid counter drop;";
                if (chance(40)) rules += "add rule ip f forward tcp dport 80 accept;";
                if (chance(30))
                    rules += "insert rule ip f forward tcp flags syn / syn,rst tcp option maxseg size set 1000;";
        }
        nft(rules);
        translates_ = true;
    }

    std::string translations() const {
        std::string rules;
        switch (source_) {
            case Source::kept: break;
            case Source::masqueraded: rules += "add rule ip n post oifname br1 masquerade;"; break;
            case Source::behind: rules += fmt::format("add rule ip n post oifname br1 snat to {};", kBehind); break;
            case Source::behind_in_range:
                rules += fmt::format("add rule ip n post oifname br1 meta l4proto {{ tcp, udp }} snat to {}:{}-{};",
                                     kBehind, kFirstClientPort, kFirstClientPort + 9999);
        }
        for (std::size_t port = 0; published_ && port < scenario_.ports; port += 2)
            for (const char* protocol : {"tcp", "udp"})
                rules += fmt::format("add rule ip n pre ip daddr {} {} dport {} dnat to {}:{};", kOutside, protocol,
                                     kFirstPublished + port, address(port), kService);
        if (both_) rules += "add rule ip n post oifname br0 ct status dnat masquerade;";
        return rules;
    }

    // Between any two hosts at different bridges, from the first client port on that is free.
    Conversation introduce() {
        Conversation one;
        one.protocol = any_of(std::array{kTcp, kTcp, kTcp, kUdp, kUdp, kIcmp});
        End &client = one.ends[kClient], &server = one.ends[kServer];
        client.port = any_port();
        do server.port = any_port();
        while (bridge_of(server.port) == bridge_of(client.port));
        client.own_port = next_port_++;
        server.own_port = static_cast<std::uint16_t>(kService + below(3));
        client.own = address(client.port);
        server.own = server.port == 1 && chance(30) ? fmt::format("10.8.1.{}", 1 + below(3)) : address(server.port);
        for (End& end : one.ends) end.sequence = static_cast<std::uint32_t>(random_());
        if (chance(10)) client.sequence = 0xffffffff - static_cast<std::uint32_t>(below(3000));
        const bool outwards = bridge_of(client.port) == 0, ports = one.protocol != kIcmp;
        client.peer = server.own;
        server.peer = client.own;
        if (translates_ && outwards) {
            if (source_ == Source::masqueraded) server.peer = kOutside;
            if (source_ == Source::behind || (source_ == Source::behind_in_range && ports)) server.peer = kBehind;
        }
        if (translates_ && !outwards && published_ && ports) {
            server.own_port = kService;
            client.peer = kOutside;
            client.peer_port = static_cast<std::uint16_t>(kFirstPublished + server.port);
            if (both_) server.peer = "10.9.0.1";
        } else {
            client.peer_port = server.own_port;
        }
        server.peer_port = client.own_port;
        return one;
    }

    void converse() {
        std::vector<Conversation> all(1 + below(3));
        for (Conversation& one : all) open(one = introduce());
        for (Conversation& one : all) {
            mix(one, 3);
            // So many that a TCP connection is worth it.
            const std::size_t most = chance(50) ? kClient : kServer;
            for (std::size_t i = 0; i < 17; i++) say(one, i % 4 == 3 ? 1 - most : most);
        }
        for (int round = 0; round < 2; round++) {
            step(Settle{});
            for (Conversation& one : all) {
                one.young = false;
                say(one, kClient);
                say(one, kServer);
            }
        }
        step(Settle{});
        mix_all(all);
        if (chance(50)) {
            interrupt(all);
            mix_all(all);
        }
        for (Conversation& one : all) close(one);
    }

    void mix_all(std::vector<Conversation>& all) {
        const std::size_t rounds = 5 + below(8);
        for (std::size_t i = 0; i < rounds; i++)
            for (Conversation& one : all) mix(one, 1 + below(4));
    }
    // Something happens while they talk, and the clients go on.
    void interrupt(std::vector<Conversation>& all) {
        switch (below(3)) {
            case 0: change(kChangesOfRouting); break;
            case 1: change_rules(); break;
            default: step(ForgetConnections{});
        }
        step(Settle{});
        for (int round = 0; round < 2; round++)
            for (const std::size_t from : {kClient, kServer})
                for (Conversation& one : all) say(one, from);
        if (chance(50)) step(Settle{});
    }

    void change_rules() {
        if (!restore_.empty()) return nft(std::exchange(restore_, {}));
        if (chance(25) && (source_ != Source::kept || published_)) {
            nft(translates_ ? "flush chain ip n pre; flush chain ip n post" : translations());
            translates_ = !translates_;
            return;
        }
        const std::string host = address(any_port());
        switch (below(4)) {
            case 0:
                nft(fmt::format("add element ip f blocked {{ {} }}", host));
                restore_ = "flush set ip f blocked";
                break;
            case 1:
                nft("add chain ip f late { policy drop; }");
                restore_ = "add chain ip f late { policy accept; }";
                break;
            default: {
                const std::array what = {
                    fmt::format("ip saddr {} drop", host), fmt::format("ip daddr {} counter drop", host),
                    fmt::format("meta l4proto {{ tcp, udp }} th dport {} drop", kService),
                    fmt::format("tcp dport {} reject", kService), std::string("oifname br1 meta l4proto udp drop"),
                    std::string("ct direction reply drop"),
                    std::string("ct state invalid accept; add rule ip f called drop"),
                    // Those that see each packet.
                    std::string("ip length > 500 drop"), std::string("ip ttl < 10 drop"), std::string("ip dscp set 10"),
                    std::string("ct mark set 7"), std::string("limit rate over 100000/second drop")};
                nft("add rule ip f called " + any_of(what));
                restore_ = "flush chain ip f called";
            }
        }
    }

    Source source_ = Source::kept;
    bool published_ = false;  // services of the first bridge, at the host's address on the second
    bool both_ = false;       // and who asks for them seems to be the host
    bool translates_ = false;
    std::string restore_;  // what ends the last change of rules
    std::uint16_t next_port_ = kFirstClientPort;
};

}  // namespace

Scenario make_nat_scenario(std::uint64_t seed) {
    return Maker(seed).make();
}

}  // namespace underpass::test
