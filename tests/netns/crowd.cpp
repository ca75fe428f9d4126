// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "crowd.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <set>

#include "loader/error.h"
#include "trial.h"

namespace underpass::test {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLook = 20;  // ms, until the end is noticed
constexpr std::size_t kChunk = 65536;
// On a loaded machine some connections end by a RST if the server closes at once, with the kernel alone as well, and
// though nothing is sent again. (It may be that its FIN overtakes its ACK of the client's FIN, which a processor has
// that was taken away meanwhile: a client in TIME_WAIT answers that, and who has closed resets.) So it takes its time.
constexpr milliseconds kBehindTheAck(500);

Fd make_epoll() {
    Fd made(::epoll_create1(EPOLL_CLOEXEC));
    if (!made) throw_errno(errno, "make an epoll");
    return made;
}

Fd make_tcp_socket() {
    const int one = 1;
    Fd made(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!made) throw_errno(errno, "make a TCP socket");
    ::setsockopt(made.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    ::setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    return made;
}

void watch(const Fd& epoll, int fd, std::uint32_t events, int how = EPOLL_CTL_MOD) {
    epoll_event event = {.events = events, .data = {.fd = fd}};
    if (::epoll_ctl(epoll.get(), how, fd, &event) != 0) throw_errno(errno, "watch a socket");
}

// Both ends of each connection are this process's.
void allow_descriptors() {
    rlimit limit = {};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

bool must_wait() {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINPROGRESS || errno == EINTR;
}

}  // namespace

sockaddr_in ipv4(const std::string& address, std::uint16_t port) {
    sockaddr_in made = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
    ::inet_pton(AF_INET, address.c_str(), &made.sin_addr);
    return made;
}

EchoServer::EchoServer(const lab::Namespace& where, const std::vector<std::uint16_t>& ports) : epoll_(make_epoll()) {
    allow_descriptors();
    for (const std::uint16_t port : ports) {
        Fd& listening = listening_.emplace_back(where.run(make_tcp_socket));
        const sockaddr_in address = ipv4("0.0.0.0", port);
        if (::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
            ::listen(listening.get(), SOMAXCONN) != 0)
            throw_errno(errno, "listen at a port");
        watch(epoll_, listening.get(), EPOLLIN, EPOLL_CTL_ADD);
    }
    thread_ = std::thread([this] { serve(); });
}

EchoServer::~EchoServer() {
    ending_ = true;
    thread_.join();
}

void EchoServer::serve() {
    std::array<epoll_event, 256> events{};
    while (!ending_) {
        const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), kLook);
        for (int i = 0; i < count; i++) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            const auto client = clients_.find(fd);
            if (client == clients_.end())
                accept_all(fd);
            else if (!answer(client->second)) {
                watch(epoll_, fd, 0, EPOLL_CTL_DEL);
                ended_.emplace_back(Clock::now() + kBehindTheAck, std::move(client->second.socket));
                clients_.erase(client);
            }
        }
        while (!ended_.empty() && ended_.front().first <= Clock::now()) ended_.pop_front();
    }
}

void EchoServer::accept_all(int listening) {
    for (;;) {
        Fd socket(::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!socket) return;
        const int one = 1;
        ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        watch(epoll_, socket.get(), EPOLLIN, EPOLL_CTL_ADD);
        const int fd = socket.get();
        clients_.emplace(fd, Client{.socket = std::move(socket), .pending = {}});
    }
}

bool EchoServer::answer(Client& client) {
    const int fd = client.socket.get();
    const bool waited = !client.pending.empty();
    if (!waited) {
        client.pending.resize(kChunk);
        const ssize_t size = ::recv(fd, client.pending.data(), kChunk, 0);
        client.pending.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        if (size == 0) return false;
        if (size < 0 && !must_wait()) {
            broken_++;
            return false;
        }
    }
    if (client.pending.empty()) return true;
    const ssize_t size = ::send(fd, client.pending.data(), client.pending.size(), MSG_NOSIGNAL);
    if (size < 0 && !must_wait()) {
        broken_++;
        return false;
    }
    client.pending.erase(0, size > 0 ? static_cast<std::size_t>(size) : 0);
    const bool waits = !client.pending.empty();
    if (waits != waited) watch(epoll_, fd, waits ? EPOLLOUT : EPOLLIN);
    return true;
}

