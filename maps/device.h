/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a network device is to the fast path, and what it may do there.
 *
 * Found in two steps, both plain array reads: device_index[ifindex % DEVICE_INDEX_SIZE] gives a slot, devices[slot]
 * the record, whose ifindex must be the one asked for (two devices may share an index place; the rules then leave the
 * later one to the kernel).
 *
 * `flags` is the gate: a record with flags 0 is not ours. Whoever changes what a slot stands for clears the flags
 * first, lets running programs finish, writes the rest, and sets the flags last. */
#ifndef UNDERPASS_MAPS_DEVICE_H
#define UNDERPASS_MAPS_DEVICE_H

#include "maps/abi.h"

enum device_flags {
	DEVICE_PRESENT = 1 << 0,      /* a port of an accelerated bridge: source addresses are watched here */
	DEVICE_INGRESS = 1 << 1,      /* frames that come in here may go fast (not "left to the kernel") */
	DEVICE_EGRESS = 1 << 2,       /* frames may be sent out of here by a redirect */
	DEVICE_FORWARDING = 1 << 3,   /* STP state is forwarding, device and carrier are up */
	DEVICE_LEARNS = 1 << 4,       /* the kernel learns source addresses here (state and port flag) */
	DEVICE_ISOLATED = 1 << 5,     /* no frames to another isolated port */
	DEVICE_VLAN_UPPERS = 1 << 6,  /* VLAN devices may sit on it and take tagged frames before the bridge */
	DEVICE_BRNF_IPV4 = 1 << 7,    /* br_netfilter validates IPv4 frames bridged from here */
	DEVICE_BRNF_IPV6 = 1 << 8,    /* likewise IPv6 */
	DEVICE_VLAN_AWARE = 1 << 9,   /* a port of a bridge with VLAN filtering: port_vlans tells what it may do */
	DEVICE_VLAN_DEVICE = 1 << 10, /* a VLAN device: its frames come and go by `out`, tagged there */
	DEVICE_TRUNK = 1 << 11,       /* VLAN devices on it are ports: vlan_uppers has them */
	DEVICE_ROUTED = 1 << 12,      /* frames to `mac` that come in by it may be routed; of a bridge: by its ports */
	DEVICE_BRIDGE = 1 << 13,      /* a bridge: what is routed out of it goes by its FDB */
	DEVICE_RULED = 1 << 14,       /* br_netfilter shows rules what goes from it to another port of its bridge */
	DEVICE_UNDERLAY = 1 << 15,    /* VXLAN packets may be taken from their tunnel as they come in, and leave here */
	DEVICE_VXLAN = 1 << 16,       /* a VXLAN device: frames come in by it through a tunnel */
	DEVICE_ENCAP = 1 << 17,       /* ... and frames for it may be put into the tunnel */
	DEVICE_VTEP_LEARNS = 1 << 18, /* ... and it learns behind which VTEP a source is */
	DEVICE_OUTER_IPV6 = 1 << 19,  /* ... and the tunnel is IPv6 */
	DEVICE_OUTER_UNSUMMED = 1 << 20, /* ... which takes packets without a UDP checksum (IPv4 ones always do) */
	DEVICE_XDP_FRAGS = 1 << 21, /* takes frames of several buffers from an XDP redirect, which else loses them */
};

struct device {
	__u32 ifindex;
	__u32 flags;    /* enum device_flags */
	__u32 bridge;   /* ifindex of the bridge that it is a port of; 0: of none, but a VLAN device on it is */
	__u32 max_len;  /* longest frame it may send, in bytes with the Ethernet header */
	__u64 pulse_ns; /* each source address passes one frame to the kernel in this while */
	__u32 out;      /* ifindex of the device that its frames leave by: itself, or what a VLAN device sits on */
	__u16 vid;      /* of a VLAN-aware bridge's port: the PVID, 0 if it has none; of a VLAN device: its VLAN */
	__be16 vlan_protocol;   /* of the tags that the bridge, or the VLAN device, goes by: 802.1Q or 802.1ad */
	__u8 mac[ETH_ADDR_LEN]; /* the address of the router: the device's own, or its bridge's */
	__u8 reserved[2];
};
UNDERPASS_SIZE(struct device, 40);

#endif
