// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A request under construction: the netlink header and the family's fixed header, zeroed; attributes are put after it
// with libmnl. Room for what the requests of this folder carry.
#pragma once

#include <libmnl/libmnl.h>

#include <array>
#include <cstdint>

namespace underpass {

template <typename Header>
struct DumpRequest {
    alignas(nlmsghdr) std::array<char, 256> bytes{};
    nlmsghdr* message;
    Header* header;

    explicit DumpRequest(std::uint16_t type) {
        message = mnl_nlmsg_put_header(bytes.data());
        message->nlmsg_type = type;
        header = static_cast<Header*>(mnl_nlmsg_put_extra_header(message, sizeof(Header)));
    }
    DumpRequest(const DumpRequest&) = delete;
    DumpRequest& operator=(const DumpRequest&) = delete;
};

}  // namespace underpass
