// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/guest_port.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>

#include "lab/interrupt.h"
#include "loader/error.h"

namespace underpass::lab {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kStep{50};

bool will_pass(int error) {
    return error == EAGAIN || error == EINTR;
}

}  // namespace

GuestPort::GuestPort(const std::string& guest, const std::filesystem::path& lock, const std::filesystem::path& socket,
                     milliseconds time)
    : guest_(guest) {
    take(lock, time);
    connect(socket);
}

std::optional<GuestAnswer> GuestPort::ask(const std::string& command, milliseconds time) {
    const auto end = steady_clock::now() + time;
    const std::string nonce = fmt::format("{:08x}{:08x}", random_(), random_());
    const std::string request = guest_request(nonce, command);
    std::string_view unsent = request;
    received_.clear();
    for (;;) {
        if (auto answer = find_answer(received_, nonce)) return answer;
        throw_if_interrupted();
        const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now());
        if (left <= milliseconds::zero()) return std::nullopt;
        pollfd ready = {socket_.get(), static_cast<short>(unsent.empty() ? POLLIN : POLLIN | POLLOUT), 0};
        // In steps: a signal just before the call does not end it.
        if (::poll(&ready, 1, static_cast<int>(std::min(left, kStep).count())) <= 0) continue;
        if ((ready.revents & POLLOUT) != 0) send(unsent);
        if ((ready.revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive();
    }
}

void GuestPort::take(const std::filesystem::path& lock, milliseconds time) {
    lock_ = Fd(::open(lock.c_str(), O_RDONLY | O_CLOEXEC));
    if (!lock_) fail("does not run");
    const auto end = steady_clock::now() + time;
    while (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
        if (!will_pass(errno)) throw_errno(errno, "lock " + lock.string());
        if (steady_clock::now() >= end) fail("is busy with another command");
        pause_for(kStep);
    }
}

void GuestPort::connect(const std::filesystem::path& socket) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (socket.native().size() >= sizeof address.sun_path) throw_errno(ENAMETOOLONG, "connect to " + socket.string());
    std::copy(socket.native().begin(), socket.native().end(), address.sun_path);
    socket_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_) throw_errno(errno, "make a socket");
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        fail("does not run");
}

void GuestPort::send(std::string_view& unsent) const {
    const ssize_t size = ::send(socket_.get(), unsent.data(), unsent.size(), MSG_NOSIGNAL);
    if (size < 0 && !will_pass(errno)) fail("has ended");
    if (size > 0) unsent.remove_prefix(static_cast<std::size_t>(size));
}

void GuestPort::receive() {
    std::array<char, 65536> chunk;
    const ssize_t size = ::recv(socket_.get(), chunk.data(), chunk.size(), 0);
    if (size == 0 || (size < 0 && !will_pass(errno))) fail("has ended");
    if (size > 0) received_.append(chunk.data(), static_cast<std::size_t>(size));
}

void GuestPort::fail(const std::string& what) const {
    throw std::runtime_error(fmt::format("the guest {} {}", guest_, what));
}

}  // namespace underpass::lab
