// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/talk.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <exception>
#include <future>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "bench/cpu_time.h"
#include "bench/process.h"
#include "lab/interrupt.h"
#include "loader/error.h"
#include "loader/fd.h"

namespace underpass::bench {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr std::uint16_t kPort = 5201;
constexpr milliseconds kPatience(200);  // of every blocking call, so that a thread hears when it should end
constexpr std::size_t kBatch = 64;

void set_option(const Fd& socket, int level, int option, int value) {
    if (::setsockopt(socket.get(), level, option, &value, sizeof(value)) != 0)
        throw_errno(errno, "set a socket option");
}

void set_patience(const Fd& socket) {
    const timeval patience = {0, std::chrono::duration_cast<std::chrono::microseconds>(kPatience).count()};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

Fd open_socket(Protocol protocol) {
    Fd socket(::socket(AF_INET, (protocol == Protocol::tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
    if (!socket) throw_errno(errno, "open a socket");
    set_patience(socket);
    return socket;
}

sockaddr_in address_of(const std::string& text) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(kPort);
    if (::inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1)
        throw std::invalid_argument("no IPv4 address: " + text);
    return address;
}

Fd serve_at(Protocol protocol, const std::string& address_text) {
    Fd socket = open_socket(protocol);
    const sockaddr_in address = address_of(address_text);
    set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        throw_errno(errno, "bind to " + address_text);
    if (protocol == Protocol::tcp && ::listen(socket.get(), SOMAXCONN) != 0)
        throw_errno(errno, "listen at " + address_text);
    return socket;
}

Fd connect_to(Protocol protocol, const std::string& address_text) {
    Fd socket = open_socket(protocol);
    const sockaddr_in address = address_of(address_text);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        throw_errno(errno, "connect to " + address_text);
    if (protocol == Protocol::tcp) set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
    return socket;
}

bool is_retry() {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

// The other end, in a thread of its own at its place. The socket is opened before the constructor returns; `work` runs
// until it sees that it should stop.
class Server {
public:
    template <class Work>
    Server(const Place& place, Protocol protocol, const std::string& address, Work work) {
        run_at(place, [&] { socket_ = serve_at(protocol, address); });
        thread_ = std::thread([this, place, work] {
            try {
                move_to(place);
                work(socket_, stop_);
            } catch (...) {
                failure_ = std::current_exception();
            }
        });
    }
    ~Server() { join(); }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    void stop() {
        join();
        if (failure_) std::rethrow_exception(failure_);
    }

private:
    void join() {
        stop_ = true;
        if (thread_.joinable()) thread_.join();
    }

    Fd socket_;
    std::atomic<bool> stop_ = false;
    std::exception_ptr failure_;
    std::thread thread_;
};

// One connection, until its other end closes it.
void answer_one(const Fd& peer, const std::atomic<bool>& stop) {
    set_patience(peer);
    set_option(peer, IPPROTO_TCP, TCP_NODELAY, 1);
    char byte = 0;
    while (!stop) {
        const ssize_t size = ::recv(peer.get(), &byte, 1, 0);
        if (size == 0 || (size < 0 && !is_retry())) return;
        if (size == 1) ::send(peer.get(), &byte, 1, MSG_NOSIGNAL);
    }
}

// One connection after another.
void answer_tcp(const Fd& listener, const std::atomic<bool>& stop) {
    while (!stop) {
        const Fd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (peer) answer_one(peer, stop);
    }
}

// All connections at once.
void answer_all_tcp(const Fd& listener, const std::atomic<bool>& stop) {
    std::vector<std::future<void>> answering;
    while (!stop) {
        Fd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (peer)
            answering.push_back(
                std::async(std::launch::async, [&stop, peer = std::move(peer)] { answer_one(peer, stop); }));
    }
    for (auto& each : answering) each.get();
}

void answer_udp(const Fd& socket, const std::atomic<bool>& stop) {
    while (!stop) {
        char byte = 0;
        sockaddr_in from = {};
        socklen_t size = sizeof(from);
        if (::recvfrom(socket.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), &size) == 1)
            ::sendto(socket.get(), &byte, 1, 0, reinterpret_cast<const sockaddr*>(&from), size);
    }
}

// One transaction; false if no answer came.
bool ask(const Fd& socket) {
    char byte = 1;
    if (::send(socket.get(), &byte, 1, MSG_NOSIGNAL) != 1) return false;
    const ssize_t size = ::recv(socket.get(), &byte, 1, 0);
    if (size < 0 && !is_retry()) throw_errno(errno, "receive an answer");
    return size == 1;
}

// One connection with one transaction; false if it was not made in time, or no answer came.
bool connect_and_ask(const std::string& address) {
    try {
        return ask(connect_to(Protocol::tcp, address));
    } catch (const std::system_error& error) {
        if (error.code().value() != EINPROGRESS) throw;
        return false;
    }
}

// Returns the seconds that it took.
template <class Transaction>  // returns whether it was answered
double repeat_for(milliseconds time, const Transaction& transaction, std::vector<std::uint32_t>& latencies) {
    const auto start = steady_clock::now();
    auto before = start;
    const auto end = start + time;
    while (before < end) {
        lab::throw_if_interrupted();
        const bool answered = transaction();
        const auto now = steady_clock::now();
        if (answered) latencies.push_back(static_cast<std::uint32_t>((now - before) / std::chrono::nanoseconds(1)));
        before = now;
    }
    return std::chrono::duration<double>(before - start).count();
}

double percentile_us(std::vector<std::uint32_t>& nanoseconds, double share) {
    if (nanoseconds.empty()) return 0;
    const auto place = static_cast<std::ptrdiff_t>(share * static_cast<double>(nanoseconds.size() - 1));
    std::nth_element(nanoseconds.begin(), nanoseconds.begin() + place, nanoseconds.end());
    return nanoseconds[static_cast<std::size_t>(place)] / 1000.0;
}

// Transactions one after another, of each of `count` threads.
template <class Transaction>  // is called with the thread's number
RequestResponse repeat_at_once(milliseconds time, std::uint32_t count, const Transaction& transaction) {
    std::vector<std::vector<std::uint32_t>> latencies(count);
    RequestResponse result;
    const auto one = [&](std::uint32_t number) {
        latencies[number].reserve((1 << 20) / count);
        return repeat_for(
            time, [&] { return transaction(number); }, latencies[number]);
    };
    std::vector<std::future<double>> others;
    const CpuTime cpu;
    for (std::uint32_t number = 1; number < count; number++)
        others.push_back(std::async(std::launch::async, one, number));
    result.seconds = one(0);
    for (auto& other : others) other.get();
    result.busy_seconds = cpu.busy_seconds();
    for (std::uint32_t number = 1; number < count; number++)
        latencies.front().insert(latencies.front().end(), latencies[number].begin(), latencies[number].end());
    result.transactions = latencies.front().size();
    result.p50_us = percentile_us(latencies.front(), 0.50);
    result.p99_us = percentile_us(latencies.front(), 0.99);
    return result;
}

template <class Transaction>
RequestResponse repeat(milliseconds warm_up, milliseconds time, std::uint32_t count, const Transaction& transaction) {
    repeat_at_once(warm_up, count, transaction);
    return repeat_at_once(time, count, transaction);
}

void count_frames(const Fd& socket, const std::atomic<bool>& stop, std::atomic<std::uint64_t>& received) {
    std::array<std::array<char, 128>, kBatch> buffers;
    std::array<iovec, kBatch> parts;
    std::array<mmsghdr, kBatch> messages = {};
    for (std::size_t i = 0; i < kBatch; i++) {
        parts[i] = {buffers[i].data(), buffers[i].size()};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (!stop) {
        const int count = ::recvmmsg(socket.get(), messages.data(), kBatch, MSG_WAITFORONE, nullptr);
        if (count > 0) received.fetch_add(static_cast<std::uint64_t>(count), std::memory_order_relaxed);
    }
}

// One batch of each socket after another.
void send_frames_for(const std::vector<Fd>& sockets, milliseconds time) {
    std::array<char, kSmallPayload> payload = {};
    iovec part = {payload.data(), payload.size()};
    std::array<mmsghdr, kBatch> messages = {};
    for (auto& message : messages) {
        message.msg_hdr.msg_iov = &part;
        message.msg_hdr.msg_iovlen = 1;
    }
    std::size_t next = 0;
    for (const auto end = steady_clock::now() + time; steady_clock::now() < end;) {
        lab::throw_if_interrupted();
        const int count = ::sendmmsg(sockets[next++ % sockets.size()].get(), messages.data(), kBatch, 0);
        if (count < 0 && !is_retry() && errno != ENOBUFS && errno != ECONNREFUSED)
            throw_errno(errno, "send small frames");
    }
}

std::vector<Fd> connect_all(std::uint32_t count, Protocol protocol, const std::string& address) {
    std::vector<Fd> sockets;
    for (std::uint32_t i = 0; i < count; i++) sockets.push_back(connect_to(protocol, address));
    return sockets;
}

}  // namespace

Bulk measure_bulk(const Ends& ends, milliseconds time, std::uint32_t streams) {
    Process server({"iperf3", "-s", "-1", "-B", ends.server_address, "--forceflush"}, ends.server);
    if (!server.wait_for_output("listening", std::chrono::seconds(5)))
        throw std::runtime_error("iperf3 did not start: " + server.wait(milliseconds(0)).output);
    const CpuTime cpu;
    const auto seconds = std::max<std::int64_t>(1, (time.count() + 500) / 1000);
    const Finished client = run_program(
        {"iperf3", "-c", ends.server_address, "-J", "-t", std::to_string(seconds), "-P", std::to_string(streams)},
        ends.client, time + std::chrono::seconds(20));
    Bulk result;
    result.busy_seconds = cpu.busy_seconds();
    const auto answer = nlohmann::json::parse(client.output, nullptr, false);
    if (client.status != 0 || answer.is_discarded() || !answer.contains("end") ||
        !answer["end"].contains("sum_received"))
        throw std::runtime_error("iperf3 failed: " + client.output.substr(0, 400));
    const auto& received = answer["end"]["sum_received"];
    result.seconds = received["seconds"].get<double>();
    result.bytes = received["bytes"].get<std::uint64_t>();
    return result;
}

RequestResponse measure_request_response(Protocol protocol, const Ends& ends, milliseconds warm_up, milliseconds time,
                                         std::uint32_t connections) {
    Server server(ends.server, protocol, ends.server_address, protocol == Protocol::tcp ? answer_all_tcp : answer_udp);
    RequestResponse result;
    run_at(ends.client, [&] {
        const std::vector<Fd> sockets = connect_all(connections, protocol, ends.server_address);
        result = repeat(warm_up, time, connections, [&](std::uint32_t number) { return ask(sockets[number]); });
    });
    server.stop();
    return result;
}

RequestResponse measure_connections(const Ends& ends, milliseconds warm_up, milliseconds time) {
    Server server(ends.server, Protocol::tcp, ends.server_address, answer_tcp);
    RequestResponse result;
    run_at(ends.client, [&] {
        result = repeat(warm_up, time, 1, [&ends](std::uint32_t) { return connect_and_ask(ends.server_address); });
    });
    server.stop();
    return result;
}

SmallFrames measure_small_frames(const Ends& ends, milliseconds warm_up, milliseconds time, std::uint32_t sockets) {
    std::atomic<std::uint64_t> received = 0;
    Server server(ends.server, Protocol::udp, ends.server_address,
                  [&](const Fd& socket, const std::atomic<bool>& stop) {
                      // A wake-up that comes late must not look like a lost frame.
                      const int size = 64 << 20;
                      ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
                      count_frames(socket, stop, received);
                  });
    SmallFrames result;
    run_at(ends.client, [&] {
        const std::vector<Fd> from = connect_all(sockets, Protocol::udp, ends.server_address);
        send_frames_for(from, warm_up);
        const std::uint64_t before = received;
        const CpuTime cpu;
        const auto start = steady_clock::now();
        send_frames_for(from, time);
        result.seconds = std::chrono::duration<double>(steady_clock::now() - start).count();
        result.busy_seconds = cpu.busy_seconds();
        result.received = received - before;
    });
    server.stop();
    return result;
}

}  // namespace underpass::bench
