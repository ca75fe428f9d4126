// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A route-netlink request under construction: header, attributes, nests closed by scope, then one send.
//
// Private to this folder. The request goes to the kernel of the calling thread's network namespace; a refusal is a
// NetlinkError that names what was tried.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "model/types.h"

namespace underpass::lab {

constexpr std::uint16_t kCreate = NLM_F_CREATE | NLM_F_EXCL;

class Request {
public:
    // `flags` beside NLM_F_REQUEST and NLM_F_ACK. `what` completes "could not ...".
    Request(std::uint16_t type, std::uint16_t flags, std::string what);

    // The fixed header that follows (ifinfomsg, ndmsg, ifaddrmsg), zeroed; once, before any attribute.
    template <class Header>
    Header& header() {
        static_assert(std::is_trivially_copyable_v<Header>);
        return *static_cast<Header*>(mnl_nlmsg_put_extra_header(message_, sizeof(Header)));
    }

    template <class Value>
    Request& put(int attribute, const Value& value) {
        static_assert(std::is_trivially_copyable_v<Value> && !std::is_pointer_v<Value>);
        return put_bytes(attribute, {reinterpret_cast<const std::uint8_t*>(&value), sizeof(value)});
    }
    Request& put_bytes(int attribute, std::span<const std::uint8_t> bytes);
    Request& put_text(int attribute, const std::string& text);

    // An attribute that holds what is put while this object lives.
    class Nest {
    public:
        Nest(Request& request, int attribute);
        ~Nest();
        Nest(const Nest&) = delete;
        Nest& operator=(const Nest&) = delete;

        // A fixed header inside the nest.
        template <class Header>
        Header& header() {
            return *static_cast<Header*>(mnl_nlmsg_put_extra_header(request_.message_, sizeof(Header)));
        }

    private:
        Request& request_;
        nlattr* attribute_;
    };

    // `missing` is what a kernel lacks that does not support this: "VLAN devices (module 8021q)". The error then says
    // so, unless the kernel has given another reason itself.
    void send(std::string_view missing = {});

private:
    void check_room(std::size_t bytes) const;

    alignas(nlmsghdr) std::array<char, 4096> buffer_{};
    nlmsghdr* message_;
    std::string what_;
};

template <class Value, class Option>
void put_if(Request& request, int attribute, const std::optional<Option>& value) {
    if (value) request.put(attribute, static_cast<Value>(*value));
}

inline void put_mac(Request& request, int attribute, const std::optional<MacAddr>& mac) {
    if (mac) request.put(attribute, mac->bytes);
}

// For send(), of whatever a bridge without it refuses.
constexpr std::string_view kVlanFiltering = "VLAN filtering in its bridge";

// Of a device that is there, as fixed headers have it. Throws std::system_error.
int index_of(const std::string& device);

}  // namespace underpass::lab
