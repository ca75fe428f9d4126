// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/stream.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <system_error>
#include <vector>

#include "lab/interrupt.h"
#include "loader/error.h"

namespace underpass::lab {

namespace {

using std::chrono::steady_clock;

bool would_block() {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

std::string message(int error) {
    return std::generic_category().message(error);
}

std::vector<std::uint8_t> random_bytes(std::size_t size) {
    std::mt19937_64 random(std::random_device{}());
    std::vector<std::uint8_t> bytes(size);
    for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
        const std::uint64_t word = random();
        std::memcpy(bytes.data() + at, &word, std::min(sizeof(word), size - at));
    }
    return bytes;
}

class Client {
public:
    Client(const IpAddress& to, std::uint16_t port, std::size_t bytes, std::chrono::milliseconds timeout)
        : to_(to, port),
          fd_(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
          data_(random_bytes(bytes)),
          timeout_(timeout) {
        if (!fd_) throw_errno(errno, "open a TCP socket");
    }

    StreamResult run() {
        result_.reason = connect();
        result_.connected = result_.reason.empty();
        if (result_.connected) result_.reason = exchange();
        result_.time = steady_clock::now() - begin_;
        return result_;
    }

private:
    // These answer why not; empty: done.
    std::string connect() {
        if (::connect(fd_.get(), to_.get(), to_.size) == 0) return {};
        if (errno != EINPROGRESS) return "no connection: " + message(errno);
        if (!wait_for(fd_.get(), POLLOUT, end_)) return "no connection in " + text(timeout_);
        int error = 0;
        socklen_t size = sizeof(error);
        if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
        return error == 0 ? std::string() : "no connection: " + message(error);
    }

    std::string exchange() {
        while (result_.bytes < data_.size()) {
            const short events = sent_ < data_.size() ? POLLIN | POLLOUT : POLLIN;
            if (!wait_for(fd_.get(), events, end_)) return stopped(" in " + text(timeout_));
            if (std::string failure = send_some(); !failure.empty()) return failure;
            if (std::string failure = compare_some(); !failure.empty()) return failure;
        }
        return {};
    }

    std::string send_some() {
        if (sent_ == data_.size()) return {};
        const ssize_t size = ::send(fd_.get(), data_.data() + sent_, data_.size() - sent_, MSG_NOSIGNAL);
        if (size >= 0)
            sent_ += static_cast<std::size_t>(size);
        else if (!would_block())
            return stopped(": " + message(errno));
        return {};
    }

    std::string compare_some() {
        const ssize_t size = ::recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
        if (size < 0) return would_block() ? std::string() : stopped(": " + message(errno));
        if (size == 0) return stopped(": the other end closed");
        const auto got = static_cast<std::size_t>(size);
        const std::size_t expected = std::min(got, sent_ - result_.bytes);
        const auto first_wrong = std::mismatch(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(expected),
                                               data_.begin() + static_cast<std::ptrdiff_t>(result_.bytes));
        result_.bytes += static_cast<std::size_t>(first_wrong.first - buffer_.begin());
        if (first_wrong.first == buffer_.begin() + size) return {};
        return fmt::format("byte {} did not come back as it was sent", result_.bytes);
    }

    std::string stopped(const std::string& when_or_why) const {
        return fmt::format("connected, but {} of {} bytes came back{}", result_.bytes, data_.size(), when_or_why);
    }

    SocketAddress to_;
    Fd fd_;
    std::vector<std::uint8_t> data_;
    std::array<std::uint8_t, 65536> buffer_{};
    std::size_t sent_ = 0;
    StreamResult result_;
    std::chrono::milliseconds timeout_;
    steady_clock::time_point begin_ = steady_clock::now();
    steady_clock::time_point end_ = begin_ + timeout_;
};

}  // namespace

SocketAddress::SocketAddress(const IpAddress& address, std::uint16_t port) {
    if (address.v6) {
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        std::memcpy(&v6.sin6_addr, address.bytes().data(), sizeof(v6.sin6_addr));
        std::memcpy(&storage, &v6, size = sizeof(v6));
    } else {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        std::memcpy(&v4.sin_addr, address.bytes().data(), sizeof(v4.sin_addr));
        std::memcpy(&storage, &v4, size = sizeof(v4));
    }
}

SocketAddress SocketAddress::room() {
    SocketAddress room;
    room.size = sizeof(room.storage);
    return room;
}

IpAddress SocketAddress::address() const {
    IpAddress address{.v6 = storage.ss_family == AF_INET6};
    if (address.v6)
        std::memcpy(address.storage.data(), &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr, 16);
    else
        std::memcpy(address.storage.data(), &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr, 4);
    return address;
}

std::uint16_t SocketAddress::port() const {
    return ntohs(storage.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port
                                               : reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
}

bool wait_for(int fd, short events, steady_clock::time_point end) {
    using std::chrono::milliseconds;
    for (;;) {
        throw_if_interrupted();
        const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now());
        // In short steps: a signal may have come to another thread.
        const auto step = std::clamp(left, milliseconds(0), milliseconds(50));
        pollfd poll{.fd = fd, .events = events, .revents = 0};
        const int ready = ::poll(&poll, 1, static_cast<int>(step.count()));
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) throw_errno(errno, "wait for a socket");
        if (left <= milliseconds(0)) return false;
    }
}

std::string text(std::chrono::milliseconds limit) {
    return fmt::format("{:g} s", static_cast<double>(limit.count()) / 1000);
}

EchoServer::EchoServer(const Namespace& where, const IpAddress& address)
    : listener_(
          where.run([&] { return Fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); })),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
    const std::string what = fmt::format("listen at {} in {}", address.text(), where.name());
    SocketAddress here(address, 0);
    constexpr int kBacklog = 4;
    if (!listener_ || !stop_ || ::bind(listener_.get(), here.get(), here.size) != 0 ||
        ::listen(listener_.get(), kBacklog) != 0 || ::getsockname(listener_.get(), here.get(), &here.size) != 0)
        throw_errno(errno, what);
    port_ = here.port();
    thread_ = std::thread([this] { serve(); });
}

