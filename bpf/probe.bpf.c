/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Programs that are loaded to find out whether this kernel has a feature, and never attached. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__noinline int probe_target(struct xdp_md *ctx)
{
	volatile int result = XDP_DROP;

	return result;
}

/* Also what a live-frames test run runs: each frame ends here. */
SEC("xdp")
int probe_xdp(struct xdp_md *ctx)
{
	return probe_target(ctx);
}

/* libxdp's dispatcher joins programs in this way. */
SEC("freplace/probe_target")
int probe_replace(struct xdp_md *ctx)
{
	return XDP_DROP;
}

struct nf_conn;
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, void *tuple, __u32 tuple_len, void *opts,
					 __u32 opts_len) __ksym;
extern void bpf_ct_release(struct nf_conn *connection) __ksym;

SEC("xdp")
int probe_conntrack(struct xdp_md *ctx)
{
	__u8 tuple[12] = {};
	__u8 opts[12] = {};
	struct nf_conn *connection = bpf_xdp_ct_lookup(ctx, tuple, sizeof(tuple), opts, sizeof(opts));

	if (connection)
		bpf_ct_release(connection);
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
