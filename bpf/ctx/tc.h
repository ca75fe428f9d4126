/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The context layer for TC ingress (clsact or tcx): one set of ctx_* names that the stages use, see ctx/xdp.h for its
 * twin. It is the last hook before the bridge, so it stamps pulses and counts everything. */
#ifndef UNDERPASS_BPF_CTX_TC_H
#define UNDERPASS_BPF_CTX_TC_H

#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/map_defs.h"
#include "bpf/packet.h"
#include "bpf/vlan.h"

typedef struct __sk_buff ctx_t;

#define CTX_CT_LOOKUP bpf_skb_ct_lookup
/* The network namespace that the frame is in. */
#define CTX_NET(ctx) BPF_CORE_READ((const struct sk_buff *)(const void *)(ctx), dev, nd_net.net)

/* Whether frames are taken out of tunnels, and put into them: it takes members of the kernel's struct sk_buff. */
#ifdef WITH_CONNTRACK
#include "bpf/skb.h"
enum { CTX_TUNNELS = true };
#else
enum { CTX_TUNNELS = false };
#endif

enum {
	IP_HEADERS_DIFFER = 20, /* bytes by which IPv6's is longer */
	CTX_LAST_HOOK = true,
	CTX_FLOW_MARK = 0xf10e,  /* skb->tc_index of a frame that tells the witness nothing */
	TOS_PRIORITIES = 0x4620, /* ip_tos2prio: four bits for each of the upper two TOS bits that count */
};

/* In assembly, since the verifier takes no address within the context, which the compiler likes to keep. */
static __always_inline void *ctx_data(const ctx_t *ctx)
{
	void *data;

	asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(data) : "r"(ctx), "i"(offsetof(struct __sk_buff, data)));
	return data;
}

static __always_inline void *ctx_data_end(const ctx_t *ctx)
{
	void *end;

	asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(end) : "r"(ctx), "i"(offsetof(struct __sk_buff, data_end)));
	return end;
}

/* Zero, see packet_forget. */
static __always_inline __u64 ctx_nothing(const ctx_t *ctx)
{
	__u64 a, b;

	asm volatile("%0 = *(u32 *)(%2 + %3)\n%1 = *(u32 *)(%2 + %3)\n%0 -= %1"
	             : "=&r"(a), "=&r"(b)
	             : "r"(ctx), "i"(offsetof(struct __sk_buff, ifindex)));
	return a;
}

static __always_inline __u32 ctx_ifindex(const ctx_t *ctx)
{
	return ctx->ifindex;
}

/* Bytes with the Ethernet header, without a tag that lies beside them: what the kernel's own MTU check counts. */
static __always_inline __u32 ctx_len(ctx_t *ctx)
{
	return ctx->len;
}

/* Frames on the wire that this one stands for. */
static __always_inline __u32 ctx_segments(const ctx_t *ctx)
{
	return ctx->gso_segs ? ctx->gso_segs : 1;
}

/* Payload of each frame of what the kernel will segment before it leaves; 0: the frame is one. */
static __always_inline __u32 ctx_gso_size(const ctx_t *ctx)
{
	return ctx->gso_size;
}

/* The kernel has moved the outer tag beside the bytes before TC runs. */
static __always_inline bool ctx_has_offloaded_tag(const ctx_t *ctx)
{
	return ctx->vlan_present;
}

static __always_inline __be16 ctx_offloaded_protocol(const ctx_t *ctx)
{
	return ctx->vlan_proto;
}

static __always_inline __u16 ctx_offloaded_tci(const ctx_t *ctx)
{
	return ctx->vlan_tci;
}

/* The length that the kernel's bridge would hold against the MTU: a tag that it has beside the bytes does not count,
 * but one that is payload to it lies in them. */
static __always_inline __u32 ctx_egress_len(const ctx_t *ctx, const struct packet *pkt)
{
	bool payload = !pkt->base && ctx->vlan_present && !pkt->own_tag && (pkt->ingress->flags & DEVICE_VLAN_AWARE);

	return frame_len(pkt) + (payload ? TAG_LEN : 0);
}

/* The helper moves a tag behind the one that goes beside the bytes: it has to be whole. */
static __always_inline long ctx_strip_tag(ctx_t *ctx)
{
	return bpf_skb_vlan_pop(ctx);
}

static __always_inline long ctx_push_tag(ctx_t *ctx, __be16 protocol, __u16 tci)
{
	return bpf_skb_vlan_push(ctx, protocol, tci);
}

static __always_inline long ctx_replace_tag(ctx_t *ctx, __be16 protocol, __u16 tci)
{
	long result = bpf_skb_vlan_pop(ctx);

	return result ? result : bpf_skb_vlan_push(ctx, protocol, tci);
}

