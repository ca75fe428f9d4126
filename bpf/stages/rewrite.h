/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rewrite: the frame becomes what it leaves as: without the headers of the tunnel that it came through, with the next
 * hop's addresses and a lower TTL, the addresses and ports that it is translated to, the tag that it leaves with, and
 * the headers of the tunnel that it goes into, with the tag of a VLAN device below that. The last stage, since nothing
 * may pass the kernel's way after it.
 *
 * In: pkt->base; pkt->routed and what goes with it, pkt->translated (IPv4: TCP, UDP or an ICMP echo); pkt->strip,
 * pkt->push; pkt->encap and the scratch. Out: the frame, and pkt->rewritten. A first step that is refused has changed
 * nothing, so the frame goes the kernel's way; after it the frame can only be dropped. */
#ifndef UNDERPASS_BPF_STAGES_REWRITE_H
#define UNDERPASS_BPF_STAGES_REWRITE_H

#include <stddef.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "bpf/bytes.h"
#include "bpf/csum.h"
#include "bpf/packet.h"
#include "bpf/outer.h"

static __always_inline enum verdict rewrite_failed(struct packet *pkt)
{
	if (!pkt->rewritten)
		return pass(pkt, REASON_EGRESS_NOT_READY);
	pkt->reason = REASON_REWRITE_FAILED;
	return DROP;
}

/* The identifier of an ICMP echo, and the sum over it, which has no pseudo header. As translate. Mirrors
 * icmp_manip_pkt. */
static __always_inline int translate_echo(ctx_t *ctx, __be16 identifier, __u32 offset)
{
	__u32 at = offset + offsetof(struct icmp6hdr, icmp6_identifier);
	__be16 old;

	if (!load_bytes(ctx, at, &old, sizeof(old)) ||
	    ctx_update_sum(ctx, offset + offsetof(struct icmp6hdr, icmp6_cksum), old, identifier, false, false))
		return 1;
	return ctx_store_bytes(ctx, at, &identifier, sizeof(identifier), false) ? -1 : 0;
}

/* Addresses, ports and the sums over them of a packet that begins at `offset`. The sum of the IPv4 header is stored
 * with the TTL, so it is only computed, in `hop`. 0: done; 1: nothing is changed; less: half is done. Mirrors
 * nf_nat_ipv4_manip_pkt. A global function, see connection_is_ready. */
__noinline int translate(ctx_t *ctx, const struct flow_ends *out, __u32 offset, __u32 protocol, __u32 *hop)
{
	__u32 addresses = offset + offsetof(struct iphdr, saddr);
	__u32 transport = offset + sizeof(struct iphdr);
	bool udp = protocol == IPPROTO_UDP;
	__u32 sum = transport + (udp ? offsetof(struct udphdr, check) : offsetof(struct tcphdr, check));
	__be32 old[3], new[3];
	__u16 *check;

	if (!out || !hop || !load_bytes(ctx, addresses, old, sizeof(old)))
		return 1;
	new[0] = out->source[0];
	new[1] = out->destination[0];
	__builtin_memcpy(&new[2], &out->source_port, sizeof(new[2]));
	if (protocol == IPPROTO_ICMP) {
		int result = translate_echo(ctx, out->source_port, transport);

		if (result)
			return result;
		if (ctx_store_bytes(ctx, addresses, new, 2 * sizeof(*new), false))
			return -1;
	} else {
		if (ctx_update_sum(ctx, sum, old[0], new[0], true, udp))
			return 1;
		if (ctx_update_sum(ctx, sum, old[1], new[1], true, udp) ||
		    ctx_update_sum(ctx, sum, old[2], new[2], false, udp) ||
		    ctx_store_bytes(ctx, addresses, new, sizeof(new), false))
			return -1;
	}
	check = (__u16 *)hop + 1; /* behind TTL and protocol */
	*check = csum_of_changed(csum_of_changed(*check, old[0], new[0]), old[1], new[1]);
	return 0;
}

