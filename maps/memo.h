/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What was last found in the FDB for a source and its destination, so that the frames behind need no lookup: each CPU
 * keeps its own, at a place that follows from the addresses; another pair takes the place of the one before.
 *
 * It says nothing that the FDB does not say. It holds while control.fdb_generation is what it was before the lookups,
 * and only as long as the source needs no pulse. What a port may do is not in it. */
#ifndef UNDERPASS_MAPS_MEMO_H
#define UNDERPASS_MAPS_MEMO_H

#include "maps/abi.h"

struct memo {
	__u64 shown_ns;                   /* of the source */
	__u8 addresses[2 * ETH_ADDR_LEN]; /* destination and source, as the frame has them */
	__u32 generation;                 /* control.fdb_generation; 0: nothing is remembered here */
	__u32 ingress_slot;               /* where the source was found to be */
	__u32 bridge;
	__u32 egress_slot; /* of the destination; 0: only the source is remembered */
	__u16 vid;
	__u8 peer; /* as FDB_PEER of the destination */
	__u8 reserved;
};
UNDERPASS_SIZE(struct memo, 40);

#endif