/* What the frame stands for is within the MTU: its IP packet, or each segment of it, and then by the device's own. */
static __always_inline bool ctx_fits(ctx_t *ctx, const struct packet *pkt, __u32 ifindex, __u32 mtu)
{
	__u32 of_device = 0;

	if (!ctx_gso_size(ctx))
		return pkt->len - pkt->network_offset <= mtu;
	return !bpf_check_mtu(ctx, ifindex, &of_device, 0, BPF_MTU_CHK_SEGS) && of_device <= mtu;
}

/* `summed`: the bytes are part of what a device's checksum is of (all behind the Ethernet header), and their sum
 * changes. */
static __always_inline long ctx_store_bytes(ctx_t *ctx, __u32 offset, const void *from, __u32 len, bool summed)
{
	return bpf_skb_store_bytes(ctx, offset, from, len, summed ? BPF_F_RECOMPUTE_CSUM : 0);
}

/* The TCP, UDP or ICMP checksum at `offset`, after a word of what it is of has changed; `pseudo`: of the pseudo header,
 * which the sum is of even where a device finishes it. A UDP packet without one keeps none. */
static __always_inline long ctx_update_sum(ctx_t *ctx, __u32 offset, __u32 from, __u32 to, bool pseudo, bool udp)
{
	return bpf_l4_csum_replace(ctx, offset, from, to,
	                           sizeof(from) | (pseudo ? BPF_F_PSEUDO_HDR : 0) | (udp ? BPF_F_MARK_MANGLED_0 : 0));
}

/* Cuts off what is behind the first `len` bytes. */
static __always_inline long ctx_trim(ctx_t *ctx, __u32 len)
{
	return bpf_skb_change_tail(ctx, len, 0);
}

#ifdef WITH_CONNTRACK

/* Whether frames can be taken out of a tunnel here. What stands for several is the VXLAN device's: the helpers leave it
 * the mark of a tunnel. */
static __always_inline bool ctx_can_decap(const ctx_t *ctx)
{
	return !ctx_gso_size(ctx);
}

static __always_inline __u8 ctx_ip_summed(const ctx_t *ctx)
{
	const struct sk_buff *skb = (const void *)ctx;

	return BPF_CORE_READ_BITFIELD_PROBED(skb, ip_summed);
}

/* Whether the kernel knows the outer UDP checksum to be right. */
static __always_inline bool ctx_is_summed(const ctx_t *ctx)
{
	__u8 summed = ctx_ip_summed(ctx);

	return summed == SKB_CHECKSUM_UNNECESSARY || summed == SKB_CHECKSUM_PARTIAL;
}

/* Of `len` bytes from `offset` on those are left that are as they will be sent; what the others will sum to: where an
 * inner checksum is finished later, its field has the complement of that by now. Mirrors lco_csum. */
static __always_inline __u32 ctx_unfinished_sum(ctx_t *ctx, __u32 offset, __u32 *len)
{
	const struct sk_buff *skb = (const void *)ctx;
	unsigned char *head = NULL, *data = NULL;
	__u16 start = 0, at = 0, field = 0;

	if (ctx_ip_summed(ctx) != SKB_CHECKSUM_PARTIAL)
		return 0;
	bpf_core_read(&head, sizeof(head), &skb->head);
	bpf_core_read(&data, sizeof(data), &skb->data);
	bpf_core_read(&start, sizeof(start), &skb->csum_start);
	bpf_core_read(&at, sizeof(at), &skb->csum_offset);
	*len = start - (__u32)(data - head) - offset;
	if (bpf_skb_load_bytes(ctx, offset + *len + at, &field, sizeof(field)))
		*len = -1;
	return (__u16)~field;
}

/* The inner frame, from pkt->base on, becomes the frame. 0: done; 1: nothing is changed; less: half is done. The helper
 * takes away what lies between the Ethernet header and the IP header, so the inner Ethernet header is set anew. It
 * keeps the kind of IP; another helper changes that, and makes room for a longer header, or takes it away. (Flags for
 * this the first one has since 6.3.) */
static __always_inline long ctx_decap(ctx_t *ctx, const struct packet *pkt)
{
	__s32 room = pkt->base;
	struct ethhdr inner ALIGNED;
	bool changes;

	if (bpf_skb_load_bytes(ctx, pkt->base, &inner, sizeof(inner)) ||
	    (inner.h_proto != bpf_htons(ETH_P_IP) && inner.h_proto != bpf_htons(ETH_P_IPV6)))
		return 1;
	changes = inner.h_proto != ctx->protocol;
	if (changes) {
		if (bpf_skb_change_proto(ctx, inner.h_proto, 0))
			return 1;
		room += inner.h_proto == bpf_htons(ETH_P_IPV6) ? IP_HEADERS_DIFFER : -IP_HEADERS_DIFFER;
	}
	if (bpf_skb_adjust_room(ctx, -room, BPF_ADJ_ROOM_MAC, 0))
		return changes ? -1 : 1;
	if (bpf_skb_store_bytes(ctx, 0, &inner, sizeof(inner), 0))
		return -1;
	/* The outer tag, that a VLAN device below the tunnel took, is still beside the bytes. */
	return ctx->vlan_present && bpf_skb_vlan_pop(ctx) ? -1 : 0;
}

