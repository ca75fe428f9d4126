/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* admit: is the device that the frame came in by one of ours, and which?
 *
 * In: the context. Out: pkt->len, pkt->segments, pkt->ingress, pkt->ingress_slot, pkt->now_ns. Whether the device may
 * forward is asked later (see bridge.h): its source addresses are watched even when it is left to the kernel. */
#ifndef UNDERPASS_BPF_STAGES_ADMIT_H
#define UNDERPASS_BPF_STAGES_ADMIT_H

#include "bpf/device.h"
#include "bpf/packet.h"

static __always_inline enum verdict admit(ctx_t *ctx, struct packet *pkt)
{
	pkt->len = ctx_len(ctx);
	pkt->segments = ctx_segments(ctx);
	pkt->ingress = device_find(ctx_ifindex(ctx), &pkt->ingress_slot);
	if (!pkt->ingress || !(pkt->ingress->flags & DEVICE_PRESENT)) {
		pkt->ingress_slot = 0;
		return pass(pkt, REASON_NOT_OURS);
	}
	pkt->bridge = pkt->ingress->bridge;
	pkt->now_ns = bpf_ktime_get_coarse_ns();
	if (ctx_is_looped(ctx))
		return pass(pkt, REASON_LOOPED);
	return CONTINUE;
}

#endif
