// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/types.h"

#include <fmt/format.h>

namespace underpass {

std::string MacAddr::text() const {
    return fmt::format("{:02x}", fmt::join(bytes, ":"));
}

std::optional<MacAddr> MacAddr::parse(std::string_view text) {
    const auto digit = [](char c) -> int {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        return -1;
    };
    MacAddr mac;
    if (text.size() != 3 * mac.bytes.size() - 1) return std::nullopt;
    for (std::size_t i = 0; i < mac.bytes.size(); i++) {
        const int high = digit(text[3 * i]);
        const int low = digit(text[3 * i + 1]);
        if (high < 0 || low < 0 || (i > 0 && text[3 * i - 1] != ':')) return std::nullopt;
        mac.bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
    }
    return mac;
}

const char* name(Hook hook) {
    switch (hook) {
        case Hook::tc: return "tc";
        case Hook::xdp: return "xdp";
        case Hook::kernel: break;
    }
    return "kernel";
}

const char* name(HookChoice choice) {
    switch (choice) {
        case HookChoice::tc: return "tc";
        case HookChoice::xdp: return "xdp";
        case HookChoice::automatic: break;
    }
    return "auto";
}

std::optional<HookChoice> parse_hook_choice(std::string_view text) {
    for (auto choice : {HookChoice::automatic, HookChoice::tc, HookChoice::xdp})
        if (text == name(choice)) return choice;
    return std::nullopt;
}

}  // namespace underpass
