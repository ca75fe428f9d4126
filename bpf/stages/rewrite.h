/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rewrite: the frame gets the tag that it leaves with. The last stage, since nothing may pass the kernel's way after
 * it.
 *
 * In: pkt->strip, pkt->push. Out: the frame, and pkt->rewritten. A push that is refused has changed nothing, so the
 * frame goes the kernel's way; where taking a tag off fails it can only be dropped. */
#ifndef UNDERPASS_BPF_STAGES_REWRITE_H
#define UNDERPASS_BPF_STAGES_REWRITE_H

#include "bpf/packet.h"

static __always_inline enum verdict rewrite(ctx_t *ctx, struct packet *pkt)
{
	if (!pkt->strip && !pkt->push)
		return CONTINUE;
	if (!ctx_is_reachable(pkt))
		return pass(pkt, REASON_EGRESS_NOT_READY);
	if (!pkt->strip && ctx_push_tag(ctx, pkt->push_protocol, pkt->push_tci))
		return pass(pkt, REASON_EGRESS_NOT_READY);
	pkt->rewritten = true;
	if (!pkt->strip)
		return CONTINUE;
	if (!(pkt->push ? ctx_replace_tag(ctx, pkt->push_protocol, pkt->push_tci) : ctx_strip_tag(ctx)))
		return CONTINUE;
	pkt->reason = REASON_REWRITE_FAILED;
	return DROP;
}

#endif
