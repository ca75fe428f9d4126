/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* source: the kernel's learning, watched. Is the frame's source address known to be at the port it came in by?
 *
 * In: source address, port. Out: pkt->from, the source's entry. It runs for every frame, before anything else may end
 * the frame's way: a host that moves often says so by a broadcast, and a stale daemon must not blind us to it.
 *  - known elsewhere: the kernel is about to move it, so nothing follows the old entry from now on;
 *  - distrusted: the kernel has moved it, or is about to move it back; it sees every frame until that is settled;
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
	if (entry->distrusted)
		return pass(pkt, REASON_SOURCE_MOVED);
	pkt->from = entry;
	return CONTINUE;
}

#endif
