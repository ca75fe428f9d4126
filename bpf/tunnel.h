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

enum {
	VXLAN_FLAGS = 0x08000000, /* the VNI is valid, and nothing else */
	VNI_SHIFT = 8,
	IPV4_DONT_FRAGMENT = 0x4000,
	IPV6_LABEL = 0x000fffff,
};

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

static __always_inline bool vtep_is_certain(const struct vtep *vtep)
{
	return vtep->fixed || vtep->shown_ns;
}

#endif
