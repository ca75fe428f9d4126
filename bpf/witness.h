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
#include "bpf/tunnel.h"

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

#ifdef WITH_CONNTRACK

/* Of a frame that begins at `base`, without a tag. As flow_of_packet. */
static __always_inline int flow_of_inner(ctx_t *ctx, __u32 base, struct flow_key *key)
{
	struct ethhdr eth ALIGNED;

	return load_bytes(ctx, base, &eth, sizeof(eth)) ? flow_of_packet(ctx, key, base + ETH_HLEN, eth.h_proto) : 0;
}

static __always_inline bool same_outer(const struct flow_outer *a, const struct flow_outer *b)
{
	return a->vni == b->vni && a->label == b->label && a->inner_label == b->inner_label && a->ttl == b->ttl &&
	       a->tos == b->tos && a->dont_fragment == b->dont_fragment && a->summed == b->summed;
}

/* The outer headers: their ends into `ends`, the rest into `outer`. */
static __always_inline bool read_outer(ctx_t *ctx, struct flow_ends *ends, struct flow_outer *outer,
                                       struct tunnel_header *header, bool *ipv6)
{
	__u32 offset;

	*ipv6 = ctx->protocol == bpf_htons(ETH_P_IPV6);
	if (*ipv6) {
		struct ipv6hdr ip;

		if (!load_bytes(ctx, ETH_HLEN, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_UDP)
			return false;
		offset = ETH_HLEN + sizeof(ip);
		__builtin_memcpy(ends->source, &ip.saddr, sizeof(ends->source));
		__builtin_memcpy(ends->destination, &ip.daddr, sizeof(ends->destination));
		outer->label = *(__be32 *)&ip & bpf_htonl(IPV6_LABEL);
		outer->ttl = ip.hop_limit;
		outer->tos = (ip.priority << 4 | ip.flow_lbl[0] >> 4) & ~TOS_ECN;
	} else {
		struct iphdr ip;

		if (ctx->protocol != bpf_htons(ETH_P_IP) || !load_bytes(ctx, ETH_HLEN, &ip, sizeof(ip)) ||
		    ip.protocol != IPPROTO_UDP || ip.ihl != 5 || (ip.frag_off & bpf_htons(IP_FRAGMENT)))
			return false;
		offset = ETH_HLEN + sizeof(ip);
		ends->source[0] = ip.saddr;
		ends->destination[0] = ip.daddr;
		outer->ttl = ip.ttl;
		outer->tos = ip.tos & ~TOS_ECN;
		outer->dont_fragment = (ip.frag_off & bpf_htons(IPV4_DONT_FRAGMENT)) != 0;
	}
	if (!load_bytes(ctx, offset, header, sizeof(*header)) || header->vxlan.flags != bpf_htonl(VXLAN_FLAGS))
		return false;
	ends->source_port = header->udp.source;
	ends->destination_port = header->udp.dest;
	outer->vni = header->vxlan.vni;
	outer->summed = header->udp.check != 0;
	return true;
}

/* What a VXLAN device has sent, at the device below it: the packet that an inner flow's frames become. */
__noinline int witness_encap(ctx_t *ctx)
{
	struct flow_key key = {.kind = FLOW_ENCAP};
	struct flow_outer outer = {};
	struct flow_ends ends = {};
	struct tunnel_header header;
	struct device *vxlan;
	const struct control *now;
	struct flow *flow;
	struct ethhdr eth ALIGNED;
	__u32 zero = 0, slot, base, len;
	int found;
	bool ipv6;

	if (!read_outer(ctx, &ends, &outer, &header, &ipv6))
		return false;
	vxlan = tunnel_device(&header, ipv6 ? FLOW_AF_INET6 : FLOW_AF_INET, &slot);
	if (!vxlan)
		return false;
	key.ifindex = vxlan->ifindex;
	now = bpf_map_lookup_elem(&control, &zero);
	if (!now || ctx->vlan_present)
		return true;
	found = flow_of_inner(ctx, ipv6 ? VXLAN_OUTER_IPV6 : VXLAN_OUTER_IPV4, &key);
	if (!found)
		return true;
	outer.inner_label = found >> FLOW_LABEL_SHIFT;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow || flow->generation != now->generation || !load_bytes(ctx, 0, &eth, sizeof(eth)))
		return true;
	if (flow->egress != ctx->ifindex || !same_address(flow->destination, eth.h_dest) ||
	    !same_address(flow->source, eth.h_source) || !same_ends(&flow->out, &ends) ||
	    !same_outer(&flow->outer, &outer)) {
		/* As in witness. */
		if (flow->asked == flow->answered) {
			flow->generation--;
			return true;
		}
		flow->egress = ctx->ifindex;
		flow->mtu = 0;
		flow->behind = 0;
		flow->out = ends;
		flow->outer = outer;
		copy_address(flow->destination, eth.h_dest);
		copy_address(flow->source, eth.h_source);
	}
	base = ipv6 ? VXLAN_OUTER_IPV6 : VXLAN_OUTER_IPV4;
	len = ctx_gso_size(ctx) ? segment_len(ctx, &key, base) : ctx->len - base;
	if (len > flow->mtu)
		flow->mtu = len;
	__sync_fetch_and_add(&flow->answered, ctx_segments(ctx));
	return true;
}

/* The kernel has learned by now that the source is there. Where the packet came in by a device that has no program of
 * ours, this is the first that we see of it. */
