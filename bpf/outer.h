/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The packet around a frame in a tunnel: judged as it comes in, made as it leaves. */
#ifndef UNDERPASS_BPF_OUTER_H
#define UNDERPASS_BPF_OUTER_H

#include <stddef.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include "bpf/bytes.h"
#include "bpf/csum.h"
#include "bpf/flow.h"
#include "bpf/tunnel.h"

/* Whether the UDP packet of outer->key at `offset` could be one of a tunnel, and is all of the frame of `len` bytes. A
 * global function, see flow_of_packet. */
__noinline int outer_is_plain(ctx_t *ctx, struct outer_packet *outer, __u32 offset, __u32 len)
{
	__u32 end;

	if (!outer || outer->key.protocol != IPPROTO_UDP)
		return false;
	if (outer->key.family == FLOW_AF_INET) {
		struct iphdr ip;

		if (!load_bytes(ctx, offset, &ip, sizeof(ip)) || !csum_is_valid(&ip, sizeof(ip)))
			return false;
		end = offset + bpf_ntohs(ip.tot_len);
		outer->offset = offset + sizeof(ip);
	} else {
		__be16 payload_len;

		if (!load_bytes(ctx, offset + offsetof(struct ipv6hdr, payload_len), &payload_len, sizeof(payload_len)))
			return false;
		outer->offset = offset + sizeof(struct ipv6hdr);
		end = outer->offset + bpf_ntohs(payload_len);
	}
	return end == len && load_bytes(ctx, outer->offset, &outer->header, sizeof(outer->header)) &&
	       bpf_ntohs(outer->header.udp.len) == len - outer->offset &&
	       outer->header.vxlan.flags == bpf_htonl(VXLAN_FLAGS) && !(outer->header.vxlan.vni & bpf_htonl(0xff));
}

/* By its checksum, or what the kernel knows of it. A global function, see flow_of_packet. */
__noinline int outer_sum_is_right(ctx_t *ctx, const struct outer_packet *outer, __u32 unsummed)
{
	__u32 len;
	__s64 sum;

	if (!outer)
		return false;
	if (!outer->header.udp.check)
		return outer->key.family == FLOW_AF_INET || unsummed;
	if (ctx_is_summed(ctx))
		return true;
	len = bpf_ntohs(outer->header.udp.len);
	sum = sum_of_bytes(ctx, outer->offset, len);
	return sum >= 0 &&
	       csum_fold(sum + csum_of_pseudo_header(outer->key.source, outer->key.destination, len)) == 0xffff;
}

/* The kernel lets an inner IP header that is not whole go no further, and marks, or drops, by the outer ECN. A global
 * function, see flow_of_packet. */
__noinline int inner_is_plain(ctx_t *ctx, __u32 offset, __u32 protocol, __u32 outer_ecn)
{
	__u8 ecn;

	if (protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (!load_bytes(ctx, offset, &ip, sizeof(ip)))
			return false;
		ecn = ip.tos & TOS_ECN;
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		if (!load_bytes(ctx, offset, &ip, sizeof(ip)))
			return false;
		ecn = ip.flow_lbl[0] >> 4 & TOS_ECN;
	} else {
		return true;
	}
	return !outer_ecn || outer_ecn == ecn;
}

/* Puts outer headers before the frame, as its flow and the scratch say. Mirrors udp_tunnel_xmit_skb,
 * udp_tunnel6_xmit_skb and vxlan_build_skb. Results as of translate. A global function, see flow_of_packet. */
