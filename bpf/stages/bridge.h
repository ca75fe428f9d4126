/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bridgeable: is the frame plain unicast, from a port that forwards? Floods, groups, ARP and neighbour discovery (which a
 * port may suppress or answer) are the kernel's.
 * bridge: where does the kernel's FDB have the destination, and may the frame go there?
 *
 * In: a frame whose source is where the FDB says. Out: pkt->egress and how to reach it, or the reason why the kernel
 * has to take it. Mirrors br_handle_frame_finish, should_deliver and is_skb_forwardable. */
#ifndef UNDERPASS_BPF_STAGES_BRIDGE_H
#define UNDERPASS_BPF_STAGES_BRIDGE_H

#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>

#include "bpf/fdb.h"
#include "bpf/map_defs.h"
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
	if (ctx_load_bytes(ctx, pkt->network_offset + offsetof(struct ipv6hdr, nexthdr), &next_header, 1))
		return false;
	if (next_header != IPPROTO_ICMPV6)
		return false;
	if (ctx_load_bytes(ctx, pkt->network_offset + sizeof(struct ipv6hdr), &type, 1))
		return false;
	return type >= ND_FIRST_TYPE && type <= ND_LAST_TYPE;
}

static __always_inline enum verdict bridgeable(ctx_t *ctx, struct packet *pkt)
{
	__u32 flags = pkt->ingress->flags;

	if (!(flags & DEVICE_FORWARDING))
		return pass(pkt, REASON_NOT_FORWARDING);
	if (!(flags & DEVICE_INGRESS))
		return pass(pkt, REASON_LEFT_TO_KERNEL);
	if (pkt->destination[0] & 1)
		return pass(pkt, REASON_MULTICAST);
	if (pkt->tagged && (flags & DEVICE_VLAN_UPPERS))
		return pass(pkt, REASON_VLAN_UPPER);
	if (pkt->protocol == bpf_htons(ETH_P_ARP) || pkt->protocol == bpf_htons(ETH_P_RARP))
		return pass(pkt, REASON_ARP);
	if (is_neighbour_discovery(ctx, pkt))
		return pass(pkt, REASON_ND);
	return CONTINUE;
}

static __always_inline enum verdict bridge(ctx_t *ctx, struct packet *pkt)
{
	struct fdb_entry *entry = fdb_lookup(pkt->ingress, pkt->destination);

	if (!entry)
		return pass(pkt, REASON_DESTINATION_UNKNOWN);
	if (entry->flags & FDB_LOCAL)
		return pass(pkt, REASON_TO_HOST);
	if (entry->distrusted)
		return pass(pkt, REASON_DESTINATION_MOVED);
	if (!entry->shown_ns && !(entry->flags & FDB_STICKY))
		return pass(pkt, REASON_DESTINATION_UNCONFIRMED);
	pkt->egress_slot = entry->slot;
	if (pkt->egress_slot == pkt->ingress_slot)
		return pass(pkt, REASON_SAME_PORT);
	pkt->egress = bpf_map_lookup_elem(&devices, &pkt->egress_slot);
	if (!pkt->egress || pkt->egress->bridge != pkt->ingress->bridge)
		return pass(pkt, REASON_EGRESS_NOT_READY);

	__u32 wanted = DEVICE_EGRESS | DEVICE_FORWARDING;
	__u32 flags = pkt->egress->flags;

	if ((flags & wanted) != wanted)
		return pass(pkt, REASON_EGRESS_NOT_READY);
	if (flags & pkt->ingress->flags & DEVICE_ISOLATED)
		return pass(pkt, REASON_ISOLATED);
	if (ctx_len(ctx) > pkt->egress->max_len && !ctx_is_gso(ctx))
		return pass(pkt, REASON_TOO_BIG);
	pkt->egress_peer = entry->flags & FDB_PEER;
	return CONTINUE;
}

#endif
