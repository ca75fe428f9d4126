/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* emit: a verdict becomes the hook's action, and the frame is counted with its reason. Counting never decides.
 *
 * In: the verdict and its reason; for FORWARD, pkt->egress. A forward that the hook cannot do becomes a pass. */
#ifndef UNDERPASS_BPF_STAGES_EMIT_H
#define UNDERPASS_BPF_STAGES_EMIT_H

#include "bpf/map_defs.h"
#include "bpf/packet.h"

static __always_inline void count(ctx_t *ctx, const struct packet *pkt)
{
	struct device_counters *of_device = bpf_map_lookup_elem(&counters, &pkt->ingress_slot);
	__u32 segments = ctx_segments(ctx);

	if (!of_device || pkt->reason >= REASON_COUNT)
		return;
	of_device->by_reason[pkt->reason].packets += segments;
	of_device->by_reason[pkt->reason].bytes += pkt->len;
}

static __always_inline int emit(ctx_t *ctx, struct packet *pkt, enum verdict verdict)
{
	int action = verdict == FORWARD ? ctx_forward(ctx, pkt) : ctx_pass();

	if (verdict == FORWARD)
		pkt->reason = ctx_was_forwarded(action) ? REASON_FORWARDED : REASON_EGRESS_NOT_READY;
	if (CTX_LAST_HOOK || pkt->reason == REASON_FORWARDED)
		count(ctx, pkt);
	return action;
}

#endif
