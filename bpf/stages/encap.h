/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* encap: does the frame leave by a VXLAN device, and was the kernel seen to put such frames into the tunnel? Then with
 * which outer headers, and by which device?
 *
 * In: pkt->egress, the addresses that the frame leaves with. Out: pkt->tunnel, pkt->encap, and pkt->egress of the
 * device that the outer packet leaves by. The first frame of an inner flow, and one a second, go through the VXLAN
 * device; a program at the egress of the devices below sees the packet that it becomes, and writes its headers down
 * (see witness_encap). So the source port is the kernel's own, which keeps a flow on one path whoever encapsulates; and
 * what rules and policy make of the packet is in it. Every FLOW_CHECK_NS route and neighbour are looked up; behind
 * which VTEP a destination is, is known by the mirror at once.
 *
 * TC leaves what it does not encapsulate to the VXLAN device, straight; XDP passes it. Mirrors vxlan_xmit_one and
 * skb_tunnel_check_pmtu. */
#ifndef UNDERPASS_BPF_STAGES_ENCAP_H
#define UNDERPASS_BPF_STAGES_ENCAP_H

#include "bpf/device.h"
#include "bpf/flow.h"
#include "bpf/hook.h"
#include "bpf/packet.h"
#include "bpf/tunnel.h"

#ifdef WITH_CONNTRACK

#define FIB_LOOKUP_OUTPUT 2 /* BPF_FIB_LOOKUP_OUTPUT: a packet of the host's own */

/* Whether outer packets still leave by the device, and to the neighbour, that they were seen to. A global function, see
 * flow_of_packet. */
__noinline int tunnel_takes_same_route(ctx_t *ctx)
{
	struct bpf_fib_lookup fib = {.tot_len = 1 /* so that it says the MTU */, .l4_protocol = IPPROTO_UDP};
	__u32 zero = 0;
	struct scratch *room = bpf_map_lookup_elem(&scratch, &zero);
	const struct tunnel_way *way;
	struct flow *flow;

	if (!room)
		return false;
	way = &room->way;
	flow = bpf_map_lookup_elem(&flows, &way->key);
	if (!flow)
		return false;
	fib.ifindex = flow->egress;
	fib.sport = flow->out.source_port;
	fib.dport = flow->out.destination_port;
	if (way->ipv6) {
		fib.family = FLOW_AF_INET6;
		fib.flowinfo = bpf_htonl((__u32)flow->outer.tos << 20) | flow->outer.label;
		__builtin_memcpy(fib.ipv6_src, flow->out.source, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, flow->out.destination, sizeof(fib.ipv6_dst));
	} else {
		fib.family = FLOW_AF_INET;
		fib.tos = flow->outer.tos;
		fib.ipv4_src = flow->out.source[0];
		fib.ipv4_dst = flow->out.destination[0];
	}
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), FIB_LOOKUP_OUTPUT) != BPF_FIB_LKUP_RET_SUCCESS ||
	    fib.ifindex != flow->egress || !same_address(fib.dmac, flow->destination) ||
	    !same_address(fib.smac, flow->source)) {
		flow->generation--; /* asked anew with the next frame */
		return false;
	}
	flow->mtu = fib.tot_len;
	flow->checked_ns = way->now_ns;
	return true;
}

/* How the frame goes into the tunnel, from its flow and what else the scratch says; else the reason why it does not. A
 * global function, see flow_of_packet. (Not all kernels take an argument for the key of a map.) */
