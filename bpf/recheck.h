/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether a flow still goes the way that it was seen to go: its route, its neighbour, its connection. */
#ifndef UNDERPASS_BPF_RECHECK_H
#define UNDERPASS_BPF_RECHECK_H

#include <linux/in.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "bpf/bytes.h"
#include "bpf/connection.h"
#include "bpf/echo.h"
#include "bpf/packet.h"

/* Whether the route and the neighbour are those that the flow was seen to take. Destinations are translated before the
 * route is looked up, sources behind it. A global function, see connection_is_ready. */
__noinline int takes_same_route(ctx_t *ctx, const struct flow_key *key, struct flow *flow)
{
	struct bpf_fib_lookup fib = {.tot_len = 1 /* so that it says the MTU */};

	if (!key || !flow)
		return false;
	fib.family = key->family;
	fib.l4_protocol = key->protocol;
	fib.sport = key->source_port;
	fib.dport = flow->out.destination_port;
	fib.ifindex = key->ifindex;
	if (key->family == FLOW_AF_INET) {
		fib.tos = key->tos;
		fib.ipv4_src = key->source[0];
		fib.ipv4_dst = flow->out.destination[0];
	} else {
		fib.flowinfo = bpf_htonl((__u32)key->tos << 20);
		__builtin_memcpy(fib.ipv6_src, key->source, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, flow->out.destination, sizeof(fib.ipv6_dst));
	}
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return false;
	if (fib.ifindex != flow->egress || !same_address(fib.dmac, flow->destination) ||
	    !same_address(fib.smac, flow->source))
		return false;
	flow->mtu = fib.tot_len;
	return true;
}

/* Every FLOW_CHECK_NS: does the kernel still take the flow's frames where it was seen to? */
static __always_inline enum verdict check(ctx_t *ctx, struct packet *pkt, const struct flow_key *key, struct flow *flow,
                                          bool tracked)
{
	if (pkt->now_ns - flow->checked_ns < FLOW_CHECK_NS)
		return CONTINUE;
	if (tracked && pkt->now_ns - flow->unready_ns < FLOW_CHECK_NS)
		return pass(pkt, REASON_CONNECTION_NOT_READY);
	if (pkt->routed && !takes_same_route(ctx, key, flow)) {
		flow->generation--; /* asked anew with the next frame */
		return pass(pkt, REASON_ROUTE_CHANGED);
	}
	if (tracked && !(is_echo(key) ? echo_is_ready(ctx, key, flow) : connection_is_ready(ctx, key, flow))) {
		flow->unready_ns = pkt->now_ns;
		return pass(pkt, REASON_CONNECTION_NOT_READY);
	}
	flow->checked_ns = pkt->now_ns;
	return CONTINUE;
}

/* What conntrack looks at packet by packet. It sees how a TCP connection begins and ends, and so do the frames behind
 * that; and what it would call invalid is the kernel's. Mirrors tcp_error, tcp_valid_flags, udp_error and
 * nf_conntrack_icmpv4_error, but for the checksum of the payload, which is all that an ICMP packet's is of. */
static __always_inline enum verdict transport(ctx_t *ctx, struct packet *pkt, const struct flow_key *key,
                                              struct flow *flow)
{
	__u32 offset = pkt->network_offset;

	offset += key->family == FLOW_AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	if (key->protocol == IPPROTO_UDP) {
		struct udphdr udp ALIGNED;

		if (offset + sizeof(udp) > pkt->len || !load_bytes(ctx, offset, &udp, sizeof(udp)) ||
		    bpf_ntohs(udp.len) < sizeof(udp) || offset + bpf_ntohs(udp.len) > pkt->len ||
		    /* The kernel's sum is of all that the packet has. */
		    (udp.check && offset + bpf_ntohs(udp.len) != pkt->len))
			return pass(pkt, REASON_ROUTE_EXCEPTION);
	} else if (key->protocol == IPPROTO_TCP) {
		struct tcphdr tcp;

		if (offset + sizeof(tcp) > pkt->len || !load_bytes(ctx, offset, &tcp, sizeof(tcp)) ||
		    tcp.doff * 4U < sizeof(tcp) || offset + tcp.doff * 4U > pkt->len)
			return pass(pkt, REASON_ROUTE_EXCEPTION);
		if (tcp.fin || tcp.syn || tcp.rst) {
			if (flow)
				flow->generation--;
			return pass(pkt, REASON_CONNECTION_BEGINS_OR_ENDS);
		}
		if (!tcp.ack)
			return pass(pkt, REASON_ROUTE_EXCEPTION);
	} else if (is_echo(key) && offset + sizeof(struct icmp6hdr) > pkt->len) {
		return pass(pkt, REASON_ROUTE_EXCEPTION);
	}
	return CONTINUE;
}

#endif