/* Room for the outer headers before the frame; results as above. What stands for several becomes as many packets of a
 * tunnel without checksums. */
static __always_inline long ctx_make_room(ctx_t *ctx, bool ipv6)
{
	__u32 room = ipv6 ? VXLAN_OUTER_IPV6 : VXLAN_OUTER_IPV4;
	__u64 flags = BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH |
	              BPF_F_ADJ_ROOM_FIXED_GSO;
	struct ethhdr inner ALIGNED;

	flags |= ipv6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	if (bpf_skb_load_bytes(ctx, 0, &inner, sizeof(inner)) ||
	    bpf_skb_adjust_room(ctx, room, BPF_ADJ_ROOM_MAC, flags))
		return 1;
	/* Zeros were there, which are summed. */
	return bpf_skb_store_bytes(ctx, room, &inner, sizeof(inner), BPF_F_RECOMPUTE_CSUM);
}

#else

static __always_inline bool ctx_can_decap(const ctx_t *ctx)
{
	return false;
}

static __always_inline bool ctx_is_summed(const ctx_t *ctx)
{
	return false;
}

static __always_inline __u32 ctx_unfinished_sum(ctx_t *ctx, __u32 offset, __u32 *len)
{
	return 0;
}

static __always_inline long ctx_decap(ctx_t *ctx, const struct packet *pkt)
{
	return 1;
}

static __always_inline long ctx_make_room(ctx_t *ctx, bool ipv6)
{
	return 1;
}

#endif

/* The bridge does not take the host's own frames that were looped back. */
static __always_inline bool ctx_is_looped(const ctx_t *ctx)
{
	return ctx->pkt_type == PACKET_LOOPBACK;
}

static __always_inline long ctx_load_bytes(ctx_t *ctx, __u32 offset, void *to, __u32 len)
{
	return bpf_skb_load_bytes(ctx, offset, to, len);
}

/* Others on this hook go on: TCX_NEXT and TC_ACT_UNSPEC are the same number. */
static __always_inline int ctx_pass(void)
{
	return TC_ACT_UNSPEC;
}

static __always_inline int ctx_drop(void)
{
	return TC_ACT_SHOT;
}

/* The kernel's own means are for all of a frame. */
static __always_inline bool ctx_is_in_pieces(ctx_t *ctx, const struct packet *pkt)
{
	return false;
}

/* A redirect by TC reaches every device. */
static __always_inline bool ctx_is_reachable(ctx_t *ctx, const struct packet *pkt)
{
	return true;
}

/* Routed, it has a priority by its TOS, as ip_forward sets it (rt_tos2priority). And where there is a witness at the
 * egress, it is not to take the frame for one that the kernel has sent. */
static __always_inline void ctx_mark(ctx_t *ctx, const struct packet *pkt)
{
	if (pkt->routed && pkt->protocol == bpf_htons(ETH_P_IP))
		ctx->priority = TOS_PRIORITIES >> (pkt->tos >> 3 & 3) * 4 & 0xf;
	/* What leaves by the device below a VLAN device passes by its witness. */
	if ((pkt->encap || !pkt->routed || !pkt->bridge) && pkt->egress->out == pkt->egress->ifindex)
		ctx->tc_index = CTX_FLOW_MARK;
}

/* Sends the frame out of pkt->egress. Towards a peer the packet type was judged against this device's address, and
 * nothing judges it again there, so it is set to what the peer would have found: the frame is for its own address. Mark
 * and priority do not leave the namespace (____dev_forward_skb, skb_scrub_packet). */
static __always_inline int ctx_forward(ctx_t *ctx, const struct packet *pkt)
{
	if (!pkt->egress_peer) {
		if (pkt->flow || pkt->encap)
			ctx_mark(ctx, pkt);
		return bpf_redirect(pkt->egress->out, 0);
	}
	if (ctx->pkt_type != PACKET_HOST && bpf_skb_change_type(ctx, PACKET_HOST))
		return pkt->rewritten ? ctx_drop() : ctx_pass();
	ctx->mark = 0;
	ctx->priority = 0;
	return bpf_redirect_peer(pkt->egress->ifindex, 0);
}

/* Of a frame that passes. (Another namespace may have left its mark.) Not inline: the compiler would share the member's
 * address with other stores to it, and the verifier wants an offset from the context. */
static __noinline int ctx_show_to_witness(ctx_t *ctx, bool shown)
{
	if (!shown)
		ctx->tc_index = CTX_FLOW_MARK;
	else if (ctx->tc_index == CTX_FLOW_MARK)
		ctx->tc_index = 0;
	return 0;
}

static __always_inline bool ctx_was_forwarded(int action)
{
	return action == TC_ACT_REDIRECT;
}

#endif
