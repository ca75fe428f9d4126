// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// ICMP echoes of connections that conntrack has, on both hooks. Real ones make the entry, and the witness finds it.
#include <chrono>
#include <thread>

#include "harness/frame_socket.h"
#include "loader/attach.h"
#include "prog/route_fixture.h"

namespace underpass::test {
namespace {

using std::chrono::milliseconds;

constexpr std::uint16_t kIdentifier = 0x1234, kOther = 5000;
constexpr std::uint16_t kRequest = 0x0800, kReply = 0x0000, kRequest6 = 0x8000, kReply6 = 0x8100;

ICMP echo(std::uint8_t type, std::uint16_t identifier = kIdentifier) {
    return {.type = type, .rest = static_cast<std::uint32_t>(identifier) << 16 | 7};
}

class Echo : public Connection {
protected:
    void SetUp() override {
        Connection::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        shell(
            "ip neigh replace 10.1.0.2 lladdr 02:00:00:00:00:11 nud permanent dev in;"
            "ip neigh replace fd01::2 lladdr 02:00:00:00:00:11 nud permanent dev in");
        if (!run(loaded_->where(),
                 {"nft", "add table ip n; add chain ip n c { type nat hook postrouting priority 0; }"})
                 .ok())
            GTEST_SKIP() << "this kernel has no NAT for nftables";
        loaded_->where().run([this] {
            PinDirectory::of_this_namespace().create();
            for (const Ifindex each : {loaded_->in(), out_})
                attach_tc(loaded_->programs(), PinDirectory::of_this_namespace(), number(each), TcPoint::egress);
        });
        client_.emplace(loaded_->where(), "in-far");
        server_.emplace(loaded_->where(), "out-far");
    }
    void TearDown() override {
        if (!client_) return;
        loaded_->where().run([this] {
            for (const Ifindex each : {loaded_->in(), out_})
                detach_tc(PinDirectory::of_this_namespace(), number(each), TcPoint::egress, true);
            PinDirectory::of_this_namespace().remove();
        });
    }

    void rules(const std::string& rules) const {
        shell(
            "nft 'flush ruleset; add table inet f;"
            "add chain inet f c { type filter hook forward priority 0; }; add rule inet f c ct state invalid drop;"
            "add table ip n; add chain ip n pre { type nat hook prerouting priority dstnat; };"
            "add chain ip n post { type nat hook postrouting priority srcnat; };" +
            rules + "'");
    }

    // A frame to the router from where it sends to.
    Frame from_next_hop(const Stack& packet) const {
        Frame bytes = packet;
        std::copy(out_mac_.bytes.begin(), out_mac_.bytes.end(), bytes.begin());
        std::copy(kNextHop.bytes.begin(), kNextHop.bytes.end(), bytes.begin() + ETH_ADDR_LEN);
        return bytes;
    }
    static void rest() { std::this_thread::sleep_for(milliseconds(30)); }

    // Where the witness has found the entry of the flow of which `in` is, a frame of the client; `other` goes the other
    // way, and is first if it is the request.
    std::uint64_t learn(const flow_key& key, const Stack& in, const Stack& other, bool is_answer = false) {
        const auto& flows = loaded_->programs().flows;
        set(key, {.known = false});
        for (int i = 0; i < (is_answer ? 1 : 2); i++) {
            if (is_answer) server_->send(from_next_hop(other));
            rest();
            loaded_->programs().heartbeat.beat();
            EXPECT_EQ(loaded_->run(On::tc, frame(in)).action, TC_ACT_UNSPEC);
            client_->send(frame(in));
            rest();
            if (!is_answer && i == 0) {
                EXPECT_EQ(flows.lookup(key)->answered, 0U) << "no answer to it was seen";
                server_->send(from_next_hop(other));
            }
        }
        const auto seen = flows.lookup(key);
        EXPECT_TRUE(seen);
        if (!seen) return 0;
        EXPECT_EQ(seen->answered, seen->asked);
        EXPECT_EQ(seen->egress, number(out_));
        EXPECT_NE(seen->connection, 0U);
        out_ends_ = seen->out;
        return seen->connection;
    }

    flow_key request() const { return key4(IPPROTO_ICMP, kIdentifier, kRequest); }
    static Stack request_in(const Bytes& payload = Bytes{{}}) { return Ethernet{} / v4() / echo(8) / payload; }
    // Masquerades the request, to another identifier.
    FlowFacts masqueraded() {
        rules("add rule ip n post oifname out ip protocol icmp masquerade to :5000");
        const IPv4 back = {.source = "10.2.0.2", .destination = "10.2.0.1"};
        const std::uint64_t connection = learn(request(), request_in(), Ethernet{} / back / echo(0, kOther));
        flow_ends out = ends_of(key4(IPPROTO_ICMP, kOther, kRequest));
        ::inet_pton(AF_INET, "10.2.0.1", &out.source[0]);
        out.flags = FLOW_TRANSLATED;
        EXPECT_EQ(std::memcmp(&out, &out_ends_, sizeof(out)), 0);
        return {.out = out, .connection = connection};
    }

