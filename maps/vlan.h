/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* VLANs: what each port of a VLAN-aware bridge may do in each VLAN, and which VLAN devices are ports.
 *
 * The rights of a port lie packed, four bits a VID: the change of one VLAN is one store of a word, so no frame ever
 * meets half of it. A slot's rights are written before its record in `devices`. */
#ifndef UNDERPASS_MAPS_VLAN_H
#define UNDERPASS_MAPS_VLAN_H

#include "maps/abi.h"
#include "maps/counters.h"

enum {
	VLAN_VIDS = 4096,
	VLAN_VIDS_PER_WORD = 16,
	VLAN_WORDS = VLAN_VIDS / VLAN_VIDS_PER_WORD,
	VLAN_BITS_PER_VID = 4,
};

enum vlan_rights {
	VLAN_FORWARD = 1 << 0,  /* a member, in the forwarding state, with nothing that the rules do not know */
	VLAN_LEARNS = 1 << 1,   /* a member where the kernel learns source addresses */
	VLAN_UNTAGGED = 1 << 2, /* frames leave without the tag */
	VLAN_UPPER = 1 << 3,    /* a VLAN device on the port takes frames that come in with this tag */
};

struct port_vlans {
	__u64 word[VLAN_WORDS]; /* of a VID: word[vid / 16] >> vid % 16 * 4 & 15 */
};
UNDERPASS_SIZE(struct port_vlans, 2048);

/* The VLAN device that takes tagged frames from another device before anything else on it does. */
struct vlan_upper_key {
	__u32 ifindex;   /* of the device below */
	__be16 protocol; /* 802.1Q or 802.1ad */
	__u16 vid;       /* host order */
};
UNDERPASS_SIZE(struct vlan_upper_key, 8);
UNDERPASS_KEY(struct vlan_upper_key);

/* Frames that came in by a port of a VLAN-aware bridge, by the VID that they were in there. Made by the first one. */
struct vlan_count_key {
	__u32 slot;
	__u32 vid;
};
UNDERPASS_SIZE(struct vlan_count_key, 8);
UNDERPASS_KEY(struct vlan_count_key);

struct vlan_counters {
	struct counter fast;
	struct counter slow;
};
UNDERPASS_SIZE(struct vlan_counters, 32);

#endif
