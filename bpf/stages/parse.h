/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* parse: the frame's facts, once. Decides nothing but that a runt is the kernel's.
 *
 * In: the bytes, from pkt->base on. Out: MACs, the outer VLAN tag (in the bytes or beside them), the EtherType behind
 * it, and where that header starts. Mirrors eth_type_trans and skb_vlan_untag. */
#ifndef UNDERPASS_BPF_STAGES_PARSE_H
#define UNDERPASS_BPF_STAGES_PARSE_H

#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>

#include "bpf/packet.h"
#include "bpf/vlan.h"

static __always_inline enum verdict parse(ctx_t *ctx, struct packet *pkt)
{
	__u64 base = pkt->base;
	struct ethhdr *eth;

	asm volatile("%0 &= 0x7f" : "+r"(base)); /* see load_bytes */
	eth = ctx_data(ctx) + base;
	if ((void *)(eth + 1) > ctx_data_end(ctx))
		return pass(pkt, REASON_RUNT);
	set_address_words(pkt->destination, address_words(eth->h_dest));
	pkt->protocol = eth->h_proto;
	pkt->network_offset = pkt->base + sizeof(*eth);
	/* A tag beside the bytes is the outermost. */
	pkt->tagged = !pkt->base && ctx_has_offloaded_tag(ctx);
	if (pkt->tagged) {
		pkt->tag_protocol = ctx_offloaded_protocol(ctx);
		pkt->tci = ctx_offloaded_tci(ctx);
	} else if (is_vlan_protocol(pkt->protocol)) {
		struct vlan_tag *tag = (void *)&eth->h_proto;

		/* The kernel wants two bytes behind the inner EtherType as well. */
		if ((void *)(tag + 1) + 2 * sizeof(__be16) > ctx_data_end(ctx))
			return pass(pkt, REASON_RUNT);
		pkt->tagged = true;
		pkt->tag_protocol = tag->protocol;
		pkt->tci = bpf_ntohs(tag->tci);
		pkt->protocol = *(__be16 *)(tag + 1);
		pkt->network_offset += sizeof(*tag);
	}
	return CONTINUE;
}

#endif
