// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A netlink socket of the calling thread's network namespace, in one of two roles: commands (requests and dumps,
// blocking) or events (multicast groups, never blocking). One socket is never both: a flood of events would fill the
// buffer that an answer needs.
//
// A command that the kernel refuses throws NetlinkError. An overrun of the event buffer is an expected outcome: drain()
// says so, having thrown away what was queued, because events from before a gap must not be applied after the dump
// that closes it.
#pragma once

#include <libmnl/libmnl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace underpass {

// What was tried, the kernel's errno, and the sentence it added where it did (NETLINK_EXT_ACK).
class NetlinkError : public std::system_error {
public:
    NetlinkError(int code, std::string_view what_was_tried, std::string extack = {});

    const char* what() const noexcept override { return message_.c_str(); }
    const std::string& extack() const noexcept { return extack_; }

private:
    std::string extack_;
    std::string message_;
};

enum class Drained { empty, overrun };

class NetlinkSocket {
public:
    using Callback = std::function<void(const nlmsghdr*)>;

    // For commands. `protocol` is NETLINK_ROUTE, NETLINK_NETFILTER or NETLINK_GENERIC.
    explicit NetlinkSocket(int protocol);
    // For events of the given groups (RTNLGRP_*, NFNLGRP_*, or a generic family's group id).
    NetlinkSocket(int protocol, std::span<const std::uint32_t> groups);

    // Sends `message` and waits for the kernel's answer; messages before the acknowledgement (of a GET) go to `reply`.
    // Sets sequence number, NLM_F_REQUEST and NLM_F_ACK. `what` completes "could not ...": "set veth0 up".
    void request(nlmsghdr* message, std::string_view what, const Callback& reply = {});

    // Sends `message` as a dump. All of a consistent answer is collected before the first call: where the kernel says
    // that its table changed meanwhile (NLM_F_DUMP_INTR), the dump is repeated.
    void dump(nlmsghdr* message, std::string_view what, const Callback& item);

    // Delivers every event that is queued. `overrun`: some were lost, and all that was queued has been thrown away.
    Drained drain(const Callback& event);

    int fd() const noexcept { return mnl_socket_get_fd(socket_.get()); }

private:
    struct Close {
        void operator()(mnl_socket* socket) const noexcept { mnl_socket_close(socket); }
    };

    void send(nlmsghdr* message, std::uint16_t flags, std::string_view what);
    // Bytes received; 0 if there is nothing (EAGAIN). Throws the other errors, ENOBUFS too.
    std::size_t receive(std::string_view what);
    bool collect_dump(nlmsghdr* message, std::string_view what, std::vector<char>& answer);

    std::unique_ptr<mnl_socket, Close> socket_;
    std::vector<char> buffer_;
    std::uint32_t sequence_ = 0;
};

}  // namespace underpass
