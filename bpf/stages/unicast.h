/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* unicast: is it a frame for one port? Groups and broadcasts are flooded; ARP and neighbour discovery a port may
 * suppress or answer: all of that is the kernel's.
 *
 * In: a frame that is to be bridged. Mirrors br_handle_frame_finish. */
#ifndef UNDERPASS_BPF_STAGES_UNICAST_H
#define UNDERPASS_BPF_STAGES_UNICAST_H

#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>

#include "bpf/bytes.h"
#include "bpf/packet.h"

enum {
	ND_FIRST_TYPE = 133, /* router solicitation */
	ND_LAST_TYPE = 137,  /* redirect */
};

static __always_inline bool is_neighbour_discovery(ctx_t *ctx, const struct packet *pkt)
{
	__u8 next_header, type;

	if (pkt->protocol != bpf_htons(ETH_P_IPV6))
		return false;
	if (!load_bytes(ctx, pkt->network_offset + offsetof(struct ipv6hdr, nexthdr), &next_header, 1))
		return false;
	if (next_header != IPPROTO_ICMPV6)
		return false;
	if (!load_bytes(ctx, pkt->network_offset + sizeof(struct ipv6hdr), &type, 1))
		return false;
	return type >= ND_FIRST_TYPE && type <= ND_LAST_TYPE;
}

static __always_inline enum verdict unicast(ctx_t *ctx, struct packet *pkt)
{
	if (pkt->destination[0] & 1)
		return pass(pkt, REASON_MULTICAST);
	if (pkt->protocol == bpf_htons(ETH_P_ARP) || pkt->protocol == bpf_htons(ETH_P_RARP))
		return pass(pkt, REASON_ARP);
	if (is_neighbour_discovery(ctx, pkt))
		return pass(pkt, REASON_ND);
	return CONTINUE;
}

#endif