    // As `conntrack -U` would, of the one that the requests are of.
    void change(std::uint16_t attribute, std::uint32_t value) {
        DumpRequest<nfgenmsg> request(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW);
        nlmsghdr* message = request.message;
        request.header->nfgen_family = AF_INET;
        const flow_key key = this->request();
        nlattr* tuple = mnl_attr_nest_start(message, CTA_TUPLE_ORIG);
        nlattr* addresses = mnl_attr_nest_start(message, CTA_TUPLE_IP);
        mnl_attr_put_u32(message, CTA_IP_V4_SRC, key.source[0]);
        mnl_attr_put_u32(message, CTA_IP_V4_DST, key.destination[0]);
        mnl_attr_nest_end(message, addresses);
        nlattr* protocol = mnl_attr_nest_start(message, CTA_TUPLE_PROTO);
        mnl_attr_put_u8(message, CTA_PROTO_NUM, key.protocol);
        mnl_attr_put_u16(message, CTA_PROTO_ICMP_ID, key.source_port);
        mnl_attr_put_u8(message, CTA_PROTO_ICMP_TYPE, 8);
        mnl_attr_put_u8(message, CTA_PROTO_ICMP_CODE, 0);
        mnl_attr_nest_end(message, protocol);
        mnl_attr_nest_end(message, tuple);
        mnl_attr_put_u32(message, attribute, htonl(value));
        conntrack_->request(message, "change a connection");
    }

