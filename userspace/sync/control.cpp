// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/control.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>

#include "loader/error.h"

namespace underpass {

namespace {

constexpr std::size_t kLongestRequest = 1 << 20;
constexpr std::chrono::seconds kPatience{30};  // for an answer: a first dump of a large host takes seconds

sockaddr_un address_of(const std::filesystem::path& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.native().size() >= sizeof(address.sun_path)) throw_errno(ENAMETOOLONG, "control socket " + path.string());
    std::memcpy(address.sun_path, path.c_str(), path.native().size() + 1);
    return address;
}

Fd unix_socket(int flags) {
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
    if (!fd) throw_errno(errno, "open a UNIX socket");
    return fd;
}

std::string does_not_answer(int connection) {
    ucred daemon = {};
    socklen_t size = sizeof(daemon);
    getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &daemon, &size);
    return fmt::format(
        "the daemon (pid {0}) has not answered for {1} s, and frames go by the kernel if it hangs: "
        "`kill -9 {0}`, and `underpass up` starts another or `underpass down` removes what is left",
        daemon.pid, kPatience.count());
}

}  // namespace

ControlServer::ControlServer(const std::filesystem::path& path, Handler handler)
    : listener_(unix_socket(SOCK_NONBLOCK)), handler_(std::move(handler)) {
    const sockaddr_un address = address_of(path);
    unlink(path.c_str());  // the caller holds the lock: whoever listened there is gone
    if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        listen(listener_.get(), SOMAXCONN) != 0)
        throw_errno(errno, "listen at " + path.string());
}

std::vector<ControlServer::Interest> ControlServer::interests() const {
    std::vector<Interest> interests = {{listener_.get(), false}};
    for (const auto& [fd, client] : clients_) interests.push_back({fd, !client.out.empty()});
    return interests;
}

void ControlServer::on_ready(int fd) {
    if (fd == listener_.get()) return accept_one();
    const auto client = clients_.find(fd);
    if (client != clients_.end() && !serve(client->second)) clients_.erase(client);
}

void ControlServer::accept_one() {
    Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;  // gone again
    const int number = fd.get();
    clients_.emplace(number, Client{std::move(fd), {}, {}});
}

bool ControlServer::serve(Client& client) {
    std::array<char, 4096> chunk{};
    if (client.out.empty()) {
        const ssize_t length = recv(client.fd.get(), chunk.data(), chunk.size(), 0);
        if (length <= 0) return length < 0 && errno == EAGAIN;
        client.in.append(chunk.data(), static_cast<std::size_t>(length));
        const auto end = client.in.find('\n');
        if (end == std::string::npos) return client.in.size() < kLongestRequest;
        if (recv(client.fd.get(), chunk.data(), 1, MSG_PEEK) == 0) return false;  // has gone: nobody wants it any more
        nlohmann::json answer;
        try {
            answer = handler_(nlohmann::json::parse(client.in.substr(0, end)));
        } catch (const std::exception& error) {
            answer = {{"error", error.what()}};
        }
        client.out = answer.dump() + '\n';
    }
    const ssize_t sent = send(client.fd.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    client.out.erase(0, static_cast<std::size_t>(sent));
    return !client.out.empty();
}

std::optional<nlohmann::json> control_request(const std::filesystem::path& path, const nlohmann::json& request) {
    const Fd fd = unix_socket(0);
    const sockaddr_un address = address_of(path);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED) return std::nullopt;
        throw_errno(errno, "connect to the daemon at " + path.string());
    }
    const std::string line = request.dump() + '\n';
    if (send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) {
        if (errno == EPIPE || errno == ECONNRESET) throw DaemonGone("the daemon went away before it was asked");
        throw_errno(errno, "ask the daemon");
    }
    std::string answer;
    std::array<char, 65536> chunk{};
    while (answer.empty() || answer.back() != '\n') {
        pollfd wait = {fd.get(), POLLIN, 0};
        if (poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) == 0)
            throw std::runtime_error(does_not_answer(fd.get()));
        const ssize_t length = recv(fd.get(), chunk.data(), chunk.size(), 0);
        if (length <= 0) throw DaemonGone("the daemon went away before it answered");
        answer.append(chunk.data(), static_cast<std::size_t>(length));
    }
    return nlohmann::json::parse(answer);
}

}  // namespace underpass
