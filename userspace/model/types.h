// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The words of the domain as types: values that cannot be mistaken for one another.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace underpass {

// Index of a network device in its namespace, as the kernel numbers them: from 1 on.
enum class Ifindex : std::uint32_t { none = 0 };

constexpr std::uint32_t number(Ifindex index) {
    return static_cast<std::uint32_t>(index);
}

// VLAN id in host order; 0 stands for "no VLAN", as in the FDB of a bridge without VLAN filtering.
enum class Vid : std::uint16_t { none = 0 };

constexpr std::uint16_t number(Vid vid) {
    return static_cast<std::uint16_t>(vid);
}

struct MacAddr {
    std::array<std::uint8_t, 6> bytes{};

    auto operator<=>(const MacAddr&) const = default;

    // Of one device: neither a group's, nor none.
    bool is_unicast() const { return (bytes[0] & 1) == 0 && *this != MacAddr{}; }

    // "02:00:00:00:00:01"
    std::string text() const;
    // Absent unless `text` is six two-digit hexadecimal numbers joined by colons.
    static std::optional<MacAddr> parse(std::string_view text);
};

// Which way a port's frames are taken. `kernel` means: not at all.
enum class Hook { kernel, tc, xdp };

const char* name(Hook hook);

// What a person asked for with --hook or in the configuration.
enum class HookChoice { automatic, tc, xdp };

const char* name(HookChoice choice);
std::optional<HookChoice> parse_hook_choice(std::string_view text);  // "auto", "tc", "xdp"

}  // namespace underpass

template <>
struct std::hash<underpass::MacAddr> {
    std::size_t operator()(const underpass::MacAddr& mac) const noexcept {
        std::uint64_t value = 0;
        for (auto byte : mac.bytes) value = value << 8 | byte;
        return std::hash<std::uint64_t>{}(value * 0x9e3779b97f4a7c15ULL);
    }
};
