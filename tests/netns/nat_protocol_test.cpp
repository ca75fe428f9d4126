// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What else goes through a host with rules than plain streams: errors about packets that were translated, protocols
// that carry addresses, protocols without ports. Each conversation is had without Underpass, then with it, by either
// hook and with either kind of rules, and goes the same.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "crowd.h"
#include "loader/error.h"
#include "nat_fixture.h"
#include "trial.h"

namespace underpass::test {

namespace {

int patience_ms() {
    return is_emulated() ? 10000 : 1000;
}

Fd make_socket(const lab::Namespace& where, int type, int protocol = 0) {
    return where.run([&] {
        const int one = 1;
        const timeval patience = {.tv_sec = patience_ms() / 1000, .tv_usec = 0};
        Fd made(::socket(AF_INET, type | SOCK_CLOEXEC, protocol));
        if (!made) throw_errno(errno, "make a socket");
        ::setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        ::setsockopt(made.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        return made;
    });
}

void set_option(const Fd& socket, int option, int value) {
    if (::setsockopt(socket.get(), IPPROTO_IP, option, &value, sizeof(value)) != 0)
        throw_errno(errno, "set an option of a socket");
}

void bind_to(const Fd& socket, const sockaddr_in& address) {
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        throw_errno(errno, "bind a socket");
}

bool connect_to(const Fd& socket, const sockaddr_in& address) {
    return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

std::string text(const in_addr& address) {
    std::array<char, INET_ADDRSTRLEN> buffer{};
    return ::inet_ntop(AF_INET, &address, buffer.data(), buffer.size());
}

struct Received {
    std::string bytes;
    sockaddr_in from = {};
};

Received receive(const Fd& socket) {
    Received got;
    got.bytes.resize(65536);
    socklen_t length = sizeof(got.from);
    const ssize_t size = ::recvfrom(socket.get(), got.bytes.data(), got.bytes.size(), 0,
                                    reinterpret_cast<sockaddr*>(&got.from), &length);
    got.bytes.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return got;
}

bool send_to(const Fd& socket, const std::string& bytes, const sockaddr_in& to) {
    return ::sendto(socket.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) ==
           static_cast<ssize_t>(bytes.size());
}

// The next ICMP error (or the socket's own) about what was sent.
std::string next_error(const Fd& socket) {
    pollfd queue = {.fd = socket.get(), .events = 0, .revents = 0};
    if (::poll(&queue, 1, patience_ms()) <= 0) return "no error";
    std::array<char, 2048> bytes{};
    alignas(cmsghdr) std::array<char, 512> control{};
    iovec part = {.iov_base = bytes.data(), .iov_len = bytes.size()};
    sockaddr_in about = {};
    msghdr message = {};
    message.msg_name = &about;
    message.msg_namelen = sizeof(about);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(socket.get(), &message, MSG_ERRQUEUE) < 0) return std::strerror(errno);
    for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr; each = CMSG_NXTHDR(&message, each)) {
        if (each->cmsg_level != IPPROTO_IP || each->cmsg_type != IP_RECVERR) continue;
        struct {
            sock_extended_err error;
            sockaddr_in offender;
        } said = {};
        std::memcpy(&said, CMSG_DATA(each), std::min(sizeof(said), each->cmsg_len - CMSG_LEN(0)));
        return fmt::format("type {} code {} from {}, {}, about a packet to {}:{}", said.error.ee_type,
                           said.error.ee_code, text(said.offender.sin_addr), said.error.ee_info, text(about.sin_addr),
                           ntohs(about.sin_port));
    }
    return "an error without a source";
}

// One UDP socket at either end.
class Datagrams {
public:
    Datagrams(const lab::Namespace& from, const sockaddr_in& to, const lab::Namespace& server, std::uint16_t port)
        : client_(make_socket(from, SOCK_DGRAM)), server_(make_socket(server, SOCK_DGRAM)) {
        bind_to(server_, ipv4("0.0.0.0", port));
        set_option(client_, IP_RECVERR, 1);
        set_option(client_, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
        connect_to(client_, to);
    }

    const Fd& client() const { return client_; }
    void close_server() { server_ = Fd(); }

    // Those that came back as they were sent, up to the third that did not.
    std::size_t talk(std::size_t rounds, std::size_t bytes = 100) const {
        std::size_t came_back = 0;
        for (std::size_t i = 0; i < rounds && came_back + 3 > i; i++) {
            came_back += says_and_hears(std::string(bytes, static_cast<char>('a' + i % 26))) ? 1 : 0;
            std::this_thread::sleep_for(milliseconds(is_emulated() ? 10 : 2));
        }
        return came_back;
    }
    // What is said to one datagram.
    std::string provoke(std::size_t bytes = 100) const {
        const std::string said(bytes, 'p');
        if (::send(client_.get(), said.data(), said.size(), 0) < 0 && errno != EMSGSIZE)
            return std::string("send: ") + std::strerror(errno);
        return next_error(client_);
    }

private:
    bool says_and_hears(const std::string& said) const {
        if (::send(client_.get(), said.data(), said.size(), 0) < 0) return false;
        const Received heard = receive(server_);
        return !heard.bytes.empty() && send_to(server_, heard.bytes, heard.from) && receive(client_).bytes == said;
    }

    Fd client_, server_;
};

constexpr std::size_t kRounds = 200;

class NatProtocolTest : public NatFixture {
protected:
    void SetUp() override {
        NatFixture::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        for (const lab::Namespace* each : {client_, server_}) shell(*each, "sysctl -q -w net.ipv4.icmp_ratelimit=0");
    }

