/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* vlan: in which VLAN is the frame on its bridge, and what may the port do there? Facts only: what follows from them,
 * `source` and `ingress` say.
 *
 * In: the tag, the ingress port. Out: pkt->own_tag, pkt->vid, pkt->out_vid, pkt->rights. A tag of the other protocol is
 * payload to the bridge, and a priority tag (VID 0) names no VLAN: both are of the PVID. Mirrors br_allowed_ingress. */
#ifndef UNDERPASS_BPF_STAGES_VLAN_H
#define UNDERPASS_BPF_STAGES_VLAN_H

#include "bpf/packet.h"
#include "bpf/vlan.h"

static __always_inline enum verdict vlan(struct packet *pkt)
{
	if (!(pkt->ingress->flags & DEVICE_VLAN_AWARE))
		return CONTINUE;
	pkt->own_tag = pkt->tagged && pkt->tag_protocol == pkt->ingress->vlan_protocol;
	if (pkt->own_tag)
		pkt->vid = pkt->tci & TCI_VID;
	if (!pkt->vid)
		pkt->vid = pkt->ingress->vid;
	pkt->out_vid = pkt->vid;
	pkt->rights = vlan_rights(pkt->ingress_slot, pkt->vid);
	/* A VLAN device goes by the tag. */
	if (!pkt->own_tag || !(pkt->tci & TCI_VID))
		pkt->rights &= ~VLAN_UPPER;
	return CONTINUE;
}

#endif
