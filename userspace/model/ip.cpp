// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/ip.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

namespace underpass {

int IpAddress::family() const {
    return v6 ? AF_INET6 : AF_INET;
}

std::string IpAddress::text() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    return inet_ntop(family(), storage.data(), text.data(), text.size());
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
    const std::string whole(text);
    if (whole.size() != std::string_view(whole.c_str()).size()) return std::nullopt;  // a zero byte inside
    IpAddress address;
    address.v6 = text.find(':') != std::string_view::npos;
    if (inet_pton(address.family(), whole.c_str(), address.storage.data()) != 1) return std::nullopt;
    return address;
}

bool IpPrefix::contains(const IpAddress& other) const {
    if (other.v6 != address.v6) return false;
    for (std::size_t bit = 0; bit < length; bit++) {
        const std::size_t byte = bit / 8;
        const auto mask = static_cast<std::uint8_t>(0x80U >> (bit % 8));
        if (((address.storage.at(byte) ^ other.storage.at(byte)) & mask) != 0) return false;
    }
    return true;
}

bool IpPrefix::is_network() const {
    for (std::size_t bit = length; bit < address.bits(); bit++)
        if ((address.storage.at(bit / 8) & (0x80U >> (bit % 8))) != 0) return false;
    return true;
}

bool IpPrefix::is_host() const {
    if (address.v6 || length >= 31) return true;
    std::size_t set = 0;
    for (std::size_t bit = length; bit < address.bits(); bit++)
        set += (address.storage.at(bit / 8) & (0x80U >> (bit % 8))) != 0 ? 1 : 0;
    return set != 0 && set != std::size_t{address.bits()} - length;
}

std::string IpPrefix::text() const {
    return fmt::format("{}/{}", address.text(), length);
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
    const std::size_t slash = text.find('/');
    const auto address = IpAddress::parse(text.substr(0, slash));
    if (!address) return std::nullopt;
    IpPrefix prefix{*address, address->bits()};
    if (slash == std::string_view::npos) return prefix;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + slash + 1, end, prefix.length);
    if (error != std::errc{} || rest != end || prefix.length > address->bits()) return std::nullopt;
    return prefix;
}

}  // namespace underpass
