/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* encap: does the frame leave by a VXLAN device, and was the kernel seen to put such frames into the tunnel? Then with
 * which outer headers, and by which device?
 *
 * In: pkt->egress, the addresses that the frame leaves with. Out: pkt->encap, pkt->outgoing, the scratch, and
 * pkt->egress of the device that the outer packet leaves by. The first frame of an inner flow, and one a second, go
 * through the VXLAN device; a program at the egress of the devices below sees the packet that it becomes, and writes
 * its headers down (see witness_encap). So the source port is the kernel's own, which keeps a flow on one path whoever
 * encapsulates; what rules and policy make of the packet is in it; and no frame is longer than one that the kernel was
 * seen to send. Behind which VTEP a destination is, the mirror knows at once; that a route to a VTEP, or a neighbour,
 * has changed, the daemon tells by a new generation.
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

/* REASON_FORWARDED: the frame goes into the tunnel as its flow says; else the reason why it does not. A global
 * function, see flow_of_packet. (Not all kernels take an argument for the key of a map, so that is in the scratch.) */
__noinline int way_into_tunnel(struct flow *flow)
{
	__u32 zero = 0, reason = REASON_FORWARDED;
	struct scratch *room = bpf_map_lookup_elem(&scratch, &zero);
	const struct control *now = bpf_map_lookup_elem(&control, &zero);
	const struct vtep *vtep = NULL;
	struct tunnel_way *way;
	__u64 behind;

	if (!room || !now)
		return REASON_STALE;
	way = &room->way;
	behind = behind_word(now, way->mac);
	if (!flow || flow->behind != behind) {
		if (flow)
			behind_begin(flow);
		vtep = vtep_find(way->key.ifindex, way->mac);
		if (!vtep || !vtep_is_certain(vtep))
			return REASON_VTEP_UNKNOWN;
		if (vtep->distrusted)
			return REASON_VTEP_MOVED;
	}
	if (!flow || flow->generation != now->generation || way->now_ns - flow->asked_ns >= FLOW_PULSE_NS) {
		if (!CTX_LAST_HOOK || way->now_ns - now->changed_ns < FLOW_SETTLE_NS)
			return REASON_FLOW_ASKED;
		if (!flow)
			flow = flow_begin(&way->key, way->now_ns);
		if (flow)
			flow_ask(flow, way->now_ns, now->generation, way->segments);
		return REASON_FLOW_ASKED;
	}
	if (flow->asked != flow->answered) {
		reason = REASON_FLOW_UNANSWERED;
	} else if (!CTX_LAST_HOOK && (way->overtakes || way->now_ns - flow->asked_ns < OVERTAKING_NS)) {
		reason = REASON_FLOW_ASKED;
	} else if (flow->outer.inner_label != way->label) {
		/* By which the source port differs. The witness sees with which other one this frame leaves. */
		reason = REASON_TUNNEL_EXCEPTION;
	} else if (vtep && !same_words(flow->out.destination, vtep->address)) {
		flow->generation--; /* asked anew with the next frame */
		reason = REASON_ROUTE_CHANGED;
	} else if (way->is_gso && (flow->outer.summed || !way->longest || way->len > LONGEST_IN_TUNNEL)) {
		/* No helper makes such sums; and BIG TCP has headers of its own. */
		reason = REASON_TUNNEL_EXCEPTION;
	} else if (way->longest > flow->mtu) {
		reason = REASON_TOO_BIG;
	}
	if (reason == REASON_FORWARDED && vtep)
		flow->behind = behind;
	if (reason != REASON_FORWARDED && CTX_LAST_HOOK)
		__sync_fetch_and_add(&flow->asked, way->segments);
	return reason;
}

/* False, and the reason: the VXLAN device does it. */
static __always_inline bool goes_into_tunnel(ctx_t *ctx, struct packet *pkt, struct tunnel_way *way)
{
	struct flow *flow;
	int found;

	__builtin_memset(way, 0, sizeof(*way));
	found = flow_of_packet(ctx, &way->key, pkt->network_offset, pkt->protocol);
	/* For the source port of others the kernel may look further in (IP in IP, GRE, the SPI of ESP). */
	if (!found || (way->key.protocol != IPPROTO_UDP && way->key.protocol != IPPROTO_TCP &&
	               way->key.protocol != IPPROTO_ICMP && way->key.protocol != IPPROTO_ICMPV6)) {
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
	/* A tag that lies beside the bytes does not count as it is. */
	way->len = frame_len(pkt) - (pkt->strip && !ctx_has_offloaded_tag(ctx) ? TAG_LEN : 0);
	way->ecn = found & TOS_ECN;
	way->label = found >> FLOW_LABEL_SHIFT;
	way->ipv6 = pkt->egress->flags & DEVICE_OUTER_IPV6;
	way->overtakes = pkt->overtakes;
	way->is_gso = ctx_gso_size(ctx) != 0;
	way->longest = way->is_gso ? segment_len(ctx, &way->key, 0) : way->len;
	way->segments = ctx_segments(ctx);
	copy_address(way->mac, pkt->destination);
	flow = bpf_map_lookup_elem(&flows, &way->key);
	pkt->reason = way_into_tunnel(flow);
	if (pkt->reason != REASON_FORWARDED)
		return false;
	pkt->outgoing = flow;
	return flow;
}

static __always_inline enum verdict encap(ctx_t *ctx, struct packet *pkt)
{
	__u32 wanted = DEVICE_UNDERLAY | DEVICE_EGRESS | DEVICE_FORWARDING;
	struct device *underlay;
	struct scratch *room;
	__u32 zero = 0;

	if (!CTX_TUNNELS || !(pkt->egress->flags & DEVICE_VXLAN))
		return CONTINUE;
	pkt->reason = REASON_EGRESS_NOT_READY;
	room = bpf_map_lookup_elem(&scratch, &zero);
	/* What came through another tunnel goes through the device. */
	if (!room || !(pkt->egress->flags & DEVICE_ENCAP) || pkt->underlay_slot || pkt->push ||
	    (pkt->tagged && !pkt->strip) || !goes_into_tunnel(ctx, pkt, &room->way))
		return CTX_LAST_HOOK ? CONTINUE : PASS;
	underlay = pkt->outgoing ? device_find(pkt->outgoing->egress, &pkt->egress_slot) : NULL;
	if (!underlay || (underlay->flags & wanted) != wanted)
		return pass(pkt, REASON_EGRESS_NOT_READY);
	pkt->egress = underlay;
	pkt->egress_peer = false;
	pkt->encap = true;
	return CONTINUE;
}

#endif