__noinline int encapsulate(ctx_t *ctx, struct flow *flow)
{
	struct tunnel_header header = {};
	__u32 zero = 0, offset, udp_len, ecn;
	bool ipv6;
	struct scratch *room = bpf_map_lookup_elem(&scratch, &zero);
	struct ethhdr *eth;
	long result;

	if (!room || !flow)
		return 1;
	ipv6 = room->way.ipv6;
	offset = ETH_HLEN + (ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	udp_len = room->way.len + sizeof(header);
	ecn = room->way.ecn;
	eth = (void *)room->bytes;
	result = ctx_make_room(ctx, ipv6);
	if (result)
		return result;
	copy_address(eth->h_dest, flow->destination);
	copy_address(eth->h_source, flow->source);
	/* Inner CE is ECT(0) outside (INET_ECN_encapsulate). */
	ecn = flow->outer.tos | (ecn == TOS_ECN ? TOS_ECT_0 : ecn);
	if (ipv6) {
		struct ipv6hdr *ip = (void *)(eth + 1);

		eth->h_proto = bpf_htons(ETH_P_IPV6);
		*(__be32 *)ip = bpf_htonl(6U << 28 | ecn << 20) | flow->outer.label;
		ip->payload_len = bpf_htons(udp_len);
		ip->nexthdr = IPPROTO_UDP;
		ip->hop_limit = flow->outer.ttl;
		__builtin_memcpy(&ip->saddr, flow->out.source, sizeof(ip->saddr));
		__builtin_memcpy(&ip->daddr, flow->out.destination, sizeof(ip->daddr));
	} else {
		struct iphdr *ip = (void *)(eth + 1);

		eth->h_proto = bpf_htons(ETH_P_IP);
		*(__u8 *)ip = 0x45;
		ip->tos = ecn;
		ip->tot_len = bpf_htons(sizeof(*ip) + udp_len);
		/* Unlike those of its neighbours, as far as 16 bits can be. */
		ip->id = bpf_get_prandom_u32();
		ip->frag_off = flow->outer.dont_fragment ? bpf_htons(IPV4_DONT_FRAGMENT) : 0;
		ip->ttl = flow->outer.ttl;
		ip->protocol = IPPROTO_UDP;
		ip->check = 0;
		ip->saddr = flow->out.source[0];
		ip->daddr = flow->out.destination[0];
		ip->check = ~csum_fold(csum_of_words((const __be32 *)ip, sizeof(*ip) / sizeof(__be32)));
	}
	/* An IPv4 header sums to nothing. */
	if (ctx_store_bytes(ctx, 0, eth, ETH_HLEN, false) ||
	    (ipv6 ? ctx_store_bytes(ctx, ETH_HLEN, eth + 1, sizeof(struct ipv6hdr), true)
	          : ctx_store_bytes(ctx, ETH_HLEN, eth + 1, sizeof(struct iphdr), false)))
		return -1;
	header.udp.source = flow->out.source_port;
	header.udp.dest = flow->out.destination_port;
	header.udp.len = bpf_htons(udp_len);
	header.vxlan.flags = bpf_htonl(VXLAN_FLAGS);
	header.vxlan.vni = flow->outer.vni;
	if (ctx_store_bytes(ctx, offset, &header, sizeof(header), true))
		return -1;
	room->way.summed = flow->outer.summed;
	room->way.sum = csum_of_pseudo_header(flow->out.source, flow->out.destination, udp_len);
	flow->packets += room->way.segments;
	flow->bytes += room->way.len;
	return 0;
}

/* The UDP checksum of the outer packet that the scratch says. Results as of translate. A global function, see
 * flow_of_packet. */
__noinline int sum_outer(ctx_t *ctx)
{
	__u32 zero = 0, offset, len, rest;
	struct scratch *room = bpf_map_lookup_elem(&scratch, &zero);
	__u16 check;
	__s64 sum;

	if (!room || !room->way.summed)
		return 0;
	offset = (room->way.ipv6 ? VXLAN_OUTER_IPV6 : VXLAN_OUTER_IPV4) - sizeof(struct tunnel_header);
	len = room->way.len + sizeof(struct tunnel_header);
	rest = ctx_unfinished_sum(ctx, offset, &len);
	sum = sum_of_bytes(ctx, offset, len);
	if (sum < 0)
		return -1;
	check = ~csum_fold(sum + rest + room->way.sum);
	if (!check)
		check = 0xffff;
	return ctx_store_bytes(ctx, offset + offsetof(struct udphdr, check), &check, sizeof(check), true) ? -1 : 0;
}

#endif