static __always_inline void watch_vtep(ctx_t *ctx, const struct flow_key *key)
{
	struct ethhdr eth ALIGNED;
	struct vtep *vtep;

	if (!load_bytes(ctx, 0, &eth, sizeof(eth)))
		return;
	vtep = vtep_find(key->ifindex, eth.h_source);
	if (vtep && !same_words(vtep->address, key->source))
		vtep_distrust(vtep);
}

/* What has come out of a VXLAN device, with `ipv6` outer headers, at its ingress. The headers that were before it say
 * of which outer flow it was. */
__noinline int witness_decap(ctx_t *ctx, __u32 ifindex, __u32 ipv6)
{
	__u32 zero = 0, len = sizeof(struct tunnel_header) + (ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	struct flow_key key = {.ifindex = ifindex, .kind = FLOW_DECAP, .protocol = IPPROTO_UDP};
	const struct control *now = bpf_map_lookup_elem(&control, &zero);
	const struct sk_buff *skb = (const void *)ctx;
	unsigned char *head = NULL;
	struct tunnel_header header;
	struct flow *flow;
	__u16 mac = 0;

	bpf_core_read(&head, sizeof(head), &skb->head);
	bpf_core_read(&mac, sizeof(mac), &skb->mac_header);
	if (!now || mac < len)
		return 0;
	head += mac - len;
	if (ipv6) {
		struct ipv6hdr ip;

		if (bpf_probe_read_kernel(&ip, sizeof(ip), head))
			return 0;
		key.family = FLOW_AF_INET6;
		__builtin_memcpy(key.source, &ip.saddr, sizeof(key.source));
		__builtin_memcpy(key.destination, &ip.daddr, sizeof(key.destination));
		key.tos = (ip.priority << 4 | ip.flow_lbl[0] >> 4) & ~TOS_ECN;
	} else {
		struct iphdr ip;

		if (bpf_probe_read_kernel(&ip, sizeof(ip), head))
			return 0;
		key.family = FLOW_AF_INET;
		key.source[0] = ip.saddr;
		key.destination[0] = ip.daddr;
		key.tos = ip.tos & ~TOS_ECN;
	}
	if (bpf_probe_read_kernel(&header, sizeof(header), head + len - sizeof(header)))
		return 0;
	key.source_port = header.udp.source;
	key.destination_port = header.udp.dest;
	/* Else it came another way, and what lies there is another packet's. */
	if (header.vxlan.flags != bpf_htonl(VXLAN_FLAGS))
		return 0;
	watch_vtep(ctx, &key);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (flow && flow->generation == now->generation)
		__sync_fetch_and_add(&flow->answered, 1);
	return 0;
}

#endif

/* A global function, see connection_is_ready. */
__noinline int witness(ctx_t *ctx)
{
	/* The device that it was routed from: a bridge, where it came in by a port; or bridged, the port itself. */
	struct flow_key key = {.ifindex = ctx->ingress_ifindex};
	__u32 zero = 0;
	const struct control *now = bpf_map_lookup_elem(&control, &zero);
	struct flow_ends in = {}, out = {};
	bool answered = true;
	__u64 connection = 0;
	struct flow *flow;
	struct ethhdr eth ALIGNED;

	if (!now || was_seen(ctx) || !flow_of_packet(ctx, &key, ETH_HLEN, ctx->protocol) ||
	    !load_bytes(ctx, 0, &eth, sizeof(eth)))
		return 0;
	set_ends(&out, &key);
	if (is_tracked(now, &key)) {
		if (!(is_echo(&key) ? echo_key_before(ctx, &key, &answered, &connection)
		                    : connection_key_before(ctx, &key, &answered)))
			return 0;
		set_ends(&in, &key);
		if (!same_ends(&in, &out)) {
			/* IPv6 packets that are translated stay the kernel's. */
			if (key.family != FLOW_AF_INET)
				return 0;
			out.flags = FLOW_TRANSLATED;
		}
	}
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow || flow->generation != now->generation)
		return 0;
	/* Rules may say another thing of the packets behind an answer: the next one asks. */
	if (!answered) {
		flow->generation--;
		return 0;
	}
	if (flow->egress != ctx->ifindex || !same_address(flow->destination, eth.h_dest) ||
	    !same_address(flow->source, eth.h_source) || flow->out.flags != out.flags || !same_ends(&flow->out, &out)) {
		/* Frames may be going the way that is written here: another is written once none do. */
		if (flow->asked == flow->answered) {
			flow->generation--;
			return 0;
		}
		flow->egress = ctx->ifindex;
		flow->out = out;
		copy_address(flow->destination, eth.h_dest);
		copy_address(flow->source, eth.h_source);
	}
	flow->connection = connection;
	__sync_fetch_and_add(&flow->answered, 1);
	return 0;
}

/* What leaves a device; `ingress_ifindex` is none for what is the host's own, as a tunnel's packets are. */
static __always_inline void witness_egress(ctx_t *ctx)
{
#ifdef WITH_CONNTRACK
	if (witness_encap(ctx))
		return;
#endif
	if (ctx->ingress_ifindex)
		witness(ctx);
}

/* What comes in by a device, if that is a VXLAN device. */
static __always_inline void witness_ingress(ctx_t *ctx)
{
#ifdef WITH_CONNTRACK
	__u32 slot;
	const struct device *device = device_find(ctx->ifindex, &slot);

	if (device && (device->flags & DEVICE_VXLAN))
		witness_decap(ctx, device->ifindex, device->flags & DEVICE_OUTER_IPV6);
#endif
}

#endif
