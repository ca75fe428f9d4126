/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The witness: sees what the kernel sends out of a routed device, or bridges out of a port, and writes down how the
 * flow has gone.
 *
 * In: a frame at the device's egress, behind all of routing, bridging and netfilter, with its Ethernet header. Changes
 * nothing of it, and lets it go on. */
#ifndef UNDERPASS_BPF_WITNESS_H
#define UNDERPASS_BPF_WITNESS_H

#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>

#include "bpf/connection.h"
#include "bpf/device.h"
#include "bpf/echo.h"
#include "bpf/flow.h"
#include "bpf/map_defs.h"

static __always_inline bool flow_of_frame(ctx_t *ctx, struct flow_key *key)
{
	if (ctx->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		return load_bytes(ctx, ETH_HLEN, &ip, sizeof(ip)) && flow_of_ipv4(ctx, ETH_HLEN, &ip, key);
	}
	if (ctx->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		return load_bytes(ctx, ETH_HLEN, &ip, sizeof(ip)) && flow_of_ipv6(ctx, ETH_HLEN, &ip, key);
	}
	return false;
}

static __always_inline bool same_ends(const struct flow_ends *a, const struct flow_ends *b)
{
	return same_words(a->source, b->source) && same_words(a->destination, b->destination) &&
	       a->source_port == b->source_port && a->destination_port == b->destination_port;
}

static __always_inline void set_ends(struct flow_ends *ends, const struct flow_key *key)
{
	__builtin_memcpy(ends->source, key->source, sizeof(ends->source));
	__builtin_memcpy(ends->destination, key->destination, sizeof(ends->destination));
	ends->source_port = key->source_port;
	ends->destination_port = key->destination_port;
}

/* Out of a port goes what is bridged, and what was routed out of the bridge, which was seen there; and what has a tag
 * was seen at its VLAN device. */
static __always_inline bool was_seen(const ctx_t *ctx)
{
	__u32 slot = 0;
	const struct device *out = device_find(ctx->ifindex, &slot);
	const struct device *in;

	if (ctx->vlan_present)
		return true;
	if (!out || !out->bridge || (out->flags & DEVICE_BRIDGE))
		return false;
	in = device_find(ctx->ingress_ifindex, &slot);
	return !in || in->bridge != out->bridge || (in->flags & DEVICE_BRIDGE);
}

static __always_inline void witness(ctx_t *ctx)
{
	/* The device that it was routed from: a bridge, where it came in by a port; or bridged, the port itself. */
	struct flow_key key = {.ifindex = ctx->ingress_ifindex};
	__u32 zero = 0;
	const struct control *now = bpf_map_lookup_elem(&control, &zero);
	struct flow_ends in = {}, out = {};
	bool answered = true;
	__u64 connection = 0;
	struct flow *flow;
	struct ethhdr eth;

	if (!now || was_seen(ctx) || !flow_of_frame(ctx, &key) || !load_bytes(ctx, 0, &eth, sizeof(eth)))
		return;
	set_ends(&out, &key);
	if (is_tracked(now, &key)) {
		if (!(is_echo(&key) ? echo_key_before(ctx, &key, &answered, &connection)
		                    : connection_key_before(ctx, &key, &answered)))
			return;
		set_ends(&in, &key);
		if (!same_ends(&in, &out)) {
			/* IPv6 packets that are translated stay the kernel's. */
			if (key.family != FLOW_AF_INET)
				return;
			out.flags = FLOW_TRANSLATED;
		}
	}
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow || flow->generation != now->generation)
		return;
	/* Rules may say another thing of the packets behind an answer: the next one asks. */
	if (!answered) {
		flow->generation--;
		return;
	}
	if (flow->egress != ctx->ifindex || !same_address(flow->destination, eth.h_dest) ||
	    !same_address(flow->source, eth.h_source) || flow->out.flags != out.flags || !same_ends(&flow->out, &out)) {
		/* Frames may be going the way that is written here: another is written once none do. */
		if (flow->asked == flow->answered) {
			flow->generation--;
			return;
		}
		flow->egress = ctx->ifindex;
		flow->out = out;
		__builtin_memcpy(flow->destination, eth.h_dest, ETH_ADDR_LEN);
		__builtin_memcpy(flow->source, eth.h_source, ETH_ADDR_LEN);
	}
	flow->connection = connection;
	__sync_fetch_and_add(&flow->answered, 1);
}

#endif
