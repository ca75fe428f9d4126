// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames for the router: routes and neighbours are real, the flow's entry and conntrack's are written by the test.
#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/pkt_cls.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include "harness/process.h"
#include "lab/link.h"
#include "loader/probe.h"
#include "netlink/attribute.h"
#include "netlink/conntrack.h"
#include "netlink/request.h"
#include "netlink/socket.h"
#include "prog/fixture.h"

namespace underpass::test {

inline constexpr MacAddr kClient = {{2, 0, 0, 0, 0, 0x11}}, kNextHop = {{2, 0, 0, 0, 0, 0x22}};
inline constexpr std::uint32_t kRouted = kReady | DEVICE_ROUTED;

inline std::uint64_t coarse_now() {
    timespec now = {};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000000000ULL + static_cast<std::uint64_t>(now.tv_nsec);
}

// Changes of what the maps say; by default the flow goes fast.
struct FlowFacts {
    bool known = true;
    std::uint32_t behind = 0;  // generations
    std::uint32_t asked = 1, answered = 1;
    std::chrono::nanoseconds asked_ago = std::chrono::milliseconds(200);
    std::optional<MacAddr> next_hop = std::nullopt;  // that the kernel was seen to use
    bool back = false;                               // it was seen to leave by the device that it came in by
    std::uint32_t in_flags = kRouted, out_flags = kRouted;
    bool out_takes_xdp = true;
    std::optional<flow_ends> out = std::nullopt;  // as it leaves, if it is translated
    std::uint64_t connection = 0;                 // of an echo: where conntrack's entry was seen
};

// Untranslated.
inline flow_ends ends_of(const flow_key& key) {
    flow_ends ends = {};
    std::copy(std::begin(key.source), std::end(key.source), ends.source);
    std::copy(std::begin(key.destination), std::end(key.destination), ends.destination);
    ends.source_port = key.source_port;
    ends.destination_port = key.destination_port;
    return ends;
}

class Route : public ::testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        loaded_ = std::make_unique<LoadedPrograms>();
        shell(
            "sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.in.disable_ipv6=0 net.ipv6.conf.out.disable_ipv6=0 "
            "net.ipv6.conf.all.forwarding=1 && "
            "ip addr add 10.1.0.1/24 dev in && ip addr add 10.2.0.1/24 dev out && "
            "ip addr add fd01::1/64 dev in nodad && ip addr add fd02::1/64 dev out nodad && "
            "ip neigh replace 10.2.0.2 lladdr 02:00:00:00:00:22 nud permanent dev out && "
            "ip neigh replace fd02::2 lladdr 02:00:00:00:00:22 nud permanent dev out");
        loaded_->where().run([&] {
            in_mac_ = lab::mac("in");
            out_mac_ = lab::mac("out");
            out_ = lab::ifindex("out");
        });
    }

    void shell(const std::string& command) const {
        const Finished finished = run(loaded_->where(), {"sh", "-c", command});
        ASSERT_TRUE(finished.ok()) << command << '\n' << finished.text();
    }

    // A frame of the client to the router.
    Frame frame(const Stack& packet) const {
        Frame bytes = packet;
        std::copy(in_mac_.bytes.begin(), in_mac_.bytes.end(), bytes.begin());
        std::copy(kClient.bytes.begin(), kClient.bytes.end(), bytes.begin() + ETH_ADDR_LEN);
        return bytes;
    }
    // ... and as the router sends it on.
    Frame routed(const Stack& packet) const {
        Frame bytes = packet;
        std::copy(kNextHop.bytes.begin(), kNextHop.bytes.end(), bytes.begin());
        std::copy(out_mac_.bytes.begin(), out_mac_.bytes.end(), bytes.begin() + ETH_ADDR_LEN);
        return bytes;
    }

    flow_key key4(std::uint8_t protocol, std::uint16_t sport, std::uint16_t dport, std::uint8_t tos = 0) const {
        flow_key key = {};
        ::inet_pton(AF_INET, "10.1.0.2", &key.source[0]);
        ::inet_pton(AF_INET, "10.2.0.2", &key.destination[0]);
        return finish(key, protocol, AF_INET, sport, dport, tos);
    }
    flow_key key6(std::uint8_t protocol, std::uint16_t sport, std::uint16_t dport, std::uint8_t tos = 0) const {
        flow_key key = {};
        ::inet_pton(AF_INET6, "fd01::2", &key.source[0]);
        ::inet_pton(AF_INET6, "fd02::2", &key.destination[0]);
        return finish(key, protocol, AF_INET6, sport, dport, tos);
    }
    flow_key finish(flow_key key, std::uint8_t protocol, std::uint8_t family, std::uint16_t sport, std::uint16_t dport,
                    std::uint8_t tos) const {
        key.ifindex = number(loaded_->in());
        key.source_port = htons(sport);
        key.destination_port = htons(dport);
        key.protocol = protocol;
        key.family = family;
        key.tos = tos;
        return key;
    }

    void set(const flow_key& key, const FlowFacts& facts) {
        World world;
        world.in = {.flags = facts.in_flags, .bridge = 0};
        world.out = {.flags = facts.out_flags, .bridge = 0};
        world.out_takes_xdp = facts.out_takes_xdp;
        world.fdb.clear();
        loaded_->set(world);
        loaded_->set_router(kInSlot, in_mac_);
        loaded_->set_router(kOutSlot, out_mac_);
        const auto& flows = loaded_->programs().flows;
        for (const auto& [each, value] : flows.entries()) ASSERT_FALSE(flows.erase(each));
        if (!facts.known) return;
        flow entry = {};
        entry.asked_ns = coarse_now() - static_cast<std::uint64_t>(facts.asked_ago.count());
        entry.generation = 0U - facts.behind;
        entry.asked = facts.asked;
        entry.answered = facts.answered;
        entry.egress = number(facts.back ? loaded_->in() : out_);
        const MacAddr next = facts.next_hop.value_or(kNextHop);
        std::copy(next.bytes.begin(), next.bytes.end(), entry.destination);
        std::copy(out_mac_.bytes.begin(), out_mac_.bytes.end(), entry.source);
        entry.out = facts.out ? *facts.out : ends_of(key);
        entry.connection = facts.connection;
        ASSERT_FALSE(flows.update(key, entry));
    }

    void expect_routed(On hook, const flow_key& key, const Stack& in, const Stack& out, const FlowFacts& facts = {},
                       reason why = REASON_ROUTED) {
        SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
        set(key, facts);
        const Ran ran = loaded_->run(hook, frame(in));
        EXPECT_EQ(ran.action, hook == On::xdp ? int{XDP_REDIRECT} : TC_ACT_REDIRECT) << text(loaded_->counted());
        EXPECT_EQ(difference(routed(out), ran.frame), "");
        const auto entry = loaded_->programs().flows.lookup(key);
        ASSERT_TRUE(entry);
        EXPECT_EQ(entry->packets, 1U);
        EXPECT_EQ(entry->asked, facts.asked);
        EXPECT_EQ(text(loaded_->counted()),
                  text(Counted{{{kInSlot, why}, {1, static_cast<std::uint64_t>(ran.frame.size())}}}));
    }

    void expect_passed(On hook, const flow_key& key, const Frame& in, const FlowFacts& facts, reason why) {
        SCOPED_TRACE(hook == On::xdp ? "XDP" : "TC");
        set(key, facts);
        expect_passes(hook, in, why);
    }
    // By the maps as they are.
    void expect_passes(On hook, const Frame& in, reason why) {
        const Ran ran = loaded_->run(hook, in);
        EXPECT_EQ(ran.action, hook == On::xdp ? int{XDP_PASS} : TC_ACT_UNSPEC);
        EXPECT_EQ(difference(in, ran.frame), "");
        // Behind XDP the TC program sees it, and counts it.
        Counted expected;
        if (hook == On::tc) expected[{kInSlot, why}] = {1, in.size()};
        EXPECT_EQ(text(loaded_->counted()), text(expected));
    }

    std::unique_ptr<LoadedPrograms> loaded_;
    MacAddr in_mac_, out_mac_;
    Ifindex out_ = Ifindex::none;
};

