/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* VXLAN packets (RFC 7348): their headers, and which device and VTEP they are of. */
#ifndef UNDERPASS_BPF_TUNNEL_H
#define UNDERPASS_BPF_TUNNEL_H

#include <stdbool.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#include "bpf/bytes.h"
#include "bpf/device.h"
#include "bpf/flow.h"
#include "bpf/map_defs.h"
#include "bpf/memo.h"

enum {
	VXLAN_FLAGS = 0x08000000, /* the VNI is valid, and nothing else */
	VNI_SHIFT = 8,
	IPV4_DONT_FRAGMENT = 0x4000,
	IPV6_LABEL = 0x000fffff,
	TCP_DOFF_BYTE = 12, /* a bit field in struct tcphdr */
	/* Of a frame whose outer IPv4 header can tell the length. */
	LONGEST_IN_TUNNEL = 0xffff - (VXLAN_OUTER_IPV4 - ETH_HLEN),
};

/* Of the longest frame that one of the flow, which begins at `base` and is to be segmented, will be cut into; 0: not
 * known. */
static __always_inline __u32 segment_len(ctx_t *ctx, const struct flow_key *key, __u32 base)
{
	__u32 transport = ETH_HLEN + (key->family == FLOW_AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	__u8 offset;

	if (key->protocol != IPPROTO_TCP || !load_bytes(ctx, base + transport + TCP_DOFF_BYTE, &offset, 1))
		return 0;
	return transport + (offset >> 4) * 4 + ctx_gso_size(ctx);
}

/* The record of the VXLAN device that takes such packets; null: none does. */
static __always_inline struct device *tunnel_device(const struct tunnel_header *header, __u16 family, __u32 *slot)
{
	struct tunnel_key key = {
	    .vni = bpf_ntohl(header->vxlan.vni) >> VNI_SHIFT, .port = header->udp.dest, .family = family};
	__u32 *found;
	struct device *device;

	found = bpf_map_lookup_elem(&tunnels, &key);
	if (!found)
		return NULL;
	*slot = *found;
	device = bpf_map_lookup_elem(&devices, slot);
	/* The slot may be another's by now. */
	return device && (device->flags & DEVICE_VXLAN) &&
	               !(device->flags & DEVICE_OUTER_IPV6) == (family == FLOW_AF_INET)
	           ? device
	           : NULL;
}

/* Null: the VXLAN device has no entry for the address. */
static __always_inline struct vtep *vtep_find(__u32 ifindex, const __u8 *mac)
{
	struct fdb_key key = {.bridge = ifindex};

	copy_address(key.mac, mac);
	return bpf_map_lookup_elem(&vteps, &key);
}

/* As flow->behind has it: one word, since several CPUs write it. Until the generation comes round to the same 16 bits
 * the flow has long been asked anew. */
static __always_inline __u64 behind_word(const struct control *now, const __u8 *mac)
{
	const any_u16 *parts = (const any_u16 *)mac;

	return (__u64) * (const volatile __u32 *)&now->fdb_generation << 48 | (__u64)parts[2] << 32 |
	       (__u64)parts[1] << 16 | parts[0];
}

/* From here on the VTEP's entry is read: not before the generation was, on any machine. */
static __always_inline void behind_begin(struct flow *flow)
{
	__sync_val_compare_and_swap(&flow->behind, 0, 0);
}

static __always_inline void vtep_distrust(struct vtep *vtep)
{
	if (vtep->fixed || vtep->distrusted)
		return;
	vtep->distrusted = true;
	memos_forget();
}

static __always_inline bool vtep_is_certain(const struct vtep *vtep)
{
	return vtep->fixed || vtep->shown_ns;
}

#endif
