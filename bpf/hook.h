/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which program sees a frame last, of those that see it if it passes. */
#ifndef UNDERPASS_BPF_HOOK_H
#define UNDERPASS_BPF_HOOK_H

#include "bpf/packet.h"

/* Behind XDP the TC program sees it again; and what came through a tunnel, the one at the VXLAN device. */
static __always_inline bool is_last_hook(const struct packet *pkt)
{
	return CTX_LAST_HOOK && !pkt->underlay_slot;
}

#endif