inline IPv4 v4(std::uint8_t ttl = 64) {
    return {.source = "10.1.0.2", .destination = "10.2.0.2", .ttl = ttl};
}
inline IPv6 v6(std::uint8_t hop_limit = 64) {
    return {.source = "fd01::2", .destination = "fd02::2", .hop_limit = hop_limit};
}
// Where rules see the packets: a connection that conntrack has, written there by the test.
class Connection : public Route {
protected:
    // The entry, as it is to be: from 10.1.0.2:1024 to 10.2.0.2:9, masqueraded to 10.2.0.1:5000 unless not
    // `translated`.
    struct Entry {
        std::uint8_t protocol = IPPROTO_UDP;
        bool exists = true;
        std::uint32_t status = IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED;
        std::uint8_t state = TCP_CONNTRACK_ESTABLISHED;
        bool liberal = true;
        std::uint32_t mark = 0;
        std::uint16_t port = 5000;
        std::uint8_t tcp_flags = 0;  // of both directions
        std::uint32_t timeout_s = 600;
        bool translated = true;
    };

    void SetUp() override {
        Route::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        if (const Feature conntrack = probe_conntrack(); !conntrack.present)
            GTEST_SKIP() << "programs cannot look connections up here: " << conntrack.why_not;
        ASSERT_EQ(loaded_->programs().why_no_connections(), "");
        loaded_->programs().heartbeat.set_tracked(CONTROL_TRACKED_IPV4 | CONTROL_TRACKED_IPV6);
        loaded_->where().run([this] { conntrack_.emplace(NETLINK_NETFILTER); });
    }