class Crowd::Talker {
public:
    explicit Talker(const sockaddr_in& to, std::size_t number) : socket_(make_tcp_socket()), number_(number) {
        if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0 && !must_wait())
            wrong_ = std::string("connect: ") + std::strerror(errno);
    }

    int fd() const { return socket_.get(); }
    const std::string& wrong() const { return wrong_; }
    std::size_t turns() const { return turns_; }
    bool silent() const { return received_ == bytes_; }
    bool has_more_to_say() const { return said_ < bytes_; }
    Clock::duration at_it() const { return Clock::now() - begun_; }

    void say(std::size_t bytes) {
        begun_ = Clock::now();
        bytes_ = bytes;
        said_ = received_ = 0;
    }

    void give_up() { wrong_ = received_ == 0 && said_ == 0 ? "not connected in time" : "no answer in time"; }

    // As far as it goes without waiting. True: the turn is over with this.
    bool proceed() {
        std::array<char, kChunk> chunk;
        while (wrong_.empty() && said_ < bytes_) {
            const std::size_t size = std::min(chunk.size(), bytes_ - said_);
            for (std::size_t i = 0; i < size; i++) chunk[i] = byte(said_ + i);
            const ssize_t sent = ::send(fd(), chunk.data(), size, MSG_NOSIGNAL);
            if (sent < 0 && must_wait()) break;
            if (sent < 0) wrong_ = std::string("send: ") + std::strerror(errno);
            said_ += sent > 0 ? static_cast<std::size_t>(sent) : 0;
        }
        const bool was_silent = silent();
        while (wrong_.empty()) {
            const ssize_t size = ::recv(fd(), chunk.data(), chunk.size(), 0);
            if (size < 0 && must_wait()) break;
            if (size < 0) wrong_ = std::string("receive: ") + std::strerror(errno);
            if (size == 0) wrong_ = "closed by the server";
            if (size > 0) hear(chunk.data(), static_cast<std::size_t>(size));
        }
        if (was_silent || !silent() || !wrong_.empty()) return false;
        turns_++;
        return true;
    }

private:
    char byte(std::size_t at) const { return static_cast<char>(number_ * 31 + turns_ * 7 + at + at / 251); }

    void hear(const char* bytes, std::size_t size) {
        if (size > said_ - received_) wrong_ = "got more than was said";
        for (std::size_t i = 0; i < size && wrong_.empty(); i++)
            if (bytes[i] != byte(received_ + i)) wrong_ = "got other bytes than were said";
        received_ += size;
    }

    Fd socket_;
    std::size_t number_;
    std::size_t bytes_ = 0, said_ = 0, received_ = 0, turns_ = 0;
    Clock::time_point begun_;
    std::string wrong_;
};

Crowd::Crowd(const lab::Namespace& where, const std::string& address, std::vector<std::uint16_t> ports,
             const CrowdPlan& plan)
    : address_(address), ports_(std::move(ports)), plan_(plan) {
    thread_ = std::thread([this, &where] { where.run([this] { talk(); }); });
}

Crowd::~Crowd() {
    stop();
}

CrowdOutcome Crowd::stop() {
    ending_ = true;
    return finish();
}

CrowdOutcome Crowd::finish() {
    if (thread_.joinable()) thread_.join();
    return outcome_;
}