    std::optional<FrameSocket> client_, server_;
    flow_ends out_ends_ = {};
};

TEST_F(Echo, RequestIsTranslatedAsItsEntrySays) {
    const FlowFacts facts = masqueraded();
    for (const On hook : {On::tc, On::xdp}) {
        expect_routed(hook, request(), Ethernet{} / v4() / echo(8) / Payload{56},
                      Ethernet{} / v4_masqueraded() / echo(8, kOther) / Payload{56}, facts, REASON_TRANSLATED);
        // What is behind the packet stays behind.
        expect_routed(hook, request(), Ethernet{} / v4() / echo(8) / PadTo{60},
                      Ethernet{} / v4_masqueraded() / echo(8, kOther), facts, REASON_TRANSLATED);
    }
    // Every checksum that there is: the payload runs through all of them.
    for (std::uint32_t i = 0; i < 300; i++) {
        const Bytes payload{{static_cast<std::uint8_t>(i * 219 >> 8), static_cast<std::uint8_t>(i * 219)}};
        expect_routed(i % 2 == 0 ? On::tc : On::xdp, request(), request_in(payload),
                      Ethernet{} / v4_masqueraded() / echo(8, kOther) / payload, facts, REASON_TRANSLATED);
        if (HasFailure()) break;
    }
}

// The client is behind the router's address, and answers.
TEST_F(Echo, ReplyIsTranslatedAsItsEntrySays) {
    rules("add rule ip n pre iifname out ip protocol icmp dnat to 10.1.0.2");
    const IPv4 to_router = {.source = "10.2.0.2", .destination = "10.2.0.1"};
    const flow_key key = key4(IPPROTO_ICMP, kIdentifier, kReply);
    FlowFacts facts;
    facts.connection =
        learn(key, Ethernet{} / v4() / echo(0) / Payload{8}, Ethernet{} / to_router / echo(8) / Payload{8}, true);
    facts.out = out_ends_;
    EXPECT_EQ(out_ends_.flags, FLOW_TRANSLATED);
    for (const On hook : {On::tc, On::xdp})
        expect_routed(hook, key, Ethernet{} / v4() / echo(0) / Payload{56},
                      Ethernet{} / v4_masqueraded() / echo(0) / Payload{56}, facts, REASON_TRANSLATED);
}

TEST_F(Echo, Untranslated) {
    rules("");
    const IPv4 back = {.source = "10.2.0.2", .destination = "10.1.0.2"};
    const flow_key key = request();
    const std::uint64_t of_ipv4 = learn(key, request_in(), Ethernet{} / back / echo(0));
    const IPv6 back6 = {.source = "fd02::2", .destination = "fd01::2"};
    const flow_key of_echo6 = key6(IPPROTO_ICMPV6, kIdentifier, kRequest6);
    const std::uint64_t of_ipv6 = learn(of_echo6, Ethernet{} / v6() / echo(128), Ethernet{} / back6 / echo(129));
    for (const On hook : {On::tc, On::xdp}) {
        expect_routed(hook, key, request_in(), Ethernet{} / v4(63) / echo(8), {.connection = of_ipv4},
                      REASON_ROUTED_CONNECTION);
        expect_routed(hook, of_echo6, Ethernet{} / v6() / echo(128) / Payload{56},
                      Ethernet{} / v6(63) / echo(128) / Payload{56}, {.connection = of_ipv6}, REASON_ROUTED_CONNECTION);
        // Another one's entry is none, of whatever family.
        expect_passed(hook, key, frame(request_in()), {.connection = of_ipv6}, REASON_CONNECTION_NOT_READY);
        expect_passed(hook, key6(IPPROTO_ICMPV6, kIdentifier, kReply6), frame(Ethernet{} / v6() / echo(129)),
                      {.connection = of_ipv6}, REASON_CONNECTION_NOT_READY);
        expect_passed(hook, key4(IPPROTO_ICMP, kOther, kRequest), frame(Ethernet{} / v4() / echo(8, kOther)),
                      {.connection = of_ipv4}, REASON_CONNECTION_NOT_READY);
    }
}

TEST_F(Echo, IsTheKernels) {
    const FlowFacts facts = masqueraded();
    const Frame in = frame(request_in());
    const auto expect_left = [&](const Frame& what, const FlowFacts& with, reason why) {
        for (const On hook : {On::tc, On::xdp}) expect_passed(hook, request(), what, with, why);
    };
    const auto expect_fast = [&] {
        for (const On hook : {On::tc, On::xdp})
            expect_routed(hook, request(), request_in(), Ethernet{} / v4_masqueraded() / echo(8, kOther), facts,
                          REASON_TRANSLATED);
    };
    ICMP with_code = echo(8);
    with_code.code = 1;
    expect_left(frame(Ethernet{} / v4() / with_code), facts, REASON_ROUTE_EXCEPTION);
    // What the frame's padding hides is no header.
    IPv4 cut = v4();
    cut.total_length = 27;
    const Frame hidden = frame(Ethernet{} / cut / echo(8));
    for (const On hook : {On::tc, On::xdp}) {
        set(request(), facts);
        const Ran ran = loaded_->run(hook, hidden);
        EXPECT_EQ(ran.action, hook == On::xdp ? int{XDP_PASS} : TC_ACT_UNSPEC);
        EXPECT_EQ(difference(hidden, ran.frame), "");
    }
    // Nothing, what cannot be read, and what is something else.
    for (const std::uint64_t elsewhere : {std::uint64_t{0}, std::uint64_t{8}, ~std::uint64_t{0} - 4095,
                                          facts.connection + 8, facts.connection + 4096}) {
        FlowFacts other = facts;
        other.connection = elsewhere;
        expect_left(in, other, REASON_CONNECTION_NOT_READY);
    }
    // Translated to something else than what the flow was seen to be.
    FlowFacts other = facts;
    other.out->source_port = htons(kOther + 1);
    expect_left(in, other, REASON_CONNECTION_NOT_READY);
    other.out = ends_of(request());
    expect_left(in, other, REASON_CONNECTION_NOT_READY);
    expect_fast();

    change(CTA_MARK, 1);
    expect_left(in, facts, REASON_CONNECTION_NOT_READY);
    change(CTA_MARK, 0);
    expect_fast();
    // Its time is over, whether or not conntrack has looked at it since.
    change(CTA_TIMEOUT, 1);
    std::this_thread::sleep_for(milliseconds(1100));
    expect_left(in, facts, REASON_CONNECTION_NOT_READY);
}

// At once, though its memory stays as it was.
TEST_F(Echo, IsTheKernelsOnceConntrackHasItNoMore) {
    const FlowFacts facts = masqueraded();
    expect_routed(On::tc, request(), request_in(), Ethernet{} / v4_masqueraded() / echo(8, kOther), facts,
                  REASON_TRANSLATED);
    track({.exists = false});
    for (const On hook : {On::tc, On::xdp})
        expect_passed(hook, request(), frame(request_in()), facts, REASON_CONNECTION_NOT_READY);
    // A request makes another for the same, which counts from its answer on, wherever it is.
    const FlowFacts again = masqueraded();
    expect_routed(On::tc, request(), request_in(), Ethernet{} / v4_masqueraded() / echo(8, kOther), again,
                  REASON_TRANSLATED);
}

}  // namespace
}  // namespace underpass::test