    flow_key answer_key(const Entry& entry) const {
        flow_key key = key4(entry.protocol, 9, entry.translated ? entry.port : 1024);
        ::inet_pton(AF_INET, "10.2.0.2", &key.source[0]);
        ::inet_pton(AF_INET, entry.translated ? "10.2.0.1" : "10.1.0.2", &key.destination[0]);
        return key;
    }
    flow_ends masqueraded(const Entry& entry) const {
        flow_ends ends = ends_of(key4(entry.protocol, entry.port, 9));
        ::inet_pton(AF_INET, "10.2.0.1", &ends.source[0]);
        ends.flags = FLOW_TRANSLATED;
        return ends;
    }

    void track(const Entry& entry) {
        DumpRequest<nfgenmsg> flush(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE);
        flush.header->nfgen_family = AF_INET;
        conntrack_->request(flush.message, "forget all connections");
        if (!entry.exists) return;
        DumpRequest<nfgenmsg> request(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW);
        nlmsghdr* message = request.message;
        request.header->nfgen_family = AF_INET;
        message->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
        put_tuple(message, CTA_TUPLE_ORIG, key4(entry.protocol, 1024, 9));
        put_tuple(message, CTA_TUPLE_REPLY, answer_key(entry));
        mnl_attr_put_u32(message, CTA_TIMEOUT, htonl(entry.timeout_s));
        mnl_attr_put_u32(message, CTA_STATUS, htonl(entry.status));
        if (entry.mark != 0) mnl_attr_put_u32(message, CTA_MARK, htonl(entry.mark));
        if (entry.protocol == IPPROTO_TCP) {
            const std::uint8_t flag = IP_CT_TCP_FLAG_BE_LIBERAL;
            const auto set = static_cast<std::uint8_t>((entry.liberal ? flag : 0) | entry.tcp_flags);
            const nf_ct_tcp_flags flags = {.flags = set, .mask = 0xff};
            nlattr* state = mnl_attr_nest_start(message, CTA_PROTOINFO);
            nlattr* tcp = mnl_attr_nest_start(message, CTA_PROTOINFO_TCP);
            mnl_attr_put_u8(message, CTA_PROTOINFO_TCP_STATE, entry.state);
            mnl_attr_put(message, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, sizeof(flags), &flags);
            mnl_attr_put(message, CTA_PROTOINFO_TCP_FLAGS_REPLY, sizeof(flags), &flags);
            mnl_attr_nest_end(message, tcp);
            mnl_attr_nest_end(message, state);
        }
        conntrack_->request(message, "make a connection");
    }

    std::uint32_t timeout_of(const flow_key& key) {
        DumpRequest<nfgenmsg> request(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET);
        request.header->nfgen_family = AF_INET;
        put_tuple(request.message, CTA_TUPLE_ORIG, key);
        std::uint32_t timeout = 0;
        conntrack_->request(request.message, "read a connection", [&timeout](const nlmsghdr* message) {
            const auto payload = payload_of<nfgenmsg>(message);
            if (!payload) return;
            for_each_attribute(payload->attributes, [&timeout](const Attribute& attribute) {
                return attribute.type != CTA_TIMEOUT || store(timeout, attribute.be32());
            });
        });
        return timeout;
    }

    FlowFacts translated(const Entry& entry) const { return {.out = masqueraded(entry)}; }

    std::optional<NetlinkSocket> conntrack_;
};

inline IPv4 v4_masqueraded(std::uint8_t ttl = 63) {
    return {.source = "10.2.0.1", .destination = "10.2.0.2", .ttl = ttl};
}

}  // namespace underpass::test
