/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fresh: may the maps be believed? Only while the daemon beats; a dead, hung or overrun one costs speed, no frame. */
#ifndef UNDERPASS_BPF_STAGES_FRESH_H
#define UNDERPASS_BPF_STAGES_FRESH_H

#include "bpf/map_defs.h"
#include "bpf/packet.h"

static __always_inline enum verdict fresh(struct packet *pkt)
{
	__u32 zero = 0;
	struct control *beat = bpf_map_lookup_elem(&control, &zero);

	/* The beat may be a tick ahead of our clock: a difference below zero is fresh. */
	if (!beat || !beat->beat_ns || (__s64)(pkt->now_ns - beat->beat_ns) > (__s64)HEARTBEAT_TIMEOUT_NS)
		return pass(pkt, REASON_STALE);
	return CONTINUE;
}

#endif
