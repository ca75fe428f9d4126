/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A frame's whole way: the stages in their order. The first that does not CONTINUE decides.
 *
 * An entry includes a context layer (ctx/xdp.h or ctx/tc.h) before this file. */
#ifndef UNDERPASS_BPF_PIPELINE_H
#define UNDERPASS_BPF_PIPELINE_H

#include "bpf/profile.h"
#include "bpf/stages/admit.h"
#include "bpf/stages/bridge.h"
#include "bpf/stages/decap.h"
#include "bpf/stages/emit.h"
#include "bpf/stages/encap.h"
#include "bpf/stages/fresh.h"
#include "bpf/stages/ingress.h"
#include "bpf/stages/netfilter.h"
#include "bpf/stages/parse.h"
#include "bpf/stages/pulse.h"
#include "bpf/stages/rewrite.h"
#include "bpf/stages/route.h"
#include "bpf/stages/source.h"
#include "bpf/stages/tag.h"
#include "bpf/stages/unicast.h"
#include "bpf/stages/upper.h"
#include "bpf/stages/vlan.h"

static __always_inline enum verdict decide(ctx_t *ctx, struct packet *pkt)
{
	enum verdict verdict = after(STAGE_ENTRY, CONTINUE);

	if (verdict == CONTINUE)
		verdict = after(STAGE_ADMIT, admit(ctx, pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_PARSE, parse(ctx, pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_UPPER, upper(pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_DECAP, decap(ctx, pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_VLAN, vlan(pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_SOURCE, source(pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_FRESH, fresh(pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_INGRESS, ingress(pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_NETFILTER, netfilter(ctx, pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_PULSE, pulse(pkt));
	if (!profile_has_ended(verdict))
		packet_forget(pkt, ctx_nothing(ctx));
	verdict = after(STAGE_FORGET, verdict);
	if (verdict == CONTINUE)
		verdict = after(STAGE_UNICAST, unicast(ctx, pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_ROUTE, route(ctx, pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_BRIDGE, bridge(pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_TAG, tag(ctx, pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_ENCAP, encap(ctx, pkt));
	if (verdict == CONTINUE)
		verdict = after(STAGE_REWRITE, rewrite(ctx, pkt));
	return verdict == CONTINUE ? FORWARD : verdict;
}

static __always_inline int pipeline(ctx_t *ctx)
{
	struct packet pkt = {};
	enum verdict verdict = decide(ctx, &pkt);

	return profile_has_ended(verdict) ? PROFILE_STOPPED : emit(ctx, &pkt, verdict);
}

#endif
