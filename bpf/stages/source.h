/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* source: the kernel's learning, watched. Is the frame's source address known to be at the port it came in by?
 *
 * In: source address, port, VLAN. Out: pkt->from, the source's entry, or pkt->remembered. It runs for every frame,
 * before anything else may end the frame's way: a host that moves often says so by a broadcast, and a stale daemon must
 * not blind us to it.
 *  - known elsewhere: the kernel is about to move it, so nothing follows the old entry from now on;
 *  - distrusted: the kernel has moved it, or is about to move it back; it sees every frame until that is settled;
 *  - unknown: the kernel learns it.
 * Mirrors br_fdb_update, and br_handle_frame for addresses that no host has. */
#ifndef UNDERPASS_BPF_STAGES_SOURCE_H
#define UNDERPASS_BPF_STAGES_SOURCE_H

#include "bpf/fdb.h"
#include "bpf/memo.h"
#include "bpf/packet.h"
#include "maps/vlan.h"

/* A group's, or zero: even a static entry does not make it an address. */
static __always_inline bool is_no_host(const __u8 *mac)
{
	return (mac[0] & 1) || !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]);
}

static __always_inline bool is_learned(const struct packet *pkt)
{
	if (!(pkt->ingress->flags & DEVICE_LEARNS))
		return false;
	if (!(pkt->ingress->flags & DEVICE_VLAN_AWARE))
		return true;
	/* The bridge does not get what a VLAN device takes. */
	return (pkt->rights & (VLAN_LEARNS | VLAN_UPPER)) == VLAN_LEARNS;
}

static __always_inline bool is_remembered(struct packet *pkt)
{
	__u32 zero = 0;
	const struct control *now = bpf_map_lookup_elem(&control, &zero);

	if (now)
		memo_find(pkt, now);
	if (pkt->memo && !pkt->remembered)
		memo_begin(pkt->memo);
	return pkt->remembered;
}

static __always_inline enum verdict source(struct packet *pkt)
{
	struct fdb_entry *entry;

	if (is_no_host(pkt->source))
		return pass(pkt, REASON_SOURCE_INVALID);
	/* What is no port learns nothing. */
	if (!pkt->bridge)
		return CONTINUE;
	if ((pkt->ingress->flags & DEVICE_VLAN_AWARE) && !pkt->rights)
		return pass(pkt, REASON_NOT_A_MEMBER);
	if (is_remembered(pkt))
		return CONTINUE;
	entry = fdb_lookup(pkt, pkt->vid, pkt->source);
	if (!entry)
		return pass(pkt, REASON_SOURCE_UNKNOWN);
	if (entry->slot != pkt->ingress_slot || (entry->flags & FDB_LOCAL)) {
		/* Where nothing is learned nothing moves, and neither do frames with an address that never moves. */
		if (is_learned(pkt) && !(entry->flags & (FDB_LOCAL | FDB_STICKY)) && !entry->distrusted) {
			entry->distrusted = true;
			memos_forget();
		}
		return pass(pkt, REASON_SOURCE_MOVED);
	}
	if (entry->distrusted)
		return pass(pkt, REASON_SOURCE_MOVED);
	pkt->from = entry;
	/* Of one that was never shown nothing is remembered: its pulse is due. */
	if (!entry->shown_ns)
		pkt->memo = NULL;
	if (pkt->memo)
		memo_set(pkt->memo, pkt, entry->shown_ns);
	return CONTINUE;
}

#endif
