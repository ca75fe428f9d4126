/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The flow that a frame is of, read in the same way where it comes in and where it leaves. */
#ifndef UNDERPASS_BPF_FLOW_H
#define UNDERPASS_BPF_FLOW_H

#include <stdbool.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>

#include "bpf/bytes.h"
#include "bpf/map_defs.h"

enum {
	FLOW_AF_INET = 2, /* sys/socket.h is none of ours */
	FLOW_AF_INET6 = 10,
	ICMPV4_ECHO_REPLY = 0, /* neither is linux/icmp.h, which includes it */
	ICMPV4_ECHO_REQUEST = 8,
	IP_FRAGMENT = 0x3fff, /* more follow, or an offset */
	TOS_ECN = 0x03,
	TOS_ECT_0 = 0x02,
};

/* Ports, or what stands for them; false: not of a kind that flows are made of (an ICMP error, a cut header). */
static __always_inline bool flow_ports(ctx_t *ctx, __u32 offset, struct flow_key *key)
{
	struct icmp6hdr icmp; /* an ICMP echo has the same shape */

	switch (key->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		return load_bytes(ctx, offset, &key->source_port, 2 * sizeof(__be16));
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (!load_bytes(ctx, offset, &icmp, sizeof(icmp)))
			return false;
		key->source_port = icmp.icmp6_identifier;
		key->destination_port = icmp.icmp6_type;
		/* Conntrack has an echo with another code for another connection. */
		if (icmp.icmp6_code)
			return false;
		if (key->family == FLOW_AF_INET6)
			return key->protocol == IPPROTO_ICMPV6 &&
			       (icmp.icmp6_type == ICMPV6_ECHO_REQUEST || icmp.icmp6_type == ICMPV6_ECHO_REPLY);
		return key->protocol == IPPROTO_ICMP &&
		       (icmp.icmp6_type == ICMPV4_ECHO_REQUEST || icmp.icmp6_type == ICMPV4_ECHO_REPLY);
	/* IPv6 extension headers */
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
		return key->family != FLOW_AF_INET6;
	default:
		return true;
	}
}

static __always_inline bool flow_of_ipv4(ctx_t *ctx, __u32 offset, const struct iphdr *ip, struct flow_key *key)
{
	if (ip->version != 4 || ip->ihl != 5 || (ip->frag_off & bpf_htons(IP_FRAGMENT)))
		return false;
	key->family = FLOW_AF_INET;
	key->source[0] = ip->saddr;
	key->destination[0] = ip->daddr;
	key->protocol = ip->protocol;
	key->tos = ip->tos & ~TOS_ECN;
	return flow_ports(ctx, offset + sizeof(*ip), key);
}

static __always_inline bool flow_of_ipv6(ctx_t *ctx, __u32 offset, const struct ipv6hdr *ip, struct flow_key *key)
{
	if (ip->version != 6)
		return false;
	key->family = FLOW_AF_INET6;
	__builtin_memcpy(key->source, &ip->saddr, sizeof(key->source));
	__builtin_memcpy(key->destination, &ip->daddr, sizeof(key->destination));
	key->protocol = ip->nexthdr;
	key->tos = (ip->priority << 4 | ip->flow_lbl[0] >> 4) & ~TOS_ECN;
	return flow_ports(ctx, offset + sizeof(*ip), key);
}

enum {
	FLOW_FOUND = 1 << 2,  /* and the packet's ECN below it, ... */
	FLOW_LABEL_SHIFT = 3, /* ... its IPv6 flow label above it */
};

/* The flow of the packet at `offset`, whose EtherType is `protocol`; 0: none. A global function: the verifier goes
 * through it once, not once for every way that leads here. */
__noinline int flow_of_packet(ctx_t *ctx, struct flow_key *key, __u32 offset, __u32 protocol)
{
	if (!key)
		return 0;
	if (protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (!load_bytes(ctx, offset, &ip, sizeof(ip)) || !flow_of_ipv4(ctx, offset, &ip, key))
			return 0;
		return FLOW_FOUND | (ip.tos & TOS_ECN);
	}
	if (protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		if (!load_bytes(ctx, offset, &ip, sizeof(ip)) || !flow_of_ipv6(ctx, offset, &ip, key))
			return 0;
		return ((ip.flow_lbl[0] & 0xf) << 16 | ip.flow_lbl[1] << 8 | ip.flow_lbl[2]) << FLOW_LABEL_SHIFT |
		       FLOW_FOUND | (ip.flow_lbl[0] >> 4 & TOS_ECN);
	}
	return 0;
}

/* Two addresses: of IPv4 the first word is one. */
static __always_inline bool same_words(const __be32 *a, const __be32 *b)
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}

/* On no stack, which has no room for one. */
const struct flow blank_flow = {};

/* Null: a full map has no more flows that go fast. */
static __always_inline struct flow *flow_begin(const struct flow_key *key, __u64 now_ns)
{
	struct flow *flow;

	bpf_map_update_elem(&flows, key, &blank_flow, BPF_NOEXIST);
	flow = bpf_map_lookup_elem(&flows, key);
	if (flow)
		flow->begun_ns = now_ns;
	return flow;
}

/* From now on it has to be seen how the kernel takes its frames, of which `frames` are on their way. */
static __always_inline void flow_ask(struct flow *flow, __u64 now_ns, __u32 generation, __u32 frames)
{
	flow->asked = frames;
	flow->answered = 0;
	flow->checked_ns = 0;
	flow->behind = 0;
	flow->mtu = 0;
	flow->generation = generation;
	flow->asked_ns = now_ns;
}

#endif