static __always_inline enum verdict rewrite_ends(ctx_t *ctx, struct packet *pkt)
{
	__u32 hop = pkt->hop;
	int result;

	if (!pkt->flow)
		return rewrite_failed(pkt);
	result = translate(ctx, &pkt->flow->out, pkt->network_offset, pkt->transport, &hop);
	pkt->rewritten |= result <= 0;
	pkt->hop = hop;
	return result ? rewrite_failed(pkt) : CONTINUE;
}

static __always_inline enum verdict rewrite_hop(ctx_t *ctx, struct packet *pkt)
{
	struct ethhdr eth ALIGNED;
	bool ipv4 = pkt->protocol == bpf_htons(ETH_P_IP);
	__u32 at = pkt->network_offset + (ipv4 ? offsetof(struct iphdr, ttl) : offsetof(struct ipv6hdr, payload_len));

	copy_address(eth.h_dest, pkt->destination);
	copy_address(eth.h_source, pkt->source);
	if (ctx_store_bytes(ctx, 0, &eth, 2 * ETH_ADDR_LEN, false))
		return rewrite_failed(pkt);
	pkt->rewritten = true;
	/* The sum of an IPv4 header stays what it was. */
	if (ctx_store_bytes(ctx, at, &pkt->hop, sizeof(pkt->hop), !ipv4))
		return rewrite_failed(pkt);
	return CONTINUE;
}

/* Nothing is left of the outer headers. */
static __always_inline enum verdict rewrite_decapsulated(ctx_t *ctx, struct packet *pkt)
{
	long result = ctx_decap(ctx, pkt);

	pkt->rewritten = result <= 0;
	if (result)
		return rewrite_failed(pkt);
	pkt->network_offset -= pkt->base;
	pkt->len -= pkt->base;
	pkt->base = 0;
	return CONTINUE;
}

static __always_inline enum verdict rewrite_encapsulated(ctx_t *ctx, struct packet *pkt)
{
	int result = encapsulate(ctx, pkt->outgoing);

	pkt->rewritten |= result <= 0;
	if (result || sum_outer(ctx))
		return rewrite_failed(pkt);
	if ((pkt->egress->flags & DEVICE_VLAN_DEVICE) &&
	    ctx_push_tag(ctx, pkt->egress->vlan_protocol, pkt->egress->vid))
		return rewrite_failed(pkt);
	return CONTINUE;
}

static __always_inline enum verdict rewrite(ctx_t *ctx, struct packet *pkt)
{
	if (!pkt->strip && !pkt->push && !pkt->routed && !pkt->base && !pkt->encap)
		return CONTINUE;
	/* Not every driver survives that the end of a frame in several buffers is cut off. */
	if (!ctx_is_reachable(ctx, pkt) || (pkt->trim && ctx_is_in_pieces(ctx, pkt)))
		return pass(pkt, REASON_EGRESS_NOT_READY);
	if (CTX_TUNNELS && pkt->base) {
		enum verdict verdict;

		/* As long as it is all there. */
		if (pkt->routed && pkt->trim)
			return pass(pkt, REASON_ROUTE_EXCEPTION);
		verdict = rewrite_decapsulated(ctx, pkt);
		if (verdict != CONTINUE)
			return verdict;
	}
	if (pkt->routed) {
		enum verdict verdict;

		if (pkt->trim && ctx_trim(ctx, pkt->len))
			return rewrite_failed(pkt);
		pkt->rewritten |= pkt->trim != 0;
		verdict = pkt->translated ? rewrite_ends(ctx, pkt) : CONTINUE;
		if (verdict == CONTINUE)
			verdict = rewrite_hop(ctx, pkt);
		if (verdict != CONTINUE)
			return verdict;
	}
	if (pkt->strip) {
		/* Half of it may be done. */
		pkt->rewritten = true;
		if (pkt->push ? ctx_replace_tag(ctx, pkt->push_protocol, pkt->push_tci) : ctx_strip_tag(ctx))
			return rewrite_failed(pkt);
	} else if (pkt->push) {
		if (ctx_push_tag(ctx, pkt->push_protocol, pkt->push_tci))
			return rewrite_failed(pkt);
		pkt->rewritten = true;
	}
	return CTX_TUNNELS && pkt->encap ? rewrite_encapsulated(ctx, pkt) : CONTINUE;
}

#endif
