// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Netlink attributes as bounded values. In: bytes that somebody else wrote. Out: attributes, each no longer than what
// is left, and typed reads that are absent unless the length is exactly the type's.
//
// Nothing here dereferences a pointer into the bytes: values are copied, so that no length and no alignment that a
// message claims is believed. libmnl's own walk rounds the end of the message up to four bytes, past what was
// received; hence this one.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "model/ip.h"
#include "model/types.h"

namespace underpass {

using Bytes = std::span<const std::byte>;

struct Attribute {
    std::uint16_t type = 0;  // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
    Bytes payload;

    std::optional<std::uint8_t> u8() const { return as<std::uint8_t>(); }
    std::optional<std::uint16_t> u16() const { return as<std::uint16_t>(); }
    std::optional<std::uint32_t> u32() const { return as<std::uint32_t>(); }
    std::optional<std::int32_t> s32() const { return as<std::int32_t>(); }
    std::optional<std::uint64_t> u64() const { return as<std::uint64_t>(); }
    // Network byte order on the wire, as nftables has it; host order here.
    std::optional<std::uint32_t> be32() const {
        if (payload.size() != 4) return std::nullopt;
        std::uint32_t value = 0;
        for (auto byte : payload) value = value << 8 | std::to_integer<std::uint32_t>(byte);
        return value;
    }
    // Up to the first NUL, or the whole payload where there is none.
    std::string_view text() const {
        const auto* begin = reinterpret_cast<const char*>(payload.data());
        return {begin, payload.empty() ? 0 : strnlen(begin, payload.size())};
    }
    // A device index: zero is no device.
    std::optional<Ifindex> ifindex() const {
        auto value = u32();
        if (!value || *value == 0) return std::nullopt;
        return Ifindex{*value};
    }
    std::optional<MacAddr> mac() const {
        MacAddr value;
        if (payload.size() != value.bytes.size()) return std::nullopt;
        std::memcpy(value.bytes.data(), payload.data(), value.bytes.size());
        return value;
    }
    // By its length of IPv4 or IPv6.
    std::optional<IpAddress> ip() const {
        IpAddress value;
        value.v6 = payload.size() == value.storage.size();
        if (payload.size() != value.bytes().size()) return std::nullopt;
        std::memcpy(value.storage.data(), payload.data(), payload.size());
        return value;
    }
    template <typename T>
    std::optional<T> as() const {
        static_assert(std::is_trivially_copyable_v<T>);
        if (payload.size() != sizeof(T)) return std::nullopt;
        T value;
        std::memcpy(&value, payload.data(), sizeof value);
        return value;
    }
};

// Stores an attribute's value in `target`; false if its length is not the value's.
template <typename Target, typename Value>
bool store(Target& target, const std::optional<Value>& value) {
    if (value) target = static_cast<Target>(*value);
    return value.has_value();
}

// Calls visit(attribute) -> bool for each attribute in `bytes`. False if a visit said so, or if an attribute claims
// more than is left: then nobody has seen all of it, and the message is as good as not understood.
template <typename Visit>
bool for_each_attribute(Bytes bytes, Visit&& visit) {
    while (bytes.size() >= sizeof(nlattr)) {
        nlattr header;
        std::memcpy(&header, bytes.data(), sizeof header);
        if (header.nla_len < sizeof header || header.nla_len > bytes.size()) return false;
        Attribute attribute{static_cast<std::uint16_t>(header.nla_type & NLA_TYPE_MASK),
                            bytes.subspan(sizeof header, header.nla_len - sizeof header)};
        if (!visit(attribute)) return false;
        const std::size_t step = (header.nla_len + 3U) & ~std::size_t{3};
        bytes = bytes.subspan(step < bytes.size() ? step : bytes.size());
    }
    return true;
}

// A message's fixed header (ifinfomsg, ndmsg, ...) and the attributes after it. Absent if it is shorter than that.
template <typename Header>
struct Payload {
    Header header;
    Bytes attributes;
};

template <typename Header>
std::optional<Payload<Header>> payload_of(const nlmsghdr* message) {
    static_assert(std::is_trivially_copyable_v<Header>);
    constexpr std::size_t kOffset = NLMSG_ALIGN(sizeof(nlmsghdr));
    constexpr std::size_t kStart = kOffset + NLMSG_ALIGN(sizeof(Header));
    if (message->nlmsg_len < kOffset + sizeof(Header)) return std::nullopt;
    const auto* bytes = reinterpret_cast<const std::byte*>(message);
    Payload<Header> result;
    std::memcpy(&result.header, bytes + kOffset, sizeof(Header));
    if (message->nlmsg_len > kStart) result.attributes = Bytes(bytes + kStart, message->nlmsg_len - kStart);
    return result;
}

}  // namespace underpass