void Crowd::talk() {
    const auto patience = std::chrono::seconds(is_emulated() ? 90 : 15);
    const Fd epoll = make_epoll();
    std::map<int, std::unique_ptr<Talker>> talkers;
    std::deque<std::pair<Clock::time_point, int>> pausing;  // the first of them is due first
    std::array<epoll_event, 256> events{};
    std::size_t opened = 0;
    Clock::time_point next_opening;
    std::optional<std::size_t> least;
    auto looked = Clock::now();

    const auto end = [&](int fd) {
        const Talker& talker = *talkers.at(fd);
        if (talker.wrong().empty())
            outcome_.closed++;
        else
            outcome_.wrong[talker.wrong()]++;
        least = std::min(least.value_or(talker.turns()), talker.turns());
        talkers.erase(fd);
    };
    const auto proceed = [&](int fd) {
        Talker& talker = *talkers.at(fd);
        const bool said_all = !talker.has_more_to_say();
        if (talker.proceed()) {
            turns_++;
            outcome_.longest_turn =
                std::max(outcome_.longest_turn, std::chrono::duration_cast<milliseconds>(talker.at_it()));
            if (talker.turns() == plan_.turns) return end(fd);
            if (talker.turns() < plan_.turns_at_first)
                pausing.emplace_front(Clock::now(), fd);
            else
                pausing.emplace_back(Clock::now() + plan_.pause, fd);
        }
        if (!talker.wrong().empty()) return end(fd);
        if (said_all != !talker.has_more_to_say())
            watch(epoll, fd, talker.has_more_to_say() ? EPOLLIN | EPOLLOUT : EPOLLIN);
    };
    const auto open = [&] {
        auto talker = std::make_unique<Talker>(ipv4(address_, ports_[opened % ports_.size()]), opened);
        opened++;
        next_opening = Clock::now() + plan_.opening;
        talker->say(plan_.bytes);
        const int fd = talker->fd();
        watch(epoll, fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
        talkers.emplace(fd, std::move(talker));
    };

    while (!talkers.empty() || (!ending_ && opened < plan_.connections)) {
        while (!ending_ && opened < plan_.connections && talkers.size() < plan_.at_once && Clock::now() >= next_opening)
            open();
        auto due = pausing.empty() ? Clock::time_point::max() : pausing.front().first;
        if (plan_.opening.count() > 0 && opened < plan_.connections) due = std::min(due, next_opening);
        const auto until_due =
            std::chrono::ceil<milliseconds>(std::min(due - Clock::now(), Clock::duration(milliseconds(kLook))));
        const int count = ::epoll_wait(epoll.get(), events.data(), events.size(),
                                       std::clamp(static_cast<int>(until_due.count()), 0, kLook));
        for (int i = 0; i < count; i++) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            if (talkers.contains(fd)) proceed(fd);
        }
        while (!pausing.empty() && pausing.front().first <= Clock::now() && !ending_) {
            const int fd = pausing.front().second;
            pausing.pop_front();
            if (!talkers.contains(fd) || !talkers.at(fd)->silent()) continue;
            talkers.at(fd)->say(plan_.bytes);
            proceed(fd);
            if (talkers.contains(fd) && talkers.at(fd)->has_more_to_say()) watch(epoll, fd, EPOLLIN | EPOLLOUT);
        }
        if (!ending_ && Clock::now() - looked < milliseconds(200)) continue;
        looked = Clock::now();
        std::set<int> over;
        for (const auto& [fd, talker] : talkers) {
            if (talker->silent() && ending_) over.insert(fd);
            if (!talker->silent() && talker->at_it() > patience) over.insert(fd);
        }
        for (const int fd : over) {
            if (!talkers.at(fd)->silent()) talkers.at(fd)->give_up();
            end(fd);
        }
    }
    outcome_.turns = turns_;
    outcome_.least_turns = least.value_or(0);
}

std::string iperf3(const lab::Namespace& from, const std::string& words, const lab::Namespace& server, int port) {
    const Child listening(server, {"iperf3", "-s", "-1", "--forceflush", "-p", std::to_string(port)});
    if (!listening.wait_for("listening", kPatience)) return "iperf3 does not listen: " + listening.err();
    const Finished finished = run(from, {"sh", "-c", "iperf3 " + words}, kPatience);
    return finished.ok() ? "" : finished.text();
}

}  // namespace underpass::test
