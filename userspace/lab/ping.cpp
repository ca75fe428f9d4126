// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/ping.h"

#include <fmt/format.h>
#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <system_error>

#include "lab/stream.h"
#include "loader/error.h"

namespace underpass::lab {

namespace {

using std::chrono::steady_clock;
using Bytes = std::span<const std::uint8_t>;

// Both protocols begin alike: type, code, checksum, identifier, sequence number, each of the last three of 16 bits.
constexpr std::size_t kHeader = 8;
constexpr std::size_t kChecksumAt = 2, kIdentifierAt = 4, kSequenceAt = 6;

// An error is about one echo, and only one in a second is reported: the others have this long to be answered after all.
constexpr std::chrono::milliseconds kAfterError{500};

std::uint16_t read16(Bytes bytes, std::size_t at) {
    return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

void write16(std::span<std::uint8_t> bytes, std::size_t at, std::size_t value) {
    bytes[at] = static_cast<std::uint8_t>(value >> 8);
    bytes[at + 1] = static_cast<std::uint8_t>(value);
}

// RFC 1071; 0 over bytes that hold their own.
std::uint16_t internet_checksum(Bytes bytes) {
    std::uint32_t sum = 0;
    for (std::size_t at = 0; at < bytes.size(); at++) sum += at % 2 == 0 ? std::uint32_t{bytes[at]} << 8U : bytes[at];
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

std::string message(int error) {
    return std::generic_category().message(error);
}

class Pinger {
public:
    Pinger(const IpAddress& to, const PingOptions& options) : to_(to), options_(options) {
        result_.echoes.resize(options.count);
        echo_.resize(kHeader + options.payload);
        std::random_device random;
        for (auto& byte : echo_) byte = static_cast<std::uint8_t>(random());
        echo_[0] = to.v6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO;
        echo_[1] = 0;
    }

    PingResult run() {
        if (open()) exchange();
        if (result_.all_answered())
            result_.reason.clear();
        else if (result_.reason.empty())
            result_.reason = "no answer in " + text(options_.timeout);
        if (const std::size_t answered = result_.answered(); answered != 0 && answered != options_.count)
            result_.reason = fmt::format("{} of {} echoes unanswered: {}", options_.count - answered, options_.count,
                                         result_.reason);
        return std::move(result_);
    }

private:
    // False: there is no way to the address, as result_.reason tells.
    bool open() {
        fd_ =
            Fd(::socket(to_.family(), SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, to_.v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP));
        if (!fd_) throw_errno(errno, "open an ICMP socket");
        // Answers only, and the errors that our echoes cause.
        icmp6_filter answers_v6{};
        std::memset(&answers_v6, 0xff, sizeof(answers_v6));
        answers_v6.data[ICMPV6_ECHO_REPLY / 32] &= ~(1U << ICMPV6_ECHO_REPLY % 32);
        const icmp_filter answers{~(1U << ICMP_ECHOREPLY)};
        const int on = 1;
        if ((to_.v6 ? ::setsockopt(fd_.get(), IPPROTO_ICMPV6, ICMPV6_FILTER, &answers_v6, sizeof(answers_v6))
                    : ::setsockopt(fd_.get(), SOL_RAW, ICMP_FILTER, &answers, sizeof(answers))) != 0 ||
            ::setsockopt(fd_.get(), to_.v6 ? int{IPPROTO_IPV6} : int{IPPROTO_IP}, to_.v6 ? IPV6_RECVERR : IP_RECVERR,
                         &on, sizeof(on)) != 0)
            throw_errno(errno, "set up an ICMP socket");
        // Then the kernel gives us nothing from any other address.
        const SocketAddress there(to_, 0);
        if (::connect(fd_.get(), there.get(), there.size) != 0) {
            result_.reason = fmt::format("no route to {}: {}", to_.text(), message(errno));
            return false;
        }
        SocketAddress here = SocketAddress::room();
        if (::getsockname(fd_.get(), here.get(), &here.size) == 0) own_ = here.address();
        return true;
    }

    void exchange() {
        auto end = steady_clock::time_point::max();
        auto next = steady_clock::now();
        while (begun_.size() < options_.count || outstanding_ > 0) {
            const auto now = steady_clock::now();
            if (begun_.size() < options_.count && now >= next) {
                send_echo();
                next += options_.interval;
                if (begun_.size() == options_.count) end = now + options_.timeout;
                continue;
            }
            const bool waits = begun_.size() == options_.count;
            const auto until = waits ? std::min(end, given_up_) : next;
            if (waits && now >= until) return;
            if (!wait_for(fd_.get(), POLLIN, until)) continue;
            read_errors();
            read_answers();
        }
    }

    void send_echo() {
        write16(echo_, kSequenceAt, begun_.size());
        if (!to_.v6) {  // the kernel does it for ICMPv6
            write16(echo_, kChecksumAt, 0);
            write16(echo_, kChecksumAt, internet_checksum(echo_));
        }
        begun_.push_back(steady_clock::now());
        // The first attempt may be answered with an error of an earlier echo.
        for (int attempt = 0; attempt < 2; attempt++) {
            if (::send(fd_.get(), echo_.data(), echo_.size(), 0) >= 0) {
                outstanding_++;
                return;
            }
            const int error = errno;
            if (!read_errors()) {
                result_.reason = "not sent: " + message(error);
                return;
            }
        }
    }

    void read_answers() {
        std::array<std::uint8_t, 65536> buffer;
        for (;;) {
            const ssize_t size = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
            if (size < 0) return;  // EAGAIN, or an error that read_errors() has read or will
            Bytes packet(buffer.data(), static_cast<std::size_t>(size));
            // An IPv4 raw socket gets the IP header too, whose length is in its first byte.
            if (!to_.v6 && !packet.empty())
                packet = packet.subspan(std::min<std::size_t>(packet.size(), std::size_t{packet[0] & 0xfU} * 4));
            note_answer(packet);
        }
    }

    void note_answer(Bytes packet) {
        if (packet.size() != echo_.size() || packet[0] != (to_.v6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY)) return;
        if (!to_.v6 && internet_checksum(packet) != 0) return;  // the kernel has looked at ICMPv6's
        const std::size_t sequence = read16(packet, kSequenceAt);
        if (!is_ours(packet) || sequence >= begun_.size() || result_.echoes[sequence] ||
            !std::equal(packet.begin() + kHeader, packet.end(), echo_.begin() + kHeader))
            return;
        result_.echoes[sequence] = steady_clock::now() - begun_[sequence];
        outstanding_--;
    }

    bool is_ours(Bytes packet) const { return read16(packet, kIdentifierAt) == read16(echo_, kIdentifierAt); }

    // Whether there was one.
    bool read_errors() {
        bool any = false;
        for (;;) {
            std::array<std::uint8_t, kHeader> inner{};
            alignas(cmsghdr) std::array<char, 512> control{};
            iovec part{inner.data(), inner.size()};
            msghdr header{};
            header.msg_iov = &part;
            header.msg_iovlen = 1;
            header.msg_control = control.data();
            header.msg_controllen = control.size();
            const ssize_t size = ::recvmsg(fd_.get(), &header, MSG_ERRQUEUE);
            if (size < 0) return any;
            any = true;
            for (cmsghdr* each = CMSG_FIRSTHDR(&header); each != nullptr; each = CMSG_NXTHDR(&header, each)) {
                if (!(each->cmsg_level == SOL_IP && each->cmsg_type == IP_RECVERR) &&
                    !(each->cmsg_level == SOL_IPV6 && each->cmsg_type == IPV6_RECVERR))
                    continue;
                note_error(Bytes(inner).first(static_cast<std::size_t>(size)), CMSG_DATA(each));
            }
        }
    }

    // `data`: a sock_extended_err and the address of whoever said it.
    void note_error(Bytes inner, const unsigned char* data) {
        sock_extended_err error{};
        std::memcpy(&error, data, sizeof(error));
        if (error.ee_origin == SO_EE_ORIGIN_LOCAL) {
            result_.reason = message(static_cast<int>(error.ee_errno));
        } else {
            // Other sockets' echoes to the same address cause errors that are reported here too.
            if (inner.size() < kHeader || !is_ours(inner)) return;
            SocketAddress by = SocketAddress::room();
            const std::size_t size = to_.v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
            std::memcpy(&by.storage, data + sizeof(error), size);
            if (by.address() == own_ && error.ee_errno == EHOSTUNREACH)
                result_.reason = "no neighbour answers for the address, or for the gateway to it";
            else
                result_.reason = fmt::format("destination unreachable, says {}: {}", by.address().text(),
                                             message(static_cast<int>(error.ee_errno)));
        }
        given_up_ = std::min(given_up_, steady_clock::now() + kAfterError);
    }

    IpAddress to_;
    PingOptions options_;
    Fd fd_;
    IpAddress own_;
    std::vector<std::uint8_t> echo_;  // the next; identifier and payload stay the same
    std::vector<steady_clock::time_point> begun_;
    std::size_t outstanding_ = 0;
    steady_clock::time_point given_up_ = steady_clock::time_point::max();
    PingResult result_;
};

}  // namespace

std::size_t PingResult::answered() const {
    return static_cast<std::size_t>(std::ranges::count_if(echoes, [](const auto& each) { return each.has_value(); }));
}

std::optional<std::chrono::nanoseconds> PingResult::best() const {
    std::optional<std::chrono::nanoseconds> best;
    for (const auto& each : echoes)
        if (each && (!best || *each < *best)) best = each;
    return best;
}

PingResult ping(const IpAddress& to, const PingOptions& options) {
    return Pinger(to, options).run();
}

}  // namespace underpass::lab
