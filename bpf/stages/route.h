/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* route: is the frame for the router, and was the kernel seen to route its flow? Then it takes the same way. Where
 * rules see it, that has to be a connection that conntrack has, and has accepted. What is bridged and seen by rules is
 * such a flow, too.
 *
 * In: a unicast frame that came in by a port of a bridge, or by a device of its own. Out: pkt->flow, and of a frame
 * that is routed the MACs that it leaves with, whether it is translated, and pkt->egress or, if that is a bridge,
 * pkt->bridge for the next stage. What the kernel looks at frame by frame (TTL, lengths, options, fragments) is looked
 * at here; all else the flow's entry stands for, see maps/flow.h. Mirrors ip_rcv_core, ip_forward and ip6_forward. */
#ifndef UNDERPASS_BPF_STAGES_ROUTE_H
#define UNDERPASS_BPF_STAGES_ROUTE_H

#include "bpf/csum.h"
#include "bpf/device.h"
#include "bpf/flow.h"
#include "bpf/hook.h"
#include "bpf/map_defs.h"
#include "bpf/packet.h"
#include "bpf/recheck.h"
#include "bpf/vlan.h"

/* The device that the kernel routes the frame from; 0: it is not for the router. Of a VLAN-aware bridge each VLAN leads
 * to another one, or to none: to the bridge itself, or to a VLAN device on it. */
static __always_inline __u32 router_of(const struct packet *pkt)
{
	struct vlan_upper_key key = {.ifindex = pkt->bridge, .protocol = pkt->ingress->vlan_protocol, .vid = pkt->vid};
	const struct device *router;
	__u32 *slot;

	if (!(pkt->ingress->flags & DEVICE_ROUTED) || !same_address(pkt->destination, pkt->ingress->mac))
		return 0;
	if (!(pkt->ingress->flags & DEVICE_VLAN_AWARE))
		return pkt->bridge ?: pkt->ingress->ifindex;
	slot = bpf_map_lookup_elem(&vlan_uppers, &key);
	router = slot ? bpf_map_lookup_elem(&devices, slot) : NULL;
	/* The slot may be another's by now. */
	if (!router || !(router->flags & DEVICE_BRIDGE) || router->bridge != pkt->bridge ||
	    (router->ifindex != pkt->bridge && router->vid != pkt->vid))
		return 0;
	return router->ifindex;
}

/* The packet's facts, and its flow; false: the kernel has more to do with it than to route it. */
static __always_inline bool routable(ctx_t *ctx, struct packet *pkt, struct flow_key *key)
{
	__u32 offset = pkt->network_offset;
	__u32 end;

	if (pkt->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (!load_bytes(ctx, offset, &ip, sizeof(ip)) || !flow_of_ipv4(ctx, offset, &ip, key))
			return false;
		end = offset + bpf_ntohs(ip.tot_len);
		if ((pkt->routed && ip.ttl <= 1) || !csum_is_valid(&ip, sizeof(ip)))
			return false;
		ip.check = csum_of_lower_ttl(ip.check);
		ip.ttl--;
		__builtin_memcpy(&pkt->hop, &ip.ttl, sizeof(pkt->hop));
	} else if (pkt->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		if (!load_bytes(ctx, offset, &ip, sizeof(ip)) || !flow_of_ipv6(ctx, offset, &ip, key))
			return false;
		end = offset + sizeof(ip) + bpf_ntohs(ip.payload_len);
		if (pkt->routed && ip.hop_limit <= 1)
			return false;
		ip.hop_limit--;
		__builtin_memcpy(&pkt->hop, &ip.payload_len, sizeof(pkt->hop));
	} else {
		return false;
	}
	/* An IPv4 packet may claim to end within its header. */
	if (end > pkt->len || end < offset + sizeof(struct iphdr) || (end < pkt->len && ctx_gso_size(ctx)))
		return false;
	pkt->trim = pkt->len - end;
	pkt->len = end;
	pkt->tos = key->tos;
	pkt->transport = key->protocol;
	return true;
}

/* The frame passes to show how the kernel routes its flow. Behind XDP the TC program sees it again, and asks. */
static __always_inline enum verdict ask(struct packet *pkt, struct flow_key *key, struct flow *flow,
                                        const struct control *now)
{
	if (!is_last_hook(pkt) || pkt->now_ns - now->changed_ns < FLOW_SETTLE_NS)
		return pass(pkt, REASON_FLOW_ASKED);
	if (!flow)
		flow = flow_begin(key, pkt->now_ns);
	if (flow)
		flow_ask(flow, pkt->now_ns, now->generation, 1);
	return pass(pkt, REASON_FLOW_ASKED);
}

