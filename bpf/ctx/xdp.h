/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The context layer for XDP: one set of ctx_* names that the stages use, see ctx/tc.h for its twin.
 *
 * XDP stands before TC on the same device: what it does not forward, the TC program there sees next. So it neither
 * stamps pulses nor counts what it passes; the last hook does. */
#ifndef UNDERPASS_BPF_CTX_XDP_H
#define UNDERPASS_BPF_CTX_XDP_H

#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_vlan.h>
#include <bpf/bpf_helpers.h>

#include "bpf/csum.h"
#include "bpf/map_defs.h"
#include "bpf/packet.h"
#include "bpf/vlan.h"

typedef struct xdp_md ctx_t;

#define CTX_CT_LOOKUP bpf_xdp_ct_lookup
#define CTX_NET(ctx) BPF_CORE_READ((const struct xdp_buff *)(const void *)(ctx), rxq, dev, nd_net.net)

enum {
	CTX_LAST_HOOK = false,
	CTX_TUNNELS = true, /* frames are taken out of tunnels, and put into them */
};

static __always_inline void *ctx_data(const ctx_t *ctx)
{
	return (void *)(long)ctx->data;
}

static __always_inline void *ctx_data_end(const ctx_t *ctx)
{
	return (void *)(long)ctx->data_end;
}

/* Zero, see packet_forget. */
static __always_inline __u64 ctx_nothing(const ctx_t *ctx)
{
	__u64 a, b;

	asm volatile("%0 = *(u32 *)(%2 + %3)\n%1 = *(u32 *)(%2 + %3)\n%0 -= %1"
	             : "=&r"(a), "=&r"(b)
	             : "r"(ctx), "i"(offsetof(struct xdp_md, ingress_ifindex)));
	return a;
}

static __always_inline __u32 ctx_ifindex(const ctx_t *ctx)
{
	return ctx->ingress_ifindex;
}

/* Bytes on the wire, the Ethernet header and a tag in the bytes included. */
static __always_inline __u32 ctx_len(ctx_t *ctx)
{
	return bpf_xdp_get_buff_len(ctx);
}

/* Frames on the wire that this one stands for. */
static __always_inline __u32 ctx_segments(const ctx_t *ctx)
{
	return 1;
}

/* A frame is one. */
static __always_inline __u32 ctx_gso_size(const ctx_t *ctx)
{
	return 0;
}

/* True where a VLAN tag lies beside the bytes. The driver may have stripped one, but then XDP cannot know: the rules
 * do not plan XDP on such a device. */
static __always_inline bool ctx_has_offloaded_tag(const ctx_t *ctx)
{
	return false;
}

static __always_inline __be16 ctx_offloaded_protocol(const ctx_t *ctx)
{
	return 0;
}

static __always_inline __u16 ctx_offloaded_tci(const ctx_t *ctx)
{
	return 0;
}

/* A redirect loses in silence what is longer, on the wire, than the MTU of the egress device and a tag. */
static __always_inline __u32 ctx_egress_len(const ctx_t *ctx, const struct packet *pkt)
{
	return frame_len(pkt) - (pkt->strip ? TAG_LEN : 0) + (pkt->push ? TAG_LEN : 0);
}

/* The addresses before the tag. */
struct addresses {
	__u8 bytes[2 * ETH_ADDR_LEN];
} ALIGNED;

static __always_inline long ctx_strip_tag(ctx_t *ctx)
{
	struct addresses addresses, *at = ctx_data(ctx);

	if ((void *)(at + 1) > ctx_data_end(ctx))
		return -1;
	addresses = *at;
	if (bpf_xdp_adjust_head(ctx, TAG_LEN))
		return -1;
	at = ctx_data(ctx);
	if ((void *)(at + 1) > ctx_data_end(ctx))
		return -1;
	*at = addresses;
	return 0;
}

static __always_inline long ctx_replace_tag(ctx_t *ctx, __be16 protocol, __u16 tci)
{
	struct vlan_tag *tag = ctx_data(ctx) + sizeof(struct addresses);

	if ((void *)(tag + 1) > ctx_data_end(ctx))
		return -1;
	tag->protocol = protocol;
	tag->tci = bpf_htons(tci);
	return 0;
}

static __always_inline long ctx_push_tag(ctx_t *ctx, __be16 protocol, __u16 tci)
{
	struct addresses addresses, *to;

	if (bpf_xdp_adjust_head(ctx, -TAG_LEN))
		return -1;
	to = ctx_data(ctx);
	/* Cannot be: there was more before. */
	if ((void *)to + TAG_LEN + sizeof(addresses) > ctx_data_end(ctx))
		return -1;
	copy_bytes(&addresses, (void *)to + TAG_LEN, sizeof(addresses));
	*to = addresses;
	return ctx_replace_tag(ctx, protocol, tci);
}