__noinline int way_into_tunnel(void)
{
	__u32 zero = 0, reason = REASON_FORWARDED;
	struct scratch *room = bpf_map_lookup_elem(&scratch, &zero);
	const struct control *now = bpf_map_lookup_elem(&control, &zero);
	const struct vtep *vtep;
	struct tunnel_way *way;
	struct flow *flow;

	if (!room || !now)
		return REASON_STALE;
	way = &room->way;
	vtep = vtep_find(way->key.ifindex, way->mac);
	if (!vtep || !vtep_is_certain(vtep))
		return REASON_VTEP_UNKNOWN;
	if (vtep->distrusted)
		return REASON_VTEP_MOVED;
	flow = bpf_map_lookup_elem(&flows, &way->key);
	if (!flow || flow->generation != now->generation || way->now_ns - flow->asked_ns >= FLOW_PULSE_NS) {
		if (!CTX_LAST_HOOK || way->now_ns - now->changed_ns < FLOW_SETTLE_NS)
			return REASON_FLOW_ASKED;
		if (!flow)
			flow = flow_begin(&way->key, way->now_ns);
		if (flow)
			flow_ask(flow, way->now_ns, now->generation, 1);
		return REASON_FLOW_ASKED;
	}
	if (flow->asked != flow->answered) {
		reason = REASON_FLOW_UNANSWERED;
	} else if (!CTX_LAST_HOOK && (way->overtakes || way->now_ns - flow->asked_ns < OVERTAKING_NS)) {
		reason = REASON_FLOW_ASKED;
	} else if (!same_words(flow->out.destination, vtep->address)) {
		flow->generation--;
		reason = REASON_ROUTE_CHANGED;
	}
	way->unchecked = way->now_ns - flow->checked_ns >= FLOW_CHECK_NS;
	if (!way->unchecked && way->len - ETH_HLEN + (way->ipv6 ? VXLAN_OUTER_IPV6 : VXLAN_OUTER_IPV4) > flow->mtu)
		reason = REASON_TOO_BIG;
	if (reason != REASON_FORWARDED) {
		if (CTX_LAST_HOOK)
			__sync_fetch_and_add(&flow->asked, 1);
		return reason;
	}
	way->egress = flow->egress;
	return REASON_FORWARDED;
}

/* False, and the reason: the VXLAN device does it. */
static __always_inline bool goes_into_tunnel(ctx_t *ctx, struct packet *pkt, struct tunnel_way *way)
{
	int found;

	__builtin_memset(way, 0, sizeof(*way));
	found = flow_of_packet(ctx, &way->key, pkt->network_offset, pkt->protocol);
	if (!found) {
		pkt->reason = REASON_TUNNEL_EXCEPTION;
		return false;
	}
	if (pkt->translated && pkt->flow) {
		way->key.source[0] = pkt->flow->out.source[0];
		way->key.destination[0] = pkt->flow->out.destination[0];
		way->key.source_port = pkt->flow->out.source_port;
		way->key.destination_port = pkt->flow->out.destination_port;
	}
	way->key.kind = FLOW_ENCAP;
	way->key.ifindex = pkt->egress->ifindex;
	way->now_ns = pkt->now_ns;
	way->len = frame_len(pkt) - (pkt->strip ? TAG_LEN : 0);
	way->ecn = found & TOS_ECN;
	way->ipv6 = pkt->egress->flags & DEVICE_OUTER_IPV6;
	way->overtakes = pkt->overtakes;
	__builtin_memcpy(way->mac, pkt->destination, ETH_ADDR_LEN);
	pkt->reason = way_into_tunnel();
	if (pkt->reason != REASON_FORWARDED)
		return false;
	if (!way->unchecked)
		return true;
	/* The frame after this one knows the MTU. */
	pkt->reason = REASON_ROUTE_CHANGED;
	return tunnel_takes_same_route(ctx) && !(pkt->reason = way_into_tunnel());
}

static __always_inline enum verdict encap(ctx_t *ctx, struct packet *pkt)
{
	__u32 wanted = DEVICE_UNDERLAY | DEVICE_EGRESS | DEVICE_FORWARDING;
	struct device *underlay;
	struct scratch *room;
	__u32 zero = 0;

	if (!(pkt->egress->flags & DEVICE_VXLAN))
		return CONTINUE;
	pkt->reason = REASON_EGRESS_NOT_READY;
	room = bpf_map_lookup_elem(&scratch, &zero);
	/* What came through another tunnel goes through the device. */
	if (!room || !(pkt->egress->flags & DEVICE_ENCAP) || pkt->underlay_slot || pkt->push ||
	    (pkt->tagged && !pkt->strip) || !ctx_can_encap(ctx) || !goes_into_tunnel(ctx, pkt, &room->way))
		return CTX_LAST_HOOK ? CONTINUE : PASS;
	underlay = device_find(room->way.egress, &pkt->egress_slot);
	if (!underlay || (underlay->flags & (wanted | DEVICE_VLAN_DEVICE)) != wanted)
		return pass(pkt, REASON_EGRESS_NOT_READY);
	pkt->egress = underlay;
	pkt->egress_peer = false;
	pkt->encap = true;
	return CONTINUE;
}

#else

static __always_inline enum verdict encap(ctx_t *ctx, struct packet *pkt)
{
	return CONTINUE;
}

#endif

#endif
