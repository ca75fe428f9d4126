/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TC ingress entry: a context and the pipeline. */
#include "bpf/ctx/tc.h"

#include "bpf/pipeline.h"

SEC("tc")
int underpass_tc(struct __sk_buff *ctx)
{
	return pipeline(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";
