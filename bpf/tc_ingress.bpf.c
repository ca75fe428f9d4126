/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TC entries: a context and the pipeline at ingress; at egress the witness, in one object since they share maps. */
#include "bpf/ctx/tc.h"

#include "bpf/pipeline.h"
#include "bpf/witness.h"

SEC("tc")
int underpass_tc(struct __sk_buff *ctx)
{
	if (profile_ends_behind(STAGE_NONE))
		return PROFILE_STOPPED;
	witness_ingress(ctx);
	return pipeline(ctx);
}

SEC("tc")
int underpass_see(struct __sk_buff *ctx)
{
	if (ctx->tc_index == CTX_FLOW_MARK)
		ctx->tc_index = 0;
	else
		witness_egress(ctx);
	return ctx_pass();
}

char _license[] SEC("license") = "Dual BSD/GPL";
