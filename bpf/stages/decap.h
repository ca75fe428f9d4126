/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* decap: is it a VXLAN packet for a device that we know, and was the kernel seen to take such packets out of the
 * tunnel? Then its frame came in by the VXLAN device, and the stages behind look at that.
 *
 * In: the outer packet's facts. Out: pkt->ingress and pkt->bridge of the VXLAN device, pkt->base, pkt->tunnel, and the
 * inner frame's facts. No byte is moved yet: what a later stage does not want passes to the kernel as it came, and is
 * seen again by the TC program at the VXLAN device.
 *
 * Whether the outer packet is for this host, and may come in, the kernel has shown by its own doing: the first packet
 * of an outer flow and one a second pass to it, and are seen to come out of the VXLAN device (see witness_decap). What
 * it looks at packet by packet is looked at here. Mirrors ip_rcv_core, udp_queue_rcv_one_skb, vxlan_rcv, vxlan_snoop
 * and INET_ECN_decapsulate. */
#ifndef UNDERPASS_BPF_STAGES_DECAP_H
#define UNDERPASS_BPF_STAGES_DECAP_H

#include "bpf/flow.h"
#include "bpf/outer.h"
#include "bpf/packet.h"
#include "bpf/stages/parse.h"
#include "bpf/tunnel.h"
#include "bpf/vlan.h"

/* Is the source behind the VTEP that the packet is from? Its flow, if there is one, remembers. Mirrors vxlan_snoop. */
static __always_inline enum verdict source_vtep(struct packet *pkt, const struct flow_key *key,
                                                const struct control *now, struct flow *flow)
{
	struct vtep *vtep;
	__u64 behind;

	if (!(pkt->ingress->flags & DEVICE_VTEP_LEARNS))
		return CONTINUE;
	behind = behind_word(now, pkt->source);
	if (flow) {
		if (flow->behind == behind)
			return CONTINUE;
		behind_begin(flow);
	}
	vtep = vtep_find(pkt->ingress->ifindex, pkt->source);
	if (!vtep)
		return pass(pkt, REASON_VTEP_UNKNOWN);
	if (!same_words(vtep->address, key->source)) {
		vtep_distrust(vtep);
		return pass(pkt, REASON_VTEP_MOVED);
	}
	if (vtep->distrusted)
		return pass(pkt, REASON_VTEP_MOVED);
	if (vtep_is_certain(vtep)) {
		if (flow)
			flow->behind = behind;
		return CONTINUE;
	}
	if (CTX_LAST_HOOK)
		vtep->shown_ns = pkt->now_ns;
	return pass(pkt, REASON_VTEP_UNKNOWN);
}

/* Was the kernel seen to take such packets out of the tunnel, in this second? One that comes out proves it: the rules
 * treat all packets of an outer flow alike, or the tunnel is left to the kernel. */
static __always_inline enum verdict known_tunnel(struct packet *pkt, const struct flow_key *key,
                                                 const struct control *now, struct flow *flow, __u32 underlay)
{
	/* What comes in by another device proves nothing by what came in by this one and is still on its way. */
	if (flow && flow->egress != underlay) {
		if (CTX_LAST_HOOK) {
			flow->generation = now->generation - 1;
			flow->asked_ns = pkt->now_ns;
			flow->egress = underlay;
		}
		return pass(pkt, REASON_FLOW_ASKED);
	}
	if (!flow || flow->generation != now->generation || pkt->now_ns - flow->asked_ns >= FLOW_PULSE_NS) {
		if (!CTX_LAST_HOOK || pkt->now_ns - now->changed_ns < FLOW_SETTLE_NS ||
		    (flow && pkt->now_ns - flow->asked_ns < FLOW_SETTLE_NS))
			return pass(pkt, REASON_FLOW_ASKED);
		if (!flow)
			flow = flow_begin(key, pkt->now_ns);
		if (flow) {
			flow->egress = underlay;
			flow_ask(flow, pkt->now_ns, now->generation, 1);
		}
		return pass(pkt, REASON_FLOW_ASKED);
	}
	if (!flow->answered)
		return pass(pkt, REASON_FLOW_UNANSWERED);
	/* Those that were passed may still wait for the VXLAN device's poll. */
	if (pkt->now_ns - flow->asked_ns < OVERTAKING_NS)
		return pass(pkt, REASON_FLOW_ASKED);
	pkt->tunnel = flow;
	return CONTINUE;
}

static __always_inline enum verdict decap(ctx_t *ctx, struct packet *pkt)
{
	__u32 underlay = pkt->ingress->ifindex;
	__u32 slot, zero = 0;
	const struct control *now;
	struct outer_packet *outer;
	struct scratch *room;
	struct device *vxlan;
	struct flow *flow;
	enum verdict verdict;

	/* With a tag that no VLAN device has taken it is for nobody here. */
	if (!CTX_TUNNELS || !(pkt->ingress->flags & DEVICE_UNDERLAY) || pkt->tagged ||
	    !same_address(pkt->destination, pkt->ingress->mac))
		return CONTINUE;
	room = bpf_map_lookup_elem(&scratch, &zero);
	if (!room)
		return CONTINUE;
	outer = &room->outer;
	__builtin_memset(outer, 0, sizeof(*outer));
	outer->ecn = flow_of_packet(ctx, &outer->key, pkt->network_offset, pkt->protocol);
	if (!outer->ecn || !outer_is_plain(ctx, outer, pkt->network_offset, pkt->len))
		return CONTINUE;
	vxlan = tunnel_device(&outer->header, outer->key.family, &slot);
	if (!vxlan)
		return CONTINUE;

	pkt->underlay_slot = pkt->ingress_slot;
	pkt->ingress_slot = slot;
	pkt->ingress = vxlan;
	pkt->bridge = vxlan->bridge;
	pkt->base = outer->offset + sizeof(outer->header);
	pkt->strip = false;
	verdict = parse(ctx, pkt);
	if (verdict != CONTINUE)
		return verdict;
	now = bpf_map_lookup_elem(&control, &zero);
	if (!now)
		return pass(pkt, REASON_STALE);
	outer->key.ifindex = vxlan->ifindex;
	outer->key.kind = FLOW_DECAP;
	flow = bpf_map_lookup_elem(&flows, &outer->key);
	verdict = source_vtep(pkt, &outer->key, now, flow);
	if (verdict != CONTINUE)
		return verdict;
	verdict = known_tunnel(pkt, &outer->key, now, flow, underlay);
	if (verdict != CONTINUE)
		return verdict;
	/* Its own frames, which came back. */
	if (!pkt->bridge && same_address(pkt->source, vxlan->mac))
		return pass(pkt, REASON_LOOPED);
	if (!ctx_can_decap(ctx) || !inner_is_plain(ctx, pkt->network_offset, pkt->protocol, outer->ecn & TOS_ECN) ||
	    !outer_sum_is_right(ctx, outer, vxlan->flags & DEVICE_OUTER_UNSUMMED))
		return pass(pkt, REASON_TUNNEL_EXCEPTION);
	return CONTINUE;
}

#endif
