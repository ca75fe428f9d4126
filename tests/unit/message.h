// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Netlink messages built by hand, byte for byte as the kernel lays them out, in memory of exactly their size: whoever
// reads outside is seen by the address sanitizer.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "model/types.h"

namespace underpass {

class Message {
public:
    template <class Header>
    Message(unsigned type, const Header& header) {
        nlmsghdr head{};
        head.nlmsg_type = static_cast<std::uint16_t>(type);
        append(&head, sizeof(head));
        append(&header, sizeof(header));
        align();
    }

    Message& put(unsigned type, const void* value, std::size_t size) {
        nlattr attribute{static_cast<std::uint16_t>(NLA_HDRLEN + size), static_cast<std::uint16_t>(type)};
        append(&attribute, sizeof(attribute));
        append(value, size);
        align();
        return *this;
    }
    Message& u8(unsigned type, std::uint8_t value) { return put(type, &value, sizeof(value)); }
    Message& u16(unsigned type, std::uint16_t value) { return put(type, &value, sizeof(value)); }
    Message& u32(unsigned type, std::uint32_t value) { return put(type, &value, sizeof(value)); }
    Message& be16(unsigned type, std::uint16_t value) { return u16(type, __builtin_bswap16(value)); }
    Message& be32(unsigned type, std::uint32_t value) { return u32(type, __builtin_bswap32(value)); }
    Message& s32(unsigned type, std::int32_t value) { return put(type, &value, sizeof(value)); }
    Message& mac(unsigned type, const MacAddr& value) { return put(type, value.bytes.data(), value.bytes.size()); }
    // With its NUL, as the kernel sends it.
    Message& text(unsigned type, std::string_view value) {
        std::vector<char> bytes(value.begin(), value.end());
        bytes.push_back('\0');
        return put(type, bytes.data(), bytes.size());
    }
    Message& nest(unsigned type, const std::function<void(Message&)>& fill) {
        const std::size_t start = bytes_.size();
        put(type, nullptr, 0);
        fill(*this);
        nlattr attribute{static_cast<std::uint16_t>(bytes_.size() - start), static_cast<std::uint16_t>(type)};
        std::memcpy(bytes_.data() + start, &attribute, sizeof(attribute));
        return *this;
    }

    std::vector<char> bytes() const { return bytes_; }
    std::size_t size() const { return bytes_.size(); }

private:
    void append(const void* value, std::size_t size) {
        const auto* begin = static_cast<const char*>(value);
        if (size != 0) bytes_.insert(bytes_.end(), begin, begin + size);
    }
    void align() { bytes_.resize(NLMSG_ALIGN(bytes_.size())); }

    std::vector<char> bytes_;
};

// The bytes as one message of that length, whatever they said themselves: what the socket checks before it decodes.
class Received {
public:
    explicit Received(const std::vector<char>& bytes) : memory_(new char[bytes.size()]) {
        std::memcpy(memory_.get(), bytes.data(), bytes.size());
        const auto length = static_cast<std::uint32_t>(bytes.size());
        std::memcpy(memory_.get() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof(length));
    }
    explicit Received(const Message& message) : Received(message.bytes()) {}

    const nlmsghdr* get() const { return reinterpret_cast<const nlmsghdr*>(memory_.get()); }

private:
    std::unique_ptr<char[]> memory_;
};

}  // namespace underpass
