// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netlink/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include <cerrno>
#include <fstream>
#include <optional>
#include <string>

#include "loader/error.h"
#include "netlink/attribute.h"
#include "netlink/request.h"

namespace underpass {

namespace {

using Request = DumpRequest<nfgenmsg>;

// (That the tuple is given as the original one means nothing here: the kernel looks for either.)
void begin(Request& request, const flow_key& tuple) {
    request.header->nfgen_family = tuple.family;
    request.header->version = NFNETLINK_V0;
    put_tuple(request.message, CTA_TUPLE_ORIG, tuple);
}

constexpr std::uint16_t kSet = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;
constexpr std::uint16_t kGet = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;

void put_liberal(nlmsghdr* message) {
    const nf_ct_tcp_flags liberal = {
        .flags = IP_CT_TCP_FLAG_BE_LIBERAL,
        .mask = IP_CT_TCP_FLAG_BE_LIBERAL | IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED | IP_CT_TCP_FLAG_MAXACK_SET};
    nlattr* state = mnl_attr_nest_start(message, CTA_PROTOINFO);
    nlattr* tcp = mnl_attr_nest_start(message, CTA_PROTOINFO_TCP);
    mnl_attr_put(message, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, sizeof(liberal), &liberal);
    mnl_attr_put(message, CTA_PROTOINFO_TCP_FLAGS_REPLY, sizeof(liberal), &liberal);
    mnl_attr_nest_end(message, tcp);
    mnl_attr_nest_end(message, state);
}

struct TcpEntry {
    std::uint8_t state = 0;    // TCP_CONNTRACK_*
    std::uint8_t either = 0;   // flags that one of the directions has
    std::uint8_t both = 0xff;  // ... that both have
    std::uint32_t timeout_s = 0;
};

void decode_tcp(TcpEntry& entry, Bytes attributes) {
    for_each_attribute(attributes, [&entry](const Attribute& attribute) {
        switch (attribute.type) {
            case CTA_PROTOINFO_TCP_STATE: return store(entry.state, attribute.u8());
            case CTA_PROTOINFO_TCP_FLAGS_ORIGINAL:
            case CTA_PROTOINFO_TCP_FLAGS_REPLY: {
                const auto flags = attribute.as<nf_ct_tcp_flags>().value_or(nf_ct_tcp_flags{});
                entry.either |= flags.flags;
                entry.both &= flags.flags;
                return true;
            }
            default: return true;
        }
    });
}

TcpEntry get(NetlinkSocket& socket, const flow_key& tuple) {
    Request request(kGet);
    begin(request, tuple);
    TcpEntry entry;
    socket.request(request.message, "look a TCP connection up", [&entry](const nlmsghdr* message) {
        const auto payload = payload_of<nfgenmsg>(message);
        if (!payload || message->nlmsg_type != kSet) return;
        for_each_attribute(payload->attributes, [&entry](const Attribute& attribute) {
            if (attribute.type == CTA_TIMEOUT) return store(entry.timeout_s, attribute.be32());
            if (attribute.type != CTA_PROTOINFO) return true;
            return for_each_attribute(attribute.payload, [&entry](const Attribute& protocol) {
                if (protocol.type == CTA_PROTOINFO_TCP) decode_tcp(entry, protocol.payload);
                return true;
            });
        });
    });
    return entry;
}

std::uint32_t kernel_timeout(const std::string& what) {
    const std::string path = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_" + what;
    std::ifstream file(path);
    std::uint32_t seconds = 0;
    if (!(file >> seconds)) throw_errno(errno, "read " + path);
    return seconds;
}

}  // namespace

void put_tuple(nlmsghdr* message, std::uint16_t type, const flow_key& tuple) {
    const bool v6 = tuple.family == AF_INET6;
    const std::size_t length = v6 ? sizeof(tuple.source) : sizeof(tuple.source[0]);
    nlattr* whole = mnl_attr_nest_start(message, type);
    nlattr* addresses = mnl_attr_nest_start(message, CTA_TUPLE_IP);
    mnl_attr_put(message, v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, length, tuple.source);
    mnl_attr_put(message, v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, length, tuple.destination);
    mnl_attr_nest_end(message, addresses);
    nlattr* transport = mnl_attr_nest_start(message, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(message, CTA_PROTO_NUM, tuple.protocol);
    mnl_attr_put_u16(message, CTA_PROTO_SRC_PORT, tuple.source_port);
    mnl_attr_put_u16(message, CTA_PROTO_DST_PORT, tuple.destination_port);
    mnl_attr_nest_end(message, transport);
    mnl_attr_nest_end(message, whole);
}

void make_liberal(NetlinkSocket& socket, const flow_key& tuple) {
    Request request(kSet);
    begin(request, tuple);
    put_liberal(request.message);
    socket.request(request.message, "prepare a TCP connection");
}

bool settle(NetlinkSocket& socket, const flow_key& tuple) {
    const TcpEntry entry = get(socket, tuple);
    if (entry.state != TCP_CONNTRACK_ESTABLISHED || (entry.both & IP_CT_TCP_FLAG_BE_LIBERAL) == 0 ||
        (entry.either & IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED) == 0)
        return false;
    Request request(kSet);
    begin(request, tuple);
    put_liberal(request.message);
    // A longer one was given by somebody else.
    if (entry.timeout_s <= kernel_timeout("unacknowledged"))
        mnl_attr_put_u32(request.message, CTA_TIMEOUT, htonl(kernel_timeout("established")));
    socket.request(request.message, "give an idle TCP connection its time");
    return true;
}

}  // namespace underpass
