// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "harness/frame_socket.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <stdexcept>

#include "lab/link.h"
#include "loader/error.h"

namespace underpass::test {

using std::chrono::steady_clock;

namespace {

constexpr int kBufferSize = 16 << 20;
constexpr std::size_t kLongest = 65536 + 64;
constexpr std::size_t kTagOffset = std::size_t{2} * ETH_ALEN, kTypeOffset = kTagOffset;
constexpr std::size_t kDataOffset = 12;  // a bit field in tcphdr

// struct virtio_net_hdr: its header, linux/virtio_net.h, is no C++.
struct VirtioHeader {
    std::uint8_t flags, gso_type;
    std::uint16_t header_bytes, segment_bytes, sum_start, sum_offset;
};
constexpr std::uint8_t kNeedsSum = 1, kTcp4 = 1, kTcp6 = 4;

void set_option(int fd, int level, int name, int value) {
    if (::setsockopt(fd, level, name, &value, sizeof(value)) != 0) throw_errno(errno, "set up a packet socket");
}

Fd open_socket(const std::string& device) {
    // Protocol 0 until it is bound: else it would see the frames of all devices for a moment.
    Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) throw_errno(errno, "open a packet socket");
    set_option(fd.get(), SOL_PACKET, PACKET_AUXDATA, 1);
    set_option(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
    set_option(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, kBufferSize);
    set_option(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, kBufferSize);
    sockaddr_ll address = {};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(number(lab::ifindex(device)));
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        throw_errno(errno, "bind a packet socket to " + device);
    return fd;
}

void reinsert_tag(Frame& frame, const msghdr& message) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(const_cast<msghdr*>(&message), part)) {
        if (part->cmsg_level != SOL_PACKET || part->cmsg_type != PACKET_AUXDATA) continue;
        tpacket_auxdata facts = {};
        std::memcpy(&facts, CMSG_DATA(part), sizeof(facts));
        if ((facts.tp_status & TP_STATUS_VLAN_VALID) == 0 || frame.size() < kTagOffset) return;
        const std::uint16_t tpid =
            (facts.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? facts.tp_vlan_tpid : ETH_P_8021Q;
        const std::uint16_t tci = facts.tp_vlan_tci;
        const std::array<std::uint8_t, 4> tag = {static_cast<std::uint8_t>(tpid >> 8), static_cast<std::uint8_t>(tpid),
                                                 static_cast<std::uint8_t>(tci >> 8), static_cast<std::uint8_t>(tci)};
        frame.insert(frame.begin() + kTagOffset, tag.begin(), tag.end());
        return;
    }
}

// Absent: nothing is queued.
std::optional<Frame> take(int fd, std::vector<std::uint8_t>& buffer) {
    iovec bytes = {buffer.data(), buffer.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(tpacket_auxdata))> control{};
    msghdr message = {};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(fd, &message, 0);
    if (size < 0) {
        if (errno == EAGAIN || errno == EINTR) return std::nullopt;
        // The device was set down: that is a test's own doing, and what came before it is still queued.
        if (errno == ENETDOWN) return std::nullopt;
        throw_errno(errno, "receive a frame");
    }
    if ((message.msg_flags & MSG_TRUNC) != 0) throw std::length_error("a frame is longer than the receive buffer");
    Frame frame(buffer.begin(), buffer.begin() + size);
    reinsert_tag(frame, message);
    return frame;
}

}  // namespace

FrameSocket::FrameSocket(const lab::Namespace& where, const std::string& device)
    : device_(device), fd_(where.run([&] { return open_socket(device); })), buffer_(kLongest) {}

void FrameSocket::send(const Frame& frame) const {
    send_bytes(frame);
}

void FrameSocket::send_uncut(Frame frame, std::uint16_t segment_bytes) const {
    const bool ipv6 = frame.at(kTypeOffset) == 0x86;
    const std::size_t transport = ETH_HLEN + (ipv6 ? sizeof(ipv6hdr) : sizeof(iphdr));
    const std::size_t addresses = ETH_HLEN + (ipv6 ? offsetof(ipv6hdr, saddr) : offsetof(iphdr, saddr));
    // Of the pseudo header: what is to be added to by who finishes it.
    std::uint32_t sum = IPPROTO_TCP + static_cast<std::uint32_t>(frame.size() - transport);
    for (std::size_t i = addresses; i < transport; i += 2) sum += unsigned{frame.at(i)} << 8U | frame.at(i + 1);
    while (sum >> 16U != 0) sum = (sum & 0xffffU) + (sum >> 16U);
    frame.at(transport + offsetof(tcphdr, check)) = static_cast<std::uint8_t>(sum >> 8U);
    frame.at(transport + offsetof(tcphdr, check) + 1) = static_cast<std::uint8_t>(sum);

    const auto header_bytes = transport + frame.at(transport + kDataOffset) / 16 * std::size_t{4};
    const VirtioHeader header = {.flags = kNeedsSum,
                                 .gso_type = ipv6 ? kTcp6 : kTcp4,
                                 .header_bytes = static_cast<std::uint16_t>(header_bytes),
                                 .segment_bytes = segment_bytes,
                                 .sum_start = static_cast<std::uint16_t>(transport),
                                 .sum_offset = offsetof(tcphdr, check)};
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(&header);
    frame.insert(frame.begin(), bytes, bytes + sizeof(header));
    set_option(fd_.get(), SOL_PACKET, PACKET_VNET_HDR, 1);
    send_bytes(frame);
    set_option(fd_.get(), SOL_PACKET, PACKET_VNET_HDR, 0);
}

void FrameSocket::send_bytes(const std::vector<std::uint8_t>& bytes) const {
    for (;;) {
        const ssize_t size = ::send(fd_.get(), bytes.data(), bytes.size(), 0);
        if (size == static_cast<ssize_t>(bytes.size())) return;
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && errno != EAGAIN && errno != ENOBUFS)
            throw_errno(errno, "send a frame of " + std::to_string(bytes.size()) + " bytes at " + device_);
        pollfd room = {fd_.get(), POLLOUT, 0};
        ::poll(&room, 1, 1);
    }
}

std::vector<Frame> FrameSocket::receive(milliseconds time) {
    return receive_until([](const auto&) { return false; }, time);
}

std::vector<Frame> FrameSocket::receive_count(std::size_t count, milliseconds time) {
    return receive_until([count](const auto& frames) { return frames.size() >= count; }, time);
}

std::vector<Frame> FrameSocket::receive_until(const std::function<bool(const std::vector<Frame>&)>& enough,
                                              milliseconds time) {
    const auto end = steady_clock::now() + time;
    std::vector<Frame> frames;
    while (!enough(frames)) {
        if (auto frame = take(fd_.get(), buffer_)) {
            frames.push_back(std::move(*frame));
            continue;
        }
        const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now());
        if (left.count() <= 0) break;
        pollfd ready = {fd_.get(), POLLIN, 0};
        ::poll(&ready, 1, static_cast<int>(left.count()));
    }
    throw_if_lost();
    return frames;
}

void FrameSocket::discard() {
    while (take(fd_.get(), buffer_)) {
    }
    throw_if_lost();
}

void FrameSocket::throw_if_lost() const {
    tpacket_stats counts = {};
    socklen_t size = sizeof(counts);
    if (::getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &counts, &size) != 0)
        throw_errno(errno, "read a packet socket's statistics");
    if (counts.tp_drops != 0)
        throw std::runtime_error("the packet socket at " + device_ + " had no room for " +
                                 std::to_string(counts.tp_drops) + " frames");
}

}  // namespace underpass::test
