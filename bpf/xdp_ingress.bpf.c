/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The XDP entry: a context and the pipeline. */
#include "bpf/ctx/xdp.h"

#include "bpf/pipeline.h"

SEC("xdp.frags")
int underpass_xdp(struct xdp_md *ctx)
{
	if (profile_ends_behind(STAGE_NONE))
		return PROFILE_STOPPED;
	return pipeline(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";