/* The frame's IP packet is within the MTU. */
static __always_inline bool ctx_fits(ctx_t *ctx, const struct packet *pkt, __u32 ifindex, __u32 mtu)
{
	return pkt->len - pkt->network_offset <= mtu;
}

/* `offset` is less than 256. */
static __always_inline long ctx_store_bytes(ctx_t *ctx, __u32 offset, const void *from, __u32 len, bool summed)
{
	__u64 bounded = offset;

	asm volatile("%0 &= 0xff" : "+r"(bounded)); /* see load_bytes */

	void *to = ctx_data(ctx) + bounded;

	if (to + len > ctx_data_end(ctx))
		return bpf_xdp_store_bytes(ctx, offset, (void *)from, len);
	copy_bytes(to, from, len);
	return 0;
}

/* The TCP, UDP or ICMP checksum at `offset`, after a word of what it is of has changed. A UDP packet without one keeps
 * none.
 */
static __always_inline long ctx_update_sum(ctx_t *ctx, __u32 offset, __u32 from, __u32 to, bool pseudo, bool udp)
{
	__u64 bounded = offset;
	__u16 *check;

	asm volatile("%0 &= 0xff" : "+r"(bounded)); /* see load_bytes */
	check = ctx_data(ctx) + bounded;
	if ((void *)(check + 1) > ctx_data_end(ctx))
		return -1;
	if (udp && !*check)
		return 0;
	*check = csum_of_changed(*check, from, to);
	if (udp && !*check)
		*check = 0xffff;
	return 0;
}

/* Cuts off what is behind the first `len` bytes. */
static __always_inline long ctx_trim(ctx_t *ctx, __u32 len)
{
	return bpf_xdp_adjust_tail(ctx, (int)len - (int)ctx_len(ctx));
}

/* Whether frames can be taken out of a tunnel here; whether the kernel knows the outer UDP checksum to be right. */
static __always_inline bool ctx_can_decap(const ctx_t *ctx)
{
	return true;
}

static __always_inline bool ctx_is_summed(const ctx_t *ctx)
{
	return false;
}

/* Of `len` bytes from `offset` on those are left that are as they will be sent; what the others will sum to. */
static __always_inline __u32 ctx_unfinished_sum(const ctx_t *ctx, __u32 offset, __u32 *len)
{
	return 0;
}

/* The inner frame, from pkt->base on, becomes the frame. 0: done; 1: nothing is changed; less: half is done. */
static __always_inline long ctx_decap(ctx_t *ctx, const struct packet *pkt)
{
	return bpf_xdp_adjust_head(ctx, (int)pkt->base) ? 1 : 0;
}

/* Room for the outer headers before the frame; results as above. */
static __always_inline long ctx_make_room(ctx_t *ctx, bool ipv6)
{
	return bpf_xdp_adjust_head(ctx, ipv6 ? -VXLAN_OUTER_IPV6 : -VXLAN_OUTER_IPV4) ? 1 : 0;
}

static __always_inline bool ctx_is_looped(const ctx_t *ctx)
{
	return false;
}

static __always_inline long ctx_load_bytes(ctx_t *ctx, __u32 offset, void *to, __u32 len)
{
	return bpf_xdp_load_bytes(ctx, offset, to, len);
}

static __always_inline int ctx_pass(void)
{
	return XDP_PASS;
}

static __always_inline int ctx_drop(void)
{
	return XDP_DROP;
}

/* As it came in: whether it lies in several buffers. The device it goes to may take none such. */
static __always_inline bool ctx_is_in_pieces(ctx_t *ctx, const struct packet *pkt)
{
	__u64 len = pkt->len + pkt->trim;

	asm volatile("%0 &= 0x1ffff" : "+r"(len)); /* see load_bytes */
	return ctx_data(ctx) + len > ctx_data_end(ctx);
}

static __always_inline bool ctx_takes_it(ctx_t *ctx, const struct packet *pkt)
{
	return !ctx_is_in_pieces(ctx, pkt) || (pkt->egress && (pkt->egress->flags & DEVICE_XDP_FRAGS));
}

static __always_inline bool ctx_is_reachable(ctx_t *ctx, const struct packet *pkt)
{
	return ctx_takes_it(ctx, pkt) && bpf_map_lookup_elem(&tx_ports, &pkt->egress_slot) != NULL;
}

/* Sends the frame out of pkt->egress, or passes it where no redirect can reach that device. */
static __always_inline int ctx_forward(ctx_t *ctx, const struct packet *pkt)
{
	if (!pkt->rewritten && !ctx_takes_it(ctx, pkt))
		return XDP_PASS;
	return bpf_redirect_map(&tx_ports, pkt->egress_slot, pkt->rewritten ? XDP_DROP : XDP_PASS);
}

/* The TC program sees it again. */
static __always_inline void ctx_show_to_witness(ctx_t *ctx, bool shown)
{
}

static __always_inline bool ctx_was_forwarded(int action)
{
	return action == XDP_REDIRECT;
}

#endif
