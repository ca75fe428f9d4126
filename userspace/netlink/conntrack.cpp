// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netlink/conntrack.h"

#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include "netlink/request.h"

namespace underpass {

namespace {

void put_tuple(nlmsghdr* message, const flow_key& tuple) {
    const bool v6 = tuple.family == AF_INET6;
    const std::size_t length = v6 ? sizeof(tuple.source) : sizeof(tuple.source[0]);
    nlattr* whole = mnl_attr_nest_start(message, CTA_TUPLE_ORIG);
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

}  // namespace

// (That the tuple is given as the original one means nothing here: the kernel looks for either.)
void make_liberal(NetlinkSocket& socket, const flow_key& tuple) {
    DumpRequest<nfgenmsg> request(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW);
    request.header->nfgen_family = tuple.family;
    request.header->version = NFNETLINK_V0;
    put_tuple(request.message, tuple);
    const nf_ct_tcp_flags liberal = {.flags = IP_CT_TCP_FLAG_BE_LIBERAL, .mask = IP_CT_TCP_FLAG_BE_LIBERAL};
    nlattr* state = mnl_attr_nest_start(request.message, CTA_PROTOINFO);
    nlattr* tcp = mnl_attr_nest_start(request.message, CTA_PROTOINFO_TCP);
    mnl_attr_put(request.message, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, sizeof(liberal), &liberal);
    mnl_attr_put(request.message, CTA_PROTOINFO_TCP_FLAGS_REPLY, sizeof(liberal), &liberal);
    mnl_attr_nest_end(request.message, tcp);
    mnl_attr_nest_end(request.message, state);
    socket.request(request.message, "prepare a TCP connection");
}

}  // namespace underpass