/* The device that the flow leaves by. A bridge only says by which FDB it goes on. */
static __always_inline enum verdict leave_by(struct packet *pkt, __u32 ifindex)
{
	__u32 wanted = DEVICE_ROUTED | DEVICE_EGRESS | DEVICE_FORWARDING;

	pkt->egress = device_find(ifindex, &pkt->egress_slot);
	if (!pkt->egress || (pkt->egress->flags & wanted) != wanted)
		return pass(pkt, REASON_EGRESS_NOT_READY);
	pkt->bridge = pkt->egress->flags & DEVICE_BRIDGE ? pkt->egress->bridge : 0;
	pkt->out_vid = pkt->egress->flags & DEVICE_VLAN_AWARE ? pkt->egress->vid : 0;
	return CONTINUE;
}

/* Of a frame that is bridged. The netfilter stage has found it plain. */
static __always_inline bool is_seen_by_rules(const struct packet *pkt)
{
	__u32 flags = pkt->ingress->flags;

	if (!(flags & DEVICE_RULED) || pkt->tagged)
		return false;
	return pkt->protocol == bpf_htons(ETH_P_IP)
	           ? flags & DEVICE_BRNF_IPV4
	           : pkt->protocol == bpf_htons(ETH_P_IPV6) && (flags & DEVICE_BRNF_IPV6);
}

/* By the FDB, which the next stage looks into. Rules may see its addresses; and bridged frames that are translated are
 * the kernel's. */
static __always_inline enum verdict go_on_bridged(struct packet *pkt)
{
	const struct flow *flow = pkt->flow;

	if ((flow->out.flags & FLOW_TRANSLATED) || !same_address(pkt->destination, flow->destination) ||
	    !same_address(pkt->source, flow->source))
		return pass(pkt, REASON_ROUTE_CHANGED);
	return CONTINUE;
}

static __always_inline enum verdict route(ctx_t *ctx, struct packet *pkt)
{
	__u32 zero = 0, router = router_of(pkt);
	const struct control *now = bpf_map_lookup_elem(&control, &zero);
	struct scratch *room = bpf_map_lookup_elem(&scratch, &zero);
	struct flow_key *key;
	struct flow *flow;
	enum verdict verdict;
	bool tracked;

	pkt->routed = router != 0;
	if (pkt->routed) {
		pkt->strip |= pkt->own_tag;
	} else {
		if (!pkt->bridge)
			return pass(pkt, REASON_TO_HOST);
		if (!is_seen_by_rules(pkt))
			return CONTINUE;
		router = pkt->ingress->ifindex;
	}
	if (!now || !room)
		return pass(pkt, REASON_STALE);
	key = &room->key;
	__builtin_memset(key, 0, sizeof(*key));
	key->ifindex = router;
	/* A tag that stays names a VLAN device. */
	if ((pkt->tagged && !pkt->strip) || !routable(ctx, pkt, key))
		return pass(pkt, REASON_ROUTE_EXCEPTION);
	flow = bpf_map_lookup_elem(&flows, key);
	tracked = is_tracked(now, key);
	if (tracked) {
		verdict = transport(ctx, pkt, key, flow);
		if (verdict != CONTINUE)
			return verdict;
	}
	if (!flow || flow->generation != now->generation || pkt->now_ns - flow->asked_ns >= FLOW_PULSE_NS)
		return ask(pkt, key, flow, now);
	pkt->flow = flow;
	if (flow->asked != flow->answered)
		return pass(pkt, REASON_FLOW_UNANSWERED);
	/* Back to where it came from: the kernel may tell its source of the better way. */
	if (flow->egress == key->ifindex)
		return pass(pkt, REASON_ROUTE_EXCEPTION);
	/* Frames that were passed may still wait behind this hook, or in the queue of the port. */
	pkt->overtakes |= pkt->now_ns - flow->asked_ns < OVERTAKING_NS;
	if (!is_last_hook(pkt) && pkt->overtakes)
		return pass(pkt, REASON_FLOW_ASKED);
	verdict = check(ctx, pkt, key, flow, tracked);
	if (verdict != CONTINUE)
		return verdict;
	if (!pkt->routed)
		return go_on_bridged(pkt);
	if (!ctx_fits(ctx, pkt, flow->egress, flow->mtu))
		return pass(pkt, REASON_TOO_BIG);
	copy_address(pkt->destination, flow->destination);
	copy_address(pkt->source, flow->source);
	pkt->connection = tracked;
	pkt->translated = flow->out.flags & FLOW_TRANSLATED;
	return leave_by(pkt, flow->egress);
}

#endif
