// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// IP addresses and prefixes as values.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace underpass {

struct IpAddress {
    bool v6 = false;
    std::array<std::uint8_t, 16> storage{};  // in network order; the first four for IPv4, the others zero

    auto operator<=>(const IpAddress&) const = default;

    std::span<const std::uint8_t> bytes() const { return {storage.data(), v6 ? storage.size() : std::size_t{4}}; }
    int family() const;  // AF_INET or AF_INET6
    std::uint8_t bits() const { return v6 ? 128 : 32; }
    // "10.1.0.2", "fd00::2"
    std::string text() const;
    // Absent unless `text` is one address and nothing else.
    static std::optional<IpAddress> parse(std::string_view text);
};

// An address with the length of its prefix. The bits behind the prefix are kept: 10.1.0.2/24 is a host in a subnet.
struct IpPrefix {
    IpAddress address;
    std::uint8_t length = 0;

    auto operator<=>(const IpPrefix&) const = default;

    bool contains(const IpAddress& other) const;
    // No bit behind the prefix is set: what a route may lead to.
    bool is_network() const;
    // A host may have it: of IPv4 neither its subnet's own address nor the one of all in it (apart from /31 and /32).
    bool is_host() const;
    // "10.1.0.2/24"
    std::string text() const;
    // An address without a length is a prefix of all its bits.
    static std::optional<IpPrefix> parse(std::string_view text);
};

}  // namespace underpass
