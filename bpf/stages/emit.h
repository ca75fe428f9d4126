/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* emit: a verdict becomes the hook's action, and the frame is counted with its reason. Counting never decides.
 *
 * In: the verdict and its reason; for FORWARD, pkt->egress. A forward that the hook cannot do becomes a pass, or
 * a drop if the frame was rewritten for it. */
#ifndef UNDERPASS_BPF_STAGES_EMIT_H
#define UNDERPASS_BPF_STAGES_EMIT_H

#include "bpf/hook.h"
#include "bpf/map_defs.h"
#include "bpf/packet.h"

static __always_inline enum reason reason_of_forward(const struct packet *pkt)
{
	if (pkt->encap)
		return REASON_ENCAPSULATED;
	if (pkt->underlay_slot)
		return REASON_DECAPSULATED;
	if (!pkt->routed)
		return pkt->flow ? REASON_BRIDGED_FLOW : REASON_FORWARDED;
	if (pkt->translated)
		return REASON_TRANSLATED;
	return pkt->connection ? REASON_ROUTED_CONNECTION : REASON_ROUTED;
}

/* Of a port of a VLAN-aware bridge: by VID too. */
static __always_inline void count_vlan(const struct packet *pkt)
{
	struct vlan_count_key key = {.slot = pkt->ingress_slot, .vid = pkt->vid};
	struct vlan_counters *of_vlan = bpf_map_lookup_elem(&vlan_counters, &key);

	if (!of_vlan) {
		struct vlan_counters none = {};

		/* A full map counts no more VLANs. */
		bpf_map_update_elem(&vlan_counters, &key, &none, BPF_NOEXIST);
		of_vlan = bpf_map_lookup_elem(&vlan_counters, &key);
		if (!of_vlan)
			return;
	}

	struct counter *counter = reason_is_fast(pkt->reason) ? &of_vlan->fast : &of_vlan->slow;

	counter->packets += pkt->segments;
	counter->bytes += frame_len(pkt);
}

/* What passes with its tunnel's headers came in by the device below: the VXLAN device's program counts it again. */
static __always_inline void count(const struct packet *pkt)
{
	bool outer = pkt->underlay_slot && !reason_is_fast(pkt->reason);
	__u32 slot = outer ? pkt->underlay_slot : pkt->ingress_slot;
	struct device_counters *of_device = bpf_map_lookup_elem(&counters, &slot);

	if (!of_device || pkt->reason >= REASON_COUNT)
		return;
	of_device->by_reason[pkt->reason].packets += pkt->segments;
	of_device->by_reason[pkt->reason].bytes += outer ? pkt->len + pkt->trim : frame_len(pkt);
	if (pkt->rights && !outer)
		count_vlan(pkt);
}

/* Of its flow: a frame that the kernel routes has to be seen to leave. */
static __always_inline void count_flow(const struct packet *pkt, struct flow *flow, bool fast)
{
	if (fast) {
		flow->packets += pkt->segments;
		flow->bytes += frame_len(pkt);
	} else if (is_last_hook(pkt) && pkt->reason != REASON_REWRITE_FAILED) {
		__sync_fetch_and_add(&flow->asked, 1);
	}
}

/* What passes without its flow having been told of it (trimmed by br_netfilter, a pulse of its source) is no answer to
 * what was asked. A bridge, or a VLAN device on it, sees again what its port has spoken of. */
static __always_inline void tell_witness(ctx_t *ctx, const struct packet *pkt)
{
	if (pkt->ingress && (pkt->ingress->flags & (DEVICE_ROUTED | DEVICE_RULED)) &&
	    !(pkt->ingress->flags & DEVICE_BRIDGE))
		ctx_show_to_witness(ctx, pkt->flow || pkt->reason == REASON_FLOW_ASKED);
}

static __always_inline int emit(ctx_t *ctx, struct packet *pkt, enum verdict verdict)
{
	int action = verdict == FORWARD ? ctx_forward(ctx, pkt) : verdict == DROP ? ctx_drop() : ctx_pass();

	if (verdict == FORWARD && ctx_was_forwarded(action))
		pkt->reason = reason_of_forward(pkt);
	else if (verdict == FORWARD)
		pkt->reason = pkt->rewritten ? REASON_REWRITE_FAILED : REASON_EGRESS_NOT_READY;
	/* What passes is counted by the last hook. */
	if (CTX_LAST_HOOK || reason_is_fast(pkt->reason) || pkt->reason == REASON_REWRITE_FAILED)
		count(pkt);
	if (pkt->flow)
		count_flow(pkt, pkt->flow, reason_is_fast(pkt->reason));
	if (pkt->tunnel)
		count_flow(pkt, pkt->tunnel, reason_is_fast(pkt->reason));
	if (verdict == PASS && is_last_hook(pkt))
		tell_witness(ctx, pkt);
	return action;
}

#endif
