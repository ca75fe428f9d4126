// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netlink/traffic_control.h"

#include <fmt/format.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <optional>

#include "netlink/attribute.h"
#include "netlink/request.h"

namespace underpass {

namespace {

// A filter's classifier announces itself by a message without options first (its handle is 0): not a filter.
std::optional<TcFilter> decode_filter(const nlmsghdr* message) {
    const auto payload = payload_of<tcmsg>(message);
    if (!payload || message->nlmsg_type != RTM_NEWTFILTER || payload->header.tcm_handle == 0) return std::nullopt;
    TcFilter filter;
    for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
        if (attribute.type == TCA_KIND) filter.kind = attribute.text();
        if (attribute.type == TCA_OPTIONS && filter.kind == "bpf")
            for_each_attribute(attribute.payload, [&](const Attribute& option) {
                if (option.type == TCA_BPF_ID) filter.program = option.u32().value_or(0);
                return true;
            });
        return true;
    });
    return filter;
}

}  // namespace

Qdiscs list_qdiscs(NetlinkSocket& route) {
    DumpRequest<tcmsg> request(RTM_GETQDISC);
    request.header->tcm_family = AF_UNSPEC;
    Qdiscs qdiscs;
    route.dump(request.message, "list qdiscs", [&](const nlmsghdr* message) {
        const auto payload = payload_of<tcmsg>(message);
        if (!payload || payload->header.tcm_ifindex <= 0) return;
        const Ifindex device{static_cast<std::uint32_t>(payload->header.tcm_ifindex)};
        for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
            if (attribute.type != TCA_KIND) return true;
            if (attribute.text() == "clsact" || attribute.text() == "ingress") qdiscs.clsact.insert(device);
            if (payload->header.tcm_parent == TC_H_ROOT) qdiscs.root[device] = attribute.text();
            return true;
        });
    });
    return qdiscs;
}

std::vector<TcFilter> tc_filters(NetlinkSocket& route, Ifindex device, bool ingress) {
    DumpRequest<tcmsg> request(RTM_GETTFILTER);
    request.header->tcm_family = AF_UNSPEC;
    request.header->tcm_ifindex = static_cast<int>(number(device));
    request.header->tcm_parent = TC_H_MAKE(TC_H_CLSACT, ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
    std::vector<TcFilter> filters;
    route.dump(request.message, fmt::format("list the filters of device {}", number(device)),
               [&](const nlmsghdr* message) {
                   if (auto filter = decode_filter(message)) filters.push_back(std::move(*filter));
               });
    return filters;
}

}  // namespace underpass