    // `least_fast`: frames of the conversation that go fast in either direction.
    void expect_same(std::uint64_t least_fast, const std::function<std::string()>& converse,
                     const std::string& rules = kMasquerade) {
        for (const bool docker : {false, true}) {
            SCOPED_TRACE(docker ? "Docker's rules" : rules);
            shell(*router_, "nft flush ruleset");
            const std::string refused = docker ? add_docker_rules() : "";
            if (!refused.empty()) {
                fmt::print("iptables does not work here: {}\n", refused);
                continue;
            }
            if (!docker) nft(rules);
            const std::string expected = afresh(converse);
            up();
            EXPECT_EQ(afresh(converse), expected);
            for (const char* port : {"c", "up"}) {
                EXPECT_GE(routed(port, "translated"), least_fast) << port << ": " << ask("status").dump(2);
                if (least_fast == 0) {
                    EXPECT_EQ(routed(port), 0U);
                }
            }
            if (!docker) fmt::print("{}", expected);
            const Finished down = underpass(*router_, {"down"});
            EXPECT_TRUE(down.ok()) << down.text();
        }
    }

private:
    std::string afresh(const std::function<std::string()>& converse) const {
        for (const lab::Namespace* each : {router_, client_, server_}) shell(*each, "ip route flush cache");
        router_->run(forget_connections);
        return converse();
    }
};

// As traceroute does it, first with a new connection for each packet, then with one that is fast otherwise; to the
// server, and to the published port.
TEST_P(NatProtocolTest, Traceroute) {
    expect_same(2 * kRounds / 3, [this] {
        std::string said;
        const auto trace = [&said](const lab::Namespace& from, const std::string& to, std::uint16_t port,
                                   const lab::Namespace& server, std::uint16_t server_port) {
            for (int ttl = 1; ttl <= 2; ttl++) {
                Datagrams probe(from, ipv4(to, port), server, server_port);
                probe.close_server();
                set_option(probe.client(), IP_TTL, ttl);
                said += fmt::format("{} hops: {}\n", ttl, probe.provoke());
            }
            Datagrams known(from, ipv4(to, port), server, server_port);
            said += fmt::format("{} came back\n", known.talk(kRounds));
            set_option(known.client(), IP_TTL, 1);
            said += fmt::format("expired: {}\n", known.provoke());
            set_option(known.client(), IP_TTL, 2);
            said += fmt::format("{} came back\n", known.talk(10));
            known.close_server();
            said += fmt::format("closed: {}\n", known.provoke());
        };
        trace(*client_, "10.2.0.2", 33434, *server_, 33434);
        trace(*server_, "10.2.0.1", 8080, *client_, 80);
        return said;
    });
}

// A route of the router's that has a smaller MTU, and a link behind the server that has one: what does not fit is told
// to the client as of its own packet, and TCP finds its size.
TEST_P(NatProtocolTest, PathMtu) {
    const lab::Namespace& beyond = make("beyond");
    shell(*server_, "ip link add far type veth peer name far netns " + beyond.name() +
                        ";ip addr add 10.3.0.1/24 dev far; ip link set far mtu 1300 up;"
                        "sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.icmp_ratelimit=0");
    shell(beyond,
          "ip addr add 10.3.0.2/24 dev far; ip link set far up;"
          "ip route add default via 10.3.0.1 mtu lock 1300 advmss 1460");
    shell(*router_,
          "ip route add 10.3.0.0/24 via 10.2.0.2;"
          "ip route change 10.2.0.0/24 dev up src 10.2.0.1 mtu lock 1400");
    if (HasFatalFailure()) return;
    const auto converse = [&] {
        std::string said;
        for (const auto& [address, mtu, server] :
             {std::tuple("10.2.0.2", 1400U, server_), std::tuple("10.3.0.2", 1300U, &beyond)}) {
            const Datagrams known(*client_, ipv4(address, 7), *server, 7);
            said += fmt::format("{} came back\n", known.talk(kRounds));
            said += fmt::format("too big: {}\n", known.provoke(1472));
            said += fmt::format("{} of that size came back\n", known.talk(10, mtu - 28));
            said += fmt::format("one more byte: {}\n", known.provoke(mtu - 27));
            for (const lab::Namespace* each : {client_, router_}) shell(*each, "ip route flush cache");
            const EchoServer echo(*server, {5001});
            Crowd transfer(*client_, address, {5001}, {.bytes = 200000, .turns = 40, .pause = milliseconds(15)});
            const CrowdOutcome outcome = transfer.finish();
            said += fmt::format("{} turns of a transfer, {} went wrong\n", outcome.turns, outcome.wrong.size());
            const std::string route = answer(*client_, {"ip", "route", "get", address});
            said += fmt::format("learnt: {}\n", route.find(fmt::format("mtu {}", mtu)) != std::string::npos);
        }
        return said;
    };
    // Rules that clamp would tell either end of a connection at its beginning.
    expect_same(is_emulated() ? 100 : 1000, converse,
                std::string(kMasquerade) +
                    ";flush chain inet f forward; add rule inet f forward ct state established,related accept;"
                    "add rule inet f forward iifname br0 oifname up accept");
}

std::string line_from(const Fd& socket) {
    std::string line;
    for (char byte = 0; line.find('\n') == std::string::npos && ::recv(socket.get(), &byte, 1, 0) == 1;) line += byte;
    return line;
}

void say_line(const Fd& socket, const std::string& line) {
    EXPECT_EQ(::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL), static_cast<ssize_t>(line.size()));
}

Fd listen_at(const lab::Namespace& where, std::uint16_t port) {
    Fd made = make_socket(where, SOCK_STREAM);
    bind_to(made, ipv4("0.0.0.0", port));
    ::listen(made.get(), 1);
    return made;
}

Fd accept_from(const Fd& listening) {
    Fd made(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const timeval patience = {.tv_sec = patience_ms() / 1000, .tv_usec = 0};
    ::setsockopt(made.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return made;
}

constexpr const char* kFtpClient = "10.1.0.200";  // longer than the router's: what follows moves

// A client that has its files sent to itself: it names its address in `PORT`. What was said by either, but for the
// bytes of the files.
std::string active_ftp(const lab::Namespace& client_side, const lab::Namespace& server_side,
                       const std::function<void()>& once_it_is_known) {
    constexpr std::size_t kPieces = 60, kPiece = 30000;
    const Fd control_listening = listen_at(server_side, 21), data_listening = listen_at(client_side, 3077);
    const Fd client = make_socket(client_side, SOCK_STREAM);
    bind_to(client, ipv4(kFtpClient));
    if (!connect_to(client, ipv4("10.2.0.2", 21))) return "not connected\n";
    const Fd server = accept_from(control_listening);
    const auto exchange = [&](const std::string& command, const std::string& reply) {
        say_line(client, command + "\r\n");
        const std::string heard = line_from(server);
        say_line(server, reply + "\r\n");
        return heard + line_from(client);
    };
    std::string said = exchange("USER me", "230 hello");
    once_it_is_known();
    const std::string idle = exchange("NOOP", "200 ok");
    // More, and longer, than a plain connection needs to go fast.
    for (int i = 0; i < 100; i++) {
        if (exchange("NOOP", "200 ok") != idle) said += "not heard\n";
        std::this_thread::sleep_for(milliseconds(3));
    }
    const std::string command = exchange("PORT 10,1,0,200,12,5", "200 ok");
    said += command;
    std::array<unsigned, 6> part{};
    if (std::sscanf(command.c_str(), "PORT %u,%u,%u,%u,%u,%u", &part[0], &part[1], &part[2], &part[3], &part[4],
                    &part[5]) != 6)
        return said + "no address\n";
    const Fd data = make_socket(server_side, SOCK_STREAM);
    const std::string address = fmt::format("{}.{}.{}.{}", part[0], part[1], part[2], part[3]);
    if (!connect_to(data, ipv4(address, static_cast<std::uint16_t>(part[4] * 256 + part[5]))))
        return said + "not connected to " + address + "\n";
    const Fd receiving = accept_from(data_listening);
    // Slow enough for a connection to be prepared.
    std::thread sending([&data] {
        const std::string bytes(kPiece, 'f');
        for (std::size_t piece = 0; piece < kPieces; piece++) {
            ::send(data.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            std::this_thread::sleep_for(milliseconds(8));
        }
        ::shutdown(data.get(), SHUT_WR);
    });
    std::size_t got = 0;
    for (std::string bytes; !(bytes = receive(receiving).bytes).empty();) got += bytes.size();
    sending.join();
    said += got == kPieces * kPiece ? "a whole file\n" : fmt::format("{} bytes\n", got);
    said += exchange("NOOP", "226 done");
    return said + exchange("QUIT", "221 bye");
}

// The kernel's helper writes the router's address instead of the client's, and lets the server's connections in: while
// there is a rule that gives one to each connection, and for a connection that has one when there is no such rule any
// more. Those that the helper lets in are like any other.
TEST_P(NatProtocolTest, FtpHelper) {
    run(*router_, {"modprobe", "-q", "-a", "nf_conntrack_ftp", "nf_nat_ftp"});
    const std::string helper =
        "add table ip h;"
        "add ct helper ip h ftp { type \"ftp\" protocol tcp; };"
        "add chain ip h pre { type filter hook prerouting priority filter; };"
        "add rule ip h pre tcp dport 21 ct helper set \"ftp\"";
    const Finished known = run(*router_, {"nft", helper});
    if (!known.ok()) GTEST_SKIP() << "this kernel has no FTP helper: " << known.text();
    shell(*client_, fmt::format("ip addr add {}/24 dev c", kFtpClient));
    const auto change = [this](const std::string& rules) {
        nft(rules);
        std::this_thread::sleep_for(milliseconds(is_emulated() ? 2000 : 200));
    };
    expect_same(is_emulated() ? 5 : 20, [&] {
        change(helper);
        std::string said = active_ftp(*client_, *server_, [] {});
        said += active_ftp(*client_, *server_, [&] { change("delete table ip h"); });
        EXPECT_NE(said.find("PORT 10,2,0,1,"), std::string::npos) << said;
        EXPECT_NE(said.find("a whole file"), std::string::npos) << said;
        return said;
    });
}

std::uint32_t crc32c(const std::string& bytes) {
    std::uint32_t crc = ~0U;
    for (const char each : bytes) {
        crc ^= static_cast<std::uint8_t>(each);
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

constexpr char kData = 0, kInit = 1, kInitAck = 2, kSack = 3, kCookieEcho = 10, kCookieAck = 11;

// One chunk of that kind, of an association with one tag for both ways.
std::string sctp(std::uint16_t source, std::uint16_t destination, char kind) {
    constexpr std::uint32_t kTag = 0x01020304;
    constexpr std::size_t kHeader = 12, kChunk = 20;
    std::string packet(kHeader + kChunk, '\0');
    const auto put = [&packet](std::size_t at, const auto& value) { std::memcpy(&packet[at], &value, sizeof(value)); };
    put(0, htons(source));
    put(2, htons(destination));
    put(4, kind == kInit ? 0 : htonl(kTag));
    packet[kHeader] = kind;
    put(kHeader + 2, htons(kChunk));
    put(kHeader + 4, htonl(kTag));
    put(kHeader + 8, htonl(65536));        // window
    put(kHeader + 12, htonl(0x00010001));  // streams
    put(8, crc32c(packet));
    return packet;
}

// Those are the kernel's, however many there are, translated (by Docker's rules) or not.
TEST_P(NatProtocolTest, OtherProtocols) {
    constexpr int kEach = 40;
    constexpr std::size_t kPorts = 2 + 2 + 4 + 4;  // of SCTP, with what the kernel writes anew: tag and checksum
    std::map<std::string, int> said;
    // Where it came from. The first `skipped` bytes are not compared.
    const auto carry = [&said](const std::string& what, const Fd& from, const sockaddr_in& to, const Fd& at,
                               const std::string& packet, std::size_t skipped) {
        if (!send_to(from, packet, to)) said[what + " not sent: " + std::strerror(errno)]++;
        const Received got = receive(at);
        const bool same = got.bytes.size() == sizeof(iphdr) + packet.size() &&
                          got.bytes.substr(sizeof(iphdr) + skipped) == packet.substr(skipped);
        said[fmt::format("{} from {}, {}", what, text(got.from.sin_addr), same ? "as it was sent" : "another")]++;
        std::this_thread::sleep_for(milliseconds(2));
        return got.from;
    };
    const auto sockets = [this](int protocol) {
        return std::pair(make_socket(*client_, SOCK_RAW, protocol), make_socket(*server_, SOCK_RAW, protocol));
    };
    const auto converse = [&] {
        said.clear();
        for (const int protocol : {int{IPPROTO_GRE}, int{IPPROTO_ESP}, 253}) {
            const auto [client, server] = sockets(protocol);
            const std::string name = fmt::format("protocol {}", protocol);
            for (int i = 0; i < kEach; i++) {
                std::string packet(100, static_cast<char>(i));
                packet.replace(0, 4, std::string("\0\0\x08\0", 4));  // GRE: IPv4 follows
                carry(name, server, carry(name, client, ipv4("10.2.0.2"), server, packet, 0), client, packet, 0);
            }
        }
        const auto [client, server] = sockets(IPPROTO_SCTP);
        std::vector<std::pair<char, char>> chunks = {{kInit, kInitAck}, {kCookieEcho, kCookieAck}};
        chunks.resize(kEach, {kData, kSack});
        for (const auto& [there, back] : chunks) {
            const sockaddr_in router = carry("SCTP", client, ipv4("10.2.0.2"), server, sctp(7000, 7001, there), kPorts);
            carry("SCTP", server, router, client, sctp(7001, 7000, back), kPorts);
        }
        std::string all;
        for (const auto& [line, count] : said) all += fmt::format("{} of {}\n", count, line);
        return all;
    };
    shell(*server_, "ip route add 10.1.0.0/24 via 10.2.0.1");
    expect_same(0, converse,
                "add table inet f;"
                "add chain inet f forward { type filter hook forward priority filter; policy drop; };"
                "add rule inet f forward ct state established,related accept;"
                "add rule inet f forward iifname br0 oifname up accept");
}

INSTANTIATE_TEST_SUITE_P(Hooks, NatProtocolTest, ::testing::Values("tc", "xdp"),
                         [](const auto& test) { return test.param; });

}  // namespace

}  // namespace underpass::test
