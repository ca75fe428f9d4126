/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* upper: does a VLAN device on the ingress device take the frame? Then that is where it came in, without the tag.
 *
 * In: the tag, the ingress device. Out: pkt->ingress, and pkt->strip if it changed. A device that is no port itself has
 * nothing else to offer than its VLAN devices. Mirrors vlan_do_receive. */
#ifndef UNDERPASS_BPF_STAGES_UPPER_H
#define UNDERPASS_BPF_STAGES_UPPER_H

#include "bpf/map_defs.h"
#include "bpf/packet.h"
#include "bpf/vlan.h"

static __always_inline enum verdict upper(struct packet *pkt)
{
	struct vlan_upper_key key = {
	    .ifindex = pkt->ingress->ifindex, .protocol = pkt->tag_protocol, .vid = pkt->tci & TCI_VID};
	__u32 *slot = NULL;

	if (!(pkt->ingress->flags & DEVICE_TRUNK))
		return CONTINUE;
	if (pkt->tagged)
		slot = bpf_map_lookup_elem(&vlan_uppers, &key);
	if (!slot) {
		if (pkt->bridge || (!pkt->tagged && (pkt->ingress->flags & (DEVICE_ROUTED | DEVICE_UNDERLAY))))
			return CONTINUE;
		return pass(pkt, pkt->tagged ? REASON_VLAN_UPPER : REASON_NOT_OURS);
	}

	__u32 below = pkt->ingress->ifindex;

	pkt->ingress_slot = *slot;
	pkt->ingress = bpf_map_lookup_elem(&devices, &pkt->ingress_slot);
	/* The slot may be another's by now. */
	if (!pkt->ingress || !(pkt->ingress->flags & DEVICE_PRESENT) || pkt->ingress->out != below ||
	    pkt->ingress->vid != key.vid || pkt->ingress->vlan_protocol != key.protocol) {
		pkt->ingress_slot = 0;
		return pass(pkt, REASON_NOT_OURS);
	}
	pkt->bridge = pkt->ingress->bridge;
	pkt->strip = true;
	/* The kernel takes a second tag off as well; a device on that one may be anywhere. */
	pkt->tagged = is_vlan_protocol(pkt->protocol);
	return CONTINUE;
}

#endif
