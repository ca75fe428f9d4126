// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/request.h"

#include <cerrno>
#include <stdexcept>
#include <utility>

#include "lab/link.h"
#include "netlink/socket.h"

namespace underpass::lab {

namespace {

// The same errno means other things too, "this device takes no VLANs" for one; those the kernel explains.
bool is_unexplained(const NetlinkError& error) {
    return error.code().value() == EOPNOTSUPP && (error.extack().empty() || error.extack() == "Unknown device type");
}

}  // namespace

Request::Request(std::uint16_t type, std::uint16_t flags, std::string what)
    : message_(mnl_nlmsg_put_header(buffer_.data())), what_(std::move(what)) {
    message_->nlmsg_type = type;
    message_->nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST | NLM_F_ACK);
}

Request& Request::put_bytes(int attribute, std::span<const std::uint8_t> bytes) {
    check_room(bytes.size());
    mnl_attr_put(message_, static_cast<std::uint16_t>(attribute), bytes.size(), bytes.data());
    return *this;
}

Request& Request::put_text(int attribute, const std::string& text) {
    check_room(text.size() + 1);
    mnl_attr_put_strz(message_, static_cast<std::uint16_t>(attribute), text.c_str());
    return *this;
}

Request::Nest::Nest(Request& request, int attribute) : request_(request) {
    request.check_room(0);
    attribute_ = mnl_attr_nest_start(request.message_, static_cast<std::uint16_t>(attribute));
}

Request::Nest::~Nest() {
    mnl_attr_nest_end(request_.message_, attribute_);
}

void Request::send(std::string_view missing) {
    NetlinkSocket socket(NETLINK_ROUTE);
    try {
        socket.request(message_, what_);
    } catch (const NetlinkError& error) {
        if (missing.empty() || !is_unexplained(error)) throw;
        throw NetlinkError(EOPNOTSUPP, what_ + ": this kernel has no " + std::string(missing), error.extack());
    }
}

void Request::check_room(std::size_t bytes) const {
    // A nest, its header and the padding of both fit in the margin.
    constexpr std::size_t kMargin = 64;
    if (message_->nlmsg_len + bytes + kMargin > buffer_.size()) throw std::length_error("netlink request is full");
}

int index_of(const std::string& device) {
    return static_cast<int>(number(ifindex(device)));
}

}  // namespace underpass::lab
