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

/* Of the kernel's types only the kind matters to the loader here. Weak, so that the other probes load without them. */
struct nf_conn {
	unsigned long status;
};

struct bpf_ct_opts {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};

extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 tuple_len,
                                         struct bpf_ct_opts *opts, __u32 opts_len) __ksym __weak;
extern void bpf_ct_release(struct nf_conn *connection) __ksym __weak;

SEC("xdp")
int probe_conntrack(struct xdp_md *ctx)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_ct_opts opts = {.netns_id = BPF_F_CURRENT_NETNS};
	struct nf_conn *connection = bpf_xdp_ct_lookup(ctx, &tuple, sizeof(tuple.ipv4), &opts, sizeof(opts));

	if (connection)
		bpf_ct_release(connection);
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
