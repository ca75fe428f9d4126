// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A TCP transfer through a network: random bytes go to a server that sends them back, and are compared on return.
//
// Client and server are both in this process, each with its socket in a namespace of its own. Nothing blocks for ever:
// the client has a deadline, the server ends with its object. That no connection comes about is a result; an error is
// only what prevents the try itself (a server's address that its namespace does not have).
#pragma once

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>

#include "lab/namespace.h"
#include "loader/fd.h"
#include "model/ip.h"

namespace underpass::lab {

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;

    SocketAddress() = default;
    SocketAddress(const IpAddress& address, std::uint16_t port);
    // The largest, for the kernel to fill in.
    static SocketAddress room();

    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
    IpAddress address() const;
    std::uint16_t port() const;
};

// Until `fd` has one of poll's `events` or an error; false: not before `end`. Throws Interrupted (interrupt.h).
bool wait_for(int fd, short events, std::chrono::steady_clock::time_point end);
// "1 s", "0.25 s", for sentences about a limit.
std::string text(std::chrono::milliseconds limit);

// Sends back whatever comes, one connection after the other, in a thread of its own while the object lives.
class EchoServer {
public:
    // At an ephemeral port of `address` in `where`. Throws std::system_error.
    EchoServer(const Namespace& where, const IpAddress& address);
    EchoServer(const EchoServer&) = delete;
    EchoServer& operator=(const EchoServer&) = delete;
    ~EchoServer();

    std::uint16_t port() const noexcept { return port_; }
    // Somebody has connected.
    bool touched() const noexcept { return touched_; }

private:
    void serve();
    void send_back(int connection);
    bool wait(int fd, short events) const;  // false: the object is about to go

    std::array<char, 65536> buffer_{};
    Fd listener_;
    Fd stop_;
    std::uint16_t port_ = 0;
    std::atomic<bool> touched_ = false;
    std::thread thread_;  // last: it uses the others
};

struct StreamResult {
    bool connected = false;           // as the client sees it
    bool accepted = false;            // as the server sees it, where the server is ours
    std::size_t bytes = 0;            // that came back as they were sent
    std::chrono::nanoseconds time{};  // from the first step of connecting to the last byte
    std::string reason;               // empty: all came back

    bool ok() const { return reason.empty(); }
};

// From the calling thread's namespace to a server that sends back what it gets, at `to`.
StreamResult stream(const IpAddress& to, std::uint16_t port, std::size_t bytes, std::chrono::milliseconds timeout);

// From one namespace to a server that is made for it in another, at `address`. Throws std::system_error.
StreamResult transfer(const Namespace& from, const Namespace& to, const IpAddress& address, std::size_t bytes,
                      std::chrono::milliseconds timeout);

}  // namespace underpass::lab
