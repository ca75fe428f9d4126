/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The limit: a redirect to the one other port and nothing else, on each hook. No frame can be forwarded for less, so
 * what a path costs above it is what its lookups cost. Where a VLAN tag has to change, the limit is the same with that
 * change, which is known when the program is loaded: the others then are not in it. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bench/bpf/tag_change.h"

const volatile __u32 egress_ifindex;
const volatile __u32 change; /* enum tag_change */

/* The one other port. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} other_port SEC(".maps");

struct tag {
	__be16 protocol;
	__be16 tci;
};

struct addresses {
	__u8 bytes[2 * ETH_ALEN];
};

static __always_inline long push_in_bytes(struct xdp_md *ctx)
{
	struct addresses *to;
	struct tag *tag;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*tag)))
		return -1;
	to = (void *)(long)ctx->data;
	tag = (void *)(to + 1);
	if ((void *)(tag + 1) > (void *)(long)ctx->data_end)
		return -1;

	struct addresses addresses = *(struct addresses *)((void *)to + sizeof(*tag));

	*to = addresses;
	tag->protocol = bpf_htons(ETH_P_8021Q);
	tag->tci = bpf_htons(BENCH_VID);
	return 0;
}

static __always_inline long pop_in_bytes(struct xdp_md *ctx)
{
	struct addresses addresses, *at = (void *)(long)ctx->data;

	if ((void *)(at + 1) > (void *)(long)ctx->data_end)
		return -1;
	addresses = *at;
	if (bpf_xdp_adjust_head(ctx, sizeof(struct tag)))
		return -1;
	at = (void *)(long)ctx->data;
	if ((void *)(at + 1) > (void *)(long)ctx->data_end)
		return -1;
	*at = addresses;
	return 0;
}

SEC("xdp")
int bare_xdp(struct xdp_md *ctx)
{
	if (change == TAG_PUSHED && push_in_bytes(ctx))
		return XDP_DROP;
	if (change == TAG_POPPED && pop_in_bytes(ctx))
		return XDP_DROP;
	return (int)bpf_redirect_map(&other_port, 0, 0);
}

SEC("tc")
int bare_tc(struct __sk_buff *skb)
{
	if (change == TAG_PUSHED && bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), BENCH_VID))
		return TC_ACT_SHOT;
	if (change == TAG_POPPED && bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT;
	return (int)bpf_redirect(egress_ifindex, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
