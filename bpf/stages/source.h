/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* source: the kernel's learning, watched. Is the frame's source address known to be at the port it came in by?
 *
 * In: source address, port. Out: nothing but the entry's own flags. It runs for every frame, before anything else may
 * end the frame's way: a host that moves often says so by a broadcast, and a stale daemon must not blind us to it.
 *  - known here: the entry is confirmed; once per interval the frame passes, so that the kernel refreshes its FDB
 *    (the pulse), as it would by every frame;
 *  - known elsewhere: the kernel is about to move it, so nothing follows the old entry from now on;
 *  - unknown: the kernel learns it.
 * Mirrors br_fdb_update. */
#ifndef UNDERPASS_BPF_STAGES_SOURCE_H
#define UNDERPASS_BPF_STAGES_SOURCE_H

#include "bpf/fdb.h"
#include "bpf/packet.h"

static __always_inline enum verdict source(ctx_t *ctx, struct packet *pkt)
{
	struct fdb_entry *entry = fdb_lookup(pkt->ingress, pkt->source);

	if (!entry)
		return pass(pkt, REASON_SOURCE_UNKNOWN);
	if (entry->slot != pkt->ingress_slot || (entry->flags & FDB_LOCAL)) {
		/* A port that does not learn moves nothing, and neither do frames with an address that never moves. */
		if ((pkt->ingress->flags & DEVICE_LEARNS) && !(entry->flags & (FDB_LOCAL | FDB_STICKY)))
			entry->distrusted = true;
		return pass(pkt, REASON_SOURCE_MOVED);
	}
	if (!entry->confirmed)
		entry->confirmed = true;
	if (pkt->now_ns - entry->pulse_ns >= pkt->ingress->pulse_ns) {
		if (CTX_LAST_HOOK)
			entry->pulse_ns = pkt->now_ns;
		return pass(pkt, REASON_PULSE);
	}
	return CONTINUE;
}

#endif
