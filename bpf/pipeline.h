/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A frame's whole way: the stages in their order. The first that does not CONTINUE decides.
 *
 * An entry includes a context layer (ctx/xdp.h or ctx/tc.h) before this file. */
#ifndef UNDERPASS_BPF_PIPELINE_H
#define UNDERPASS_BPF_PIPELINE_H

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
	enum verdict verdict = admit(ctx, pkt);

	if (verdict == CONTINUE)
		verdict = parse(ctx, pkt);
	if (verdict == CONTINUE)
		verdict = upper(pkt);
	if (verdict == CONTINUE)
		verdict = decap(ctx, pkt);
	if (verdict == CONTINUE)
		verdict = vlan(pkt);
	if (verdict == CONTINUE)
		verdict = source(pkt);
	if (verdict == CONTINUE)
		verdict = fresh(pkt);
	if (verdict == CONTINUE)
		verdict = ingress(pkt);
	if (verdict == CONTINUE)
		verdict = netfilter(ctx, pkt);
	if (verdict == CONTINUE)
		verdict = pulse(pkt);
	packet_forget(pkt, ctx_nothing(ctx));
	if (verdict == CONTINUE)
		verdict = unicast(ctx, pkt);
	if (verdict == CONTINUE)
		verdict = route(ctx, pkt);
	if (verdict == CONTINUE)
		verdict = bridge(pkt);
	if (verdict == CONTINUE)
		verdict = tag(ctx, pkt);
	if (verdict == CONTINUE)
		verdict = encap(ctx, pkt);
	if (verdict == CONTINUE)
		verdict = rewrite(ctx, pkt);
	return verdict == CONTINUE ? FORWARD : verdict;
}

static __always_inline int pipeline(ctx_t *ctx)
{
	struct packet pkt = {};

	return emit(ctx, &pkt, decide(ctx, &pkt));
}

#endif
