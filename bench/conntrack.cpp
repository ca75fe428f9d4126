// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/conntrack.h"

#include <fmt/format.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include <exception>

#include "lab/link.h"
#include "netlink/request.h"
#include "netlink/socket.h"

namespace underpass::bench {

namespace {

constexpr const char* kMax = "netfilter/nf_conntrack_max";
constexpr const char* kBuckets = "netfilter/nf_conntrack_buckets";

std::uint32_t number_in(const std::string& sysctl) {
    return static_cast<std::uint32_t>(std::stoul(lab::sysctl(sysctl)));
}

}  // namespace

ConntrackRoom::ConntrackRoom(std::uint32_t connections) {
    try {
        // As many buckets as connections, as the kernel has it by itself.
        for (const char* name : {kMax, kBuckets}) {
            if (number_in(name) >= connections) continue;
            before_.emplace_back(name, lab::sysctl(name));
            lab::set_sysctl(name, std::to_string(connections));
        }
    } catch (...) {
        put_back();
        throw;
    }
}

ConntrackRoom::~ConntrackRoom() {
    put_back();
}

void ConntrackRoom::put_back() noexcept {
    for (const auto& [name, value] : before_) {
        try {
            lab::set_sysctl(name, value);
        } catch (const std::exception& error) {
            fmt::print(stderr, "bench: {}\n", error.what());
        }
    }
}

std::uint32_t conntrack_max() {
    return number_in(kMax);
}

void keep_udp_connections() {
    for (const char* name : {"netfilter/nf_conntrack_udp_timeout", "netfilter/nf_conntrack_udp_timeout_stream"})
        lab::set_sysctl(name, "3600");
}

void forget_connections() {
    DumpRequest<nfgenmsg> request(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE);
    request.header->nfgen_family = AF_UNSPEC;
    request.header->version = NFNETLINK_V0;
    NetlinkSocket(NETLINK_NETFILTER).request(request.message, "forget all connections");
}

}  // namespace underpass::bench
