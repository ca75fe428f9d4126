/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tag: is the egress port in the frame's VLAN, and with which tag does the frame leave? PCP and DEI stay with a tag
 * that stays; one that is pushed has none, as the kernel's.
 *
 * In: pkt->egress. Out: pkt->strip, pkt->push and what to push; the length is held against the MTU.
 * Mirrors br_allowed_egress, br_handle_vlan, is_skb_forwardable and vlan_dev_hard_start_xmit. */
#ifndef UNDERPASS_BPF_STAGES_TAG_H
#define UNDERPASS_BPF_STAGES_TAG_H

#include "bpf/bytes.h"
#include "bpf/packet.h"
#include "bpf/vlan.h"

static __always_inline void push_tag(struct packet *pkt, __be16 protocol, __u16 tci)
{
	pkt->push = true;
	pkt->push_protocol = protocol;
	pkt->push_tci = tci;
}

static __always_inline enum verdict tag(ctx_t *ctx, struct packet *pkt)
{
	__u32 flags = pkt->egress->flags;

	/* A bridge has its ports' way with VLANs. */
	if (!pkt->routed && ((flags ^ pkt->ingress->flags) & DEVICE_VLAN_AWARE))
		return pass(pkt, REASON_EGRESS_NOT_READY);
	if (flags & DEVICE_VLAN_AWARE) {
		__u8 rights = vlan_rights(pkt->egress_slot, pkt->out_vid);

		if (!(rights & VLAN_FORWARD))
			return pass(pkt, REASON_EGRESS_NOT_A_MEMBER);
		if (rights & VLAN_UNTAGGED) {
			pkt->strip |= pkt->own_tag;
		} else if (!pkt->own_tag || pkt->routed) {
			push_tag(pkt, pkt->egress->vlan_protocol, pkt->out_vid);
		} else if (!(pkt->tci & TCI_VID)) {
			pkt->strip = true;
			push_tag(pkt, pkt->egress->vlan_protocol, pkt->tci | pkt->vid);
		}
	} else if (flags & DEVICE_VLAN_DEVICE) {
		push_tag(pkt, pkt->egress->vlan_protocol, pkt->egress->vid);
	}
	/* Who gets the frame drops it if a tag that was an inner one has nothing behind it; not so by TC, which puts
	 * that tag beside the bytes. Mirrors skb_vlan_untag. */
	if (pkt->strip && !pkt->push && is_vlan_protocol(pkt->protocol) &&
	    pkt->network_offset + sizeof(struct vlan_tag) + sizeof(__be16) > pkt->len)
		return pass(pkt, REASON_RUNT);
	/* A push that moves another tag into the bytes leaves offsets that only a device's transmit path mends. */
	if (pkt->push && (is_vlan_protocol(pkt->protocol) || (pkt->tagged && !pkt->strip)))
		pkt->egress_peer = false;
	if (ctx_egress_len(ctx, pkt) > pkt->egress->max_len && !ctx_gso_size(ctx))
		return pass(pkt, REASON_TOO_BIG);
	return CONTINUE;
}

#endif
