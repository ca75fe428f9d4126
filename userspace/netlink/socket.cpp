// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sending, receiving and acknowledging. What the kernel answers is validated for length and sender before anybody
// looks inside; what it means is the decoders' part.
#include "netlink/socket.h"

#include <fmt/format.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "netlink/attribute.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

namespace underpass {
namespace {

// The kernel makes dump messages of up to 32 KiB when the reader's buffer allows; a single one may be bigger.
constexpr std::size_t kReceiveSize = std::size_t{128} * 1024;
// 10,000 FDB events at once must fit: about 400 bytes of kernel memory each.
constexpr int kEventBuffer = 16 * 1024 * 1024;
// A table that changes on every one of so many reads is under a storm; the caller tries again later.
constexpr int kDumpAttempts = 32;

void set_option(const mnl_socket* socket, int option) noexcept {
    // All of these are conveniences that an old kernel may lack: answers stay right without.
    int on = 1;
    ::setsockopt(mnl_socket_get_fd(socket), SOL_NETLINK, option, &on, sizeof on);
}

mnl_socket* open_socket(int protocol, int flags) {
    mnl_socket* socket = mnl_socket_open2(protocol, SOCK_CLOEXEC | flags);
    if (!socket) throw NetlinkError(errno, fmt::format("open netlink socket {}", protocol));
    return socket;
}

std::string extack_text(Bytes attributes) {
    std::string text;
    for_each_attribute(attributes, [&](const Attribute& attribute) {
        if (attribute.type == NLMSGERR_ATTR_MSG) text = attribute.text();
        return true;
    });
    return text;
}

// The errno in an NLMSG_ERROR or NLMSG_DONE, positive; 0 for an acknowledgement.
struct Ending {
    int error = 0;
    std::string extack;
};

Ending ending_of(const nlmsghdr* message) {
    if (message->nlmsg_type == NLMSG_DONE) {
        auto done = payload_of<std::int32_t>(message);
        if (!done || done->header >= 0) return {};
        return {-done->header, extack_text(done->attributes)};
    }
    auto error = payload_of<nlmsgerr>(message);
    if (!error) return {EBADMSG, {}};
    if (error->header.error == 0) return {};
    Bytes attributes = error->attributes;
    if (!(message->nlmsg_flags & NLM_F_ACK_TLVS)) attributes = {};
    if (!(message->nlmsg_flags & NLM_F_CAPPED)) {
        // The request is quoted in full before the attributes.
        const std::size_t quoted = NLMSG_ALIGN(error->header.msg.nlmsg_len) - sizeof(nlmsghdr);
        attributes = attributes.subspan(std::min<std::size_t>(quoted, attributes.size()));
    }
    return {-error->header.error, extack_text(attributes)};
}

}  // namespace

NetlinkError::NetlinkError(int code, std::string_view what_was_tried, std::string extack)
    : std::system_error(code, std::generic_category()),
      extack_(std::move(extack)),
      message_(extack_.empty() ? fmt::format("{}: {}", what_was_tried, std::strerror(code))
                               : fmt::format("{}: {} ({})", what_was_tried, std::strerror(code), extack_)) {}

NetlinkSocket::NetlinkSocket(int protocol) : socket_(open_socket(protocol, 0)), buffer_(kReceiveSize) {
    set_option(socket_.get(), NETLINK_EXT_ACK);
    set_option(socket_.get(), NETLINK_CAP_ACK);
    // Without it the kernel ignores filters in a dump's header and dumps what nobody asked for.
    set_option(socket_.get(), NETLINK_GET_STRICT_CHK);
    if (mnl_socket_bind(socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0)
        throw NetlinkError(errno, fmt::format("bind netlink socket {}", protocol));
}

NetlinkSocket::NetlinkSocket(int protocol, std::span<const std::uint32_t> groups)
    : socket_(open_socket(protocol, SOCK_NONBLOCK)), buffer_(kReceiveSize) {
    const int fd = mnl_socket_get_fd(socket_.get());
    if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kEventBuffer, sizeof kEventBuffer) < 0) {
        // Without CAP_NET_ADMIN: as much as net.core.rmem_max allows. Overruns are noticed either way.
        ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kEventBuffer, sizeof kEventBuffer);
    }
    if (mnl_socket_bind(socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0)
        throw NetlinkError(errno, fmt::format("bind netlink socket {}", protocol));
    for (std::uint32_t group : groups) {
        if (::setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
            throw NetlinkError(errno, fmt::format("join group {} of netlink socket {}", group, protocol));
    }
}

void NetlinkSocket::send(nlmsghdr* message, std::uint16_t flags, std::string_view what) {
    message->nlmsg_flags = static_cast<std::uint16_t>(message->nlmsg_flags | NLM_F_REQUEST | flags);
    message->nlmsg_seq = ++sequence_;
    message->nlmsg_pid = 0;
    if (mnl_socket_sendto(socket_.get(), message, message->nlmsg_len) < 0) throw NetlinkError(errno, what);
}

std::size_t NetlinkSocket::receive(std::string_view what) {
    for (;;) {
        sockaddr_nl sender{};
        iovec part{buffer_.data(), buffer_.size()};
        msghdr envelope{};
        envelope.msg_name = &sender;
        envelope.msg_namelen = sizeof sender;
        envelope.msg_iov = &part;
        envelope.msg_iovlen = 1;
        const ssize_t length = ::recvmsg(fd(), &envelope, 0);
        if (length < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
            throw NetlinkError(errno, what);
        }
        // Only the kernel's word counts: another process may send to this socket as well.
        if (sender.nl_pid != 0) continue;
        if (envelope.msg_flags & MSG_TRUNC) {
            // Bigger than anything seen so far. A lost message is lost for good, hence the caller starts again.
            buffer_.resize(buffer_.size() * 2);
            throw NetlinkError(ENOBUFS, what);
        }
        if (length > 0) return static_cast<std::size_t>(length);
    }
}

void NetlinkSocket::request(nlmsghdr* message, std::string_view what, const Callback& reply) {
    send(message, NLM_F_ACK, what);
    for (;;) {
        int left = static_cast<int>(receive(what));
        const auto* item = reinterpret_cast<const nlmsghdr*>(buffer_.data());
        for (; mnl_nlmsg_ok(item, left); item = mnl_nlmsg_next(item, &left)) {
            // An answer to an earlier request that was given up.
            if (item->nlmsg_seq != sequence_) continue;
            if (item->nlmsg_type == NLMSG_ERROR) {
                auto ending = ending_of(item);
                if (ending.error) throw NetlinkError(ending.error, what, std::move(ending.extack));
                return;
            }
            if (item->nlmsg_type >= NLMSG_MIN_TYPE && reply) reply(item);
        }
    }
}

// False: the table changed while it was read.
bool NetlinkSocket::collect_dump(nlmsghdr* message, std::string_view what, std::vector<char>& answer) {
    answer.clear();
    bool consistent = true;
    send(message, NLM_F_DUMP, what);
    for (;;) {
        int left = static_cast<int>(receive(what));
        const auto* item = reinterpret_cast<const nlmsghdr*>(buffer_.data());
        for (; mnl_nlmsg_ok(item, left); item = mnl_nlmsg_next(item, &left)) {
            if (item->nlmsg_seq != sequence_) continue;
            if (item->nlmsg_flags & NLM_F_DUMP_INTR) consistent = false;
            if (item->nlmsg_type == NLMSG_DONE || item->nlmsg_type == NLMSG_ERROR) {
                auto ending = ending_of(item);
                if (ending.error) throw NetlinkError(ending.error, what, std::move(ending.extack));
                return consistent;
            }
            if (item->nlmsg_type < NLMSG_MIN_TYPE) continue;
            const auto* begin = reinterpret_cast<const char*>(item);
            answer.insert(answer.end(), begin, begin + item->nlmsg_len);
            answer.resize(NLMSG_ALIGN(answer.size()));
        }
    }
}

void NetlinkSocket::dump(nlmsghdr* message, std::string_view what, const Callback& item) {
    std::vector<char> answer;
    int attempts = 1;
    while (!collect_dump(message, what, answer)) {
        if (++attempts > kDumpAttempts) throw NetlinkError(EAGAIN, what, "it kept changing while it was read");
    }
    for (std::size_t offset = 0; offset < answer.size();) {
        const auto* one = reinterpret_cast<const nlmsghdr*>(answer.data() + offset);
        offset += NLMSG_ALIGN(one->nlmsg_len);
        item(one);
    }
}

Drained NetlinkSocket::drain(const Callback& event) {
    auto result = Drained::empty;
    for (;;) {
        std::size_t length = 0;
        try {
            length = receive("receive events");
        } catch (const NetlinkError& error) {
            if (error.code().value() != ENOBUFS) throw;
            result = Drained::overrun;
            continue;
        }
        if (length == 0) return result;
        if (result == Drained::overrun) continue;
        int left = static_cast<int>(length);
        const auto* item = reinterpret_cast<const nlmsghdr*>(buffer_.data());
        for (; mnl_nlmsg_ok(item, left); item = mnl_nlmsg_next(item, &left)) {
            if (item->nlmsg_type >= NLMSG_MIN_TYPE) event(item);
        }
    }
}

}  // namespace underpass
