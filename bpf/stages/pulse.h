/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pulse: does the kernel have to see this frame, so that its own FDB stays right?
 *
 * In: a frame that the kernel would learn from, with its source's entry. Out: the entry's stamp. The first frame since
 * the entry was written passes, and one per interval: the kernel moves, or refreshes, its entry as by any frame.
 * It stands behind the stages that pass frames which the kernel may drop before it learns from them.
 *
 * The frames right after it must not overtake it: for a moment they go by TC, and out through the port's own queue (not
 * straight to its peer), where it is before them.
 * Mirrors br_fdb_update. */
#ifndef UNDERPASS_BPF_STAGES_PULSE_H
#define UNDERPASS_BPF_STAGES_PULSE_H

#include "bpf/hook.h"
#include "bpf/map_defs.h"
#include "bpf/memo.h"
#include "bpf/packet.h"

static __always_inline enum verdict pulse(struct packet *pkt)
{
	struct fdb_entry *from = pkt->from;
	__u64 shown_ns, age_ns;

	if (pkt->remembered && pkt->memo)
		shown_ns = memo_shown_ns(pkt->memo);
	else if (from)
		shown_ns = from->shown_ns;
	else
		return CONTINUE;
	age_ns = pkt->now_ns - shown_ns;
	if (!from || (shown_ns && age_ns < pkt->ingress->pulse_ns)) {
		pkt->overtakes = age_ns < PULSE_OVERTAKING_NS;
		return pkt->overtakes && !is_last_hook(pkt) ? pass(pkt, REASON_PULSE) : CONTINUE;
	}
	/* Behind XDP the TC program sees the frame again, and would not pass it if it were stamped already. */
	if (is_last_hook(pkt))
		from->shown_ns = pkt->now_ns;
	return pass(pkt, REASON_PULSE);
}

#endif
