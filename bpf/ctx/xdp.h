/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The context layer for XDP: one set of ctx_* names that the stages use, see ctx/tc.h for its twin.
 *
 * XDP stands before TC on the same device: what it does not forward, the TC program there sees next. So it neither
 * stamps pulses nor counts what it passes; the last hook does. */
#ifndef UNDERPASS_BPF_CTX_XDP_H
#define UNDERPASS_BPF_CTX_XDP_H

#include <linux/bpf.h>
#include <linux/if_vlan.h>
#include <bpf/bpf_helpers.h>

#include "bpf/map_defs.h"
#include "bpf/packet.h"

typedef struct xdp_md ctx_t;

enum { CTX_LAST_HOOK = false };

static __always_inline void *ctx_data(const ctx_t *ctx)
{
	return (void *)(long)ctx->data;
}

static __always_inline void *ctx_data_end(const ctx_t *ctx)
{
	return (void *)(long)ctx->data_end;
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

/* True for what the kernel will segment before it leaves: its length says nothing about its frames'. */
static __always_inline bool ctx_is_gso(const ctx_t *ctx)
{
	return false;
}

/* True where a VLAN tag lies beside the bytes. The driver may have stripped one, but then XDP cannot know: the rules
 * do not plan XDP on such a device. */
static __always_inline bool ctx_has_offloaded_tag(const ctx_t *ctx)
{
	return false;
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

/* Sends the frame out of pkt->egress, or passes it where no redirect can reach that device. */
static __always_inline int ctx_forward(ctx_t *ctx, const struct packet *pkt)
{
	return bpf_redirect_map(&tx_ports, pkt->egress_slot, XDP_PASS);
}

static __always_inline bool ctx_was_forwarded(int action)
{
	return action == XDP_REDIRECT;
}

#endif
