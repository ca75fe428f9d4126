/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What was last found in the FDB for a source and its destination, so that the frames behind need no lookup: each CPU
 * keeps its own, in one of the two places of a set that follows from the addresses; a third pair takes the place of
 * one. A set is one line of the cache, so where there are more pairs than the cache holds, a frame waits for memory
 * once.
 *
 * It says nothing that the FDB does not say. It holds while control.fdb_generation is what it was before the lookups,
 * and only as long as the source needs no pulse. What a port may do is not in it. */
#ifndef UNDERPASS_MAPS_MEMO_H
#define UNDERPASS_MAPS_MEMO_H

#include "maps/abi.h"

struct memo {
	__u8 addresses[2 * ETH_ADDR_LEN]; /* destination and source, as the frame has them */
	__u32 generation;                 /* control.fdb_generation; 0: nothing is remembered here */
	__u32 bridge;
	__u16 ingress_slot; /* where the source was found to be */
	__u16 egress_slot;  /* of the destination; 0: only the source is remembered */
	__u64 shown : 48;   /* of the source: shown_ns >> MEMO_SHOWN_SHIFT */
	__u64 vid : 12;
	__u64 peer : 1; /* as FDB_PEER of the destination */
};
UNDERPASS_SIZE(struct memo, 32);

enum { MEMO_SHOWN_SHIFT = 10 };

struct memo_set {
	struct memo ways[2];
} __attribute__((aligned(64)));
UNDERPASS_SIZE(struct memo_set, 64);

#endif
