/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ingress: does the bridge get the frame, and does its port forward? What a VLAN device on the port takes, and what the
 * bridge keeps for itself (BPDUs, LLDP, pause frames), the kernel may not even learn from.
 *
 * In: a frame of a known source. Mirrors vlan_do_receive and br_handle_frame. */
#ifndef UNDERPASS_BPF_STAGES_INGRESS_H
#define UNDERPASS_BPF_STAGES_INGRESS_H

#include "bpf/packet.h"
#include "maps/vlan.h"

/* 01:80:c2:00:00:00 to :0f */
static __always_inline bool is_link_local(const __u8 *mac)
{
	return mac[0] == 0x01 && mac[1] == 0x80 && mac[2] == 0xc2 && mac[3] == 0 && mac[4] == 0 && (mac[5] & 0xf0) == 0;
}

static __always_inline enum verdict ingress(struct packet *pkt)
{
	__u32 flags = pkt->ingress->flags;

	if (!(flags & DEVICE_FORWARDING))
		return pass(pkt, REASON_NOT_FORWARDING);
	if (!(flags & DEVICE_INGRESS))
		return pass(pkt, REASON_LEFT_TO_KERNEL);
	if ((pkt->rights & VLAN_UPPER) || (pkt->tagged && !pkt->own_tag && (flags & DEVICE_VLAN_UPPERS)))
		return pass(pkt, REASON_VLAN_UPPER);
	if ((flags & DEVICE_VLAN_AWARE) && !(pkt->rights & VLAN_FORWARD))
		return pass(pkt, REASON_VLAN_NOT_READY);
	if (is_link_local(pkt->destination))
		return pass(pkt, REASON_MULTICAST);
	return CONTINUE;
}

#endif
