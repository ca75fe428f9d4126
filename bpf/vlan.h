/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* VLAN tags, and the one way to ask what a port may do in a VLAN. */
#ifndef UNDERPASS_BPF_VLAN_H
#define UNDERPASS_BPF_VLAN_H

#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>

#include "bpf/map_defs.h"
#include "bpf/packet.h"

enum {
	TAG_LEN = 4,
	TCI_VID = 0x0fff,
};

/* As it lies behind the addresses. */
struct vlan_tag {
	__be16 protocol; /* 802.1Q or 802.1ad */
	__be16 tci;
};

static __always_inline bool is_vlan_protocol(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

/* enum vlan_rights of the port with this slot; none for VID 0, which is no VLAN. */
static __always_inline __u8 vlan_rights(__u32 slot, __u16 vid)
{
	struct port_vlans *vlans = bpf_map_lookup_elem(&port_vlans, &slot);

	if (!vlans || !vid)
		return 0;
	return vlans->word[vid / VLAN_VIDS_PER_WORD % VLAN_WORDS] >> (vid % VLAN_VIDS_PER_WORD * VLAN_BITS_PER_VID) &
	       0xf;
}

#endif
