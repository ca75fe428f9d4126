/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The limit: a redirect to the one other port and nothing else, on each hook. No frame can be forwarded for less, so
 * what a path costs above it is what its lookups cost. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 egress_ifindex;

/* The one other port. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} other_port SEC(".maps");

SEC("xdp")
int bare_xdp(struct xdp_md *ctx)
{
	return (int)bpf_redirect_map(&other_port, 0, 0);
}

SEC("tc")
int bare_tc(struct __sk_buff *skb)
{
	return (int)bpf_redirect(egress_ifindex, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