EchoServer::~EchoServer() {
    ::eventfd_write(stop_.get(), 1);
    thread_.join();
}

bool EchoServer::wait(int fd, short events) const {
    std::array<pollfd, 2> both{{{fd, events, 0}, {stop_.get(), POLLIN, 0}}};
    while (::poll(both.data(), both.size(), -1) < 0)
        if (errno != EINTR) return false;
    return both[1].revents == 0;
}

void EchoServer::serve() {
    while (wait(listener_.get(), POLLIN)) {
        const Fd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!connection) continue;
        touched_ = true;
        send_back(connection.get());
    }
}

// Reads only what it has sent back all of: the client, which reads always, never waits for us to read.
void EchoServer::send_back(int connection) {
    std::size_t begin = 0, end = 0;
    for (;;) {
        const bool empty = begin == end;
        if (!wait(connection, empty ? POLLIN : POLLOUT)) return;
        const ssize_t size = empty ? ::recv(connection, buffer_.data(), buffer_.size(), 0)
                                   : ::send(connection, buffer_.data() + begin, end - begin, MSG_NOSIGNAL);
        if (size < 0 && would_block()) continue;
        if (size <= 0) return;
        begin = empty ? 0 : begin + static_cast<std::size_t>(size);
        if (empty) end = static_cast<std::size_t>(size);
    }
}

StreamResult stream(const IpAddress& to, std::uint16_t port, std::size_t bytes, std::chrono::milliseconds timeout) {
    return Client(to, port, bytes, timeout).run();
}

StreamResult transfer(const Namespace& from, const Namespace& to, const IpAddress& address, std::size_t bytes,
                      std::chrono::milliseconds timeout) {
    const EchoServer server(to, address);
    StreamResult result = from.run([&] { return stream(address, server.port(), bytes, timeout); });
    result.accepted = server.touched();
    return result;
}

}  // namespace underpass::lab
