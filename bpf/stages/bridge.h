/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bridge: where does the kernel's FDB have the destination, and may the frame go there?
 *
 * In: a unicast frame whose source is where the FDB says, or that is routed out of the bridge. Out: pkt->egress and how
 * to reach it, or the reason why the kernel has to take it. Mirrors br_handle_frame_finish and should_deliver. */
#ifndef UNDERPASS_BPF_STAGES_BRIDGE_H
#define UNDERPASS_BPF_STAGES_BRIDGE_H

#include "bpf/fdb.h"
#include "bpf/map_defs.h"
#include "bpf/memo.h"
#include "bpf/packet.h"

/* What the kernel's FDB says: by which port, and how. */
static __always_inline enum verdict find_port(struct packet *pkt)
{
	struct fdb_entry *entry = fdb_lookup(pkt, pkt->out_vid, pkt->destination);

	if (!entry)
		return pass(pkt, REASON_DESTINATION_UNKNOWN);
	if (entry->flags & FDB_LOCAL)
		return pass(pkt, REASON_TO_HOST);
	if (entry->distrusted)
		return pass(pkt, REASON_DESTINATION_MOVED);
	if (!entry->shown_ns && !(entry->flags & FDB_STICKY))
		return pass(pkt, REASON_DESTINATION_UNCONFIRMED);
	pkt->egress_slot = entry->slot;
	pkt->egress_peer = entry->flags & FDB_PEER;
	return CONTINUE;
}

static __always_inline enum verdict bridge(struct packet *pkt)
{
	enum verdict verdict;
	struct memo *memo;

	/* Routed out of a device of its own. */
	if (!pkt->bridge)
		return pkt->egress ? CONTINUE : pass(pkt, REASON_EGRESS_NOT_READY);
	/* A routed frame does not have the destination any more that it came with. */
	memo = pkt->routed ? NULL : pkt->memo;
	if (memo && pkt->remembered && memo->egress_slot) {
		pkt->egress_slot = memo->egress_slot;
		pkt->egress_peer = memo->peer;
	} else {
		if (memo && pkt->remembered)
			memo_begin(memo);
		verdict = find_port(pkt);
		if (verdict != CONTINUE)
			return verdict;
		if (memo) {
			memo->egress_slot = pkt->egress_slot;
			memo->peer = pkt->egress_peer;
		}
	}
	if (pkt->egress_slot == pkt->ingress_slot)
		return pass(pkt, REASON_SAME_PORT);
	pkt->egress = bpf_map_lookup_elem(&devices, &pkt->egress_slot);
	if (!pkt->egress || pkt->egress->bridge != pkt->bridge)
		return pass(pkt, REASON_EGRESS_NOT_READY);

	__u32 wanted = DEVICE_EGRESS | DEVICE_FORWARDING;
	__u32 flags = pkt->egress->flags;

	if ((flags & wanted) != wanted)
		return pass(pkt, REASON_EGRESS_NOT_READY);
	if ((flags & pkt->ingress->flags & DEVICE_ISOLATED) && !pkt->routed)
		return pass(pkt, REASON_ISOLATED);
	/* Rules may see by which port it leaves. */
	if (pkt->flow && !pkt->routed && pkt->flow->egress != pkt->egress->ifindex)
		return pass(pkt, REASON_ROUTE_CHANGED);
	pkt->egress_peer &= !pkt->overtakes;
	return CONTINUE;
}

#endif
