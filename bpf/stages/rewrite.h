/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rewrite: the frame becomes what it leaves as: the next hop's addresses and a lower TTL, the tag that it leaves with.
 * The last stage, since nothing may pass the kernel's way after it.
 *
 * In: pkt->routed and what goes with it; pkt->strip, pkt->push. Out: the frame, and pkt->rewritten. A first step that
 * is refused has changed nothing, so the frame goes the kernel's way; after it the frame can only be dropped. */
#ifndef UNDERPASS_BPF_STAGES_REWRITE_H
#define UNDERPASS_BPF_STAGES_REWRITE_H

#include <stddef.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "bpf/packet.h"

static __always_inline enum verdict rewrite_failed(struct packet *pkt)
{
	if (!pkt->rewritten)
		return pass(pkt, REASON_EGRESS_NOT_READY);
	pkt->reason = REASON_REWRITE_FAILED;
	return DROP;
}

static __always_inline enum verdict rewrite_hop(ctx_t *ctx, struct packet *pkt)
{
	struct ethhdr eth;
	bool ipv4 = pkt->protocol == bpf_htons(ETH_P_IP);
	__u32 at = pkt->network_offset + (ipv4 ? offsetof(struct iphdr, ttl) : offsetof(struct ipv6hdr, payload_len));

	if (pkt->trim && ctx_trim(ctx, pkt->len))
		return rewrite_failed(pkt);
	pkt->rewritten = pkt->trim != 0;
	__builtin_memcpy(eth.h_dest, pkt->destination, ETH_ADDR_LEN);
	__builtin_memcpy(eth.h_source, pkt->source, ETH_ADDR_LEN);
	if (ctx_store_bytes(ctx, 0, &eth, 2 * ETH_ADDR_LEN, false))
		return rewrite_failed(pkt);
	pkt->rewritten = true;
	/* The sum of an IPv4 header stays what it was. */
	if (ctx_store_bytes(ctx, at, &pkt->hop, sizeof(pkt->hop), !ipv4))
		return rewrite_failed(pkt);
	return CONTINUE;
}

static __always_inline enum verdict rewrite(ctx_t *ctx, struct packet *pkt)
{
	if (!pkt->strip && !pkt->push && !pkt->routed)
		return CONTINUE;
	if (!ctx_is_reachable(pkt))
		return pass(pkt, REASON_EGRESS_NOT_READY);
	if (pkt->routed) {
		enum verdict verdict = rewrite_hop(ctx, pkt);

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
	return CONTINUE;
}

#endif
