// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Many TCP connections at once, that speak in turns: a client says so many bytes, and has its turn once the server has
// sent all of them back.
#pragma once

#include <netinet/in.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lab/namespace.h"
#include "loader/fd.h"

namespace underpass::test {

using std::chrono::milliseconds;

sockaddr_in ipv4(const std::string& address, std::uint16_t port = 0);

// Sends back what it gets, by a thread of its own, while it lives.
class EchoServer {
public:
    EchoServer(const lab::Namespace& where, const std::vector<std::uint16_t>& ports);
    ~EchoServer();
    EchoServer(const EchoServer&) = delete;
    EchoServer& operator=(const EchoServer&) = delete;

    // Connections that ended otherwise than by the client's closing.
    std::size_t broken() const { return broken_; }

private:
    struct Client {
        Fd socket;
        std::string pending;
    };

    void serve();
    void accept_all(int listening);
    // False: it is over.
    bool answer(Client& client);

    Fd epoll_;
    std::vector<Fd> listening_;
    std::map<int, Client> clients_;
    std::deque<std::pair<std::chrono::steady_clock::time_point, Fd>> ended_;  // when they are to be closed
    std::atomic<bool> ending_ = false;
    std::atomic<std::size_t> broken_ = 0;
    std::thread thread_;
};

struct CrowdPlan {
    std::size_t connections = 1;
    std::size_t at_once = 1;         // that are open
    std::size_t bytes = 100;         // of a turn
    std::size_t turns = 1;           // of each connection, which is closed then; 0: until stop()
    std::size_t turns_at_first = 0;  // that have no pause behind them
    milliseconds pause{0};           // between two turns of one
    milliseconds opening{0};         // between the beginnings of two connections
};

struct CrowdOutcome {
    std::size_t closed = 0;                    // connections that had all their turns
    std::map<std::string, std::size_t> wrong;  // how others ended, and how many
    std::size_t turns = 0;
    std::size_t least_turns = 0;  // of one connection
    milliseconds longest_turn{0};
};

class Crowd {
public:
    // Connections to these ports in turn.
    Crowd(const lab::Namespace& where, const std::string& address, std::vector<std::uint16_t> ports,
          const CrowdPlan& plan);
    ~Crowd();
    Crowd(const Crowd&) = delete;
    Crowd& operator=(const Crowd&) = delete;

    std::size_t turns() const { return turns_; }
    // Waits for the end of all connections, which is after the turn that they are at.
    CrowdOutcome stop();
    // ... which is after the last of their turns.
    CrowdOutcome finish();

private:
    class Talker;

    void talk();

    std::string address_;
    std::vector<std::uint16_t> ports_;
    CrowdPlan plan_;
    std::atomic<bool> ending_ = false;
    std::atomic<std::size_t> turns_ = 0;
    CrowdOutcome outcome_;  // the thread's, until it has ended
    std::thread thread_;
};

// One run of `iperf3 WORDS` at `from`, against a server of its own at `server`; empty, or what went wrong.
std::string iperf3(const lab::Namespace& from, const std::string& words, const lab::Namespace& server, int port = 5201);

}  // namespace underpass::test
