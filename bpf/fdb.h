/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one way to ask the mirrored FDB: by the bridge and VLAN that the frame is in. */
#ifndef UNDERPASS_BPF_FDB_H
#define UNDERPASS_BPF_FDB_H

#include "bpf/map_defs.h"
#include "bpf/packet.h"

/* Null: the kernel has no entry for `mac`, or has not told us yet. */
static __always_inline struct fdb_entry *fdb_lookup(const struct packet *pkt, __u16 vid, const __u8 *mac)
{
	struct fdb_key key = {.bridge = pkt->bridge, .vid = vid};

	copy_address(key.mac, mac);
	return bpf_map_lookup_elem(&fdb, &key);
}

#endif
