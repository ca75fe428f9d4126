/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one record by which the daemon tells the programs that the other maps may be believed. It is mapped into the
 * daemon's memory: beating costs no system call. */
#ifndef UNDERPASS_MAPS_CONTROL_H
#define UNDERPASS_MAPS_CONTROL_H

#include "maps/abi.h"

/* The daemon beats ten times in this while. After it, every frame goes the kernel's way. */
#define HEARTBEAT_TIMEOUT_NS 1000000000ULL

enum control_flags {
	CONTROL_TRACKED_IPV4 =
	    1 << 0, /* rules see routed packets: only connections that the kernel has accepted go fast */
	CONTROL_TRACKED_IPV6 = 1 << 1,
};

struct control {
	__u64 beat_ns;    /* CLOCK_MONOTONIC_COARSE of the last beat; 0: do not believe the maps */
	__u32 abi;        /* UNDERPASS_ABI of the daemon that made the maps */
	__u32 generation; /* of what routing depends on: flows that were seen under another are asked about anew */
	__u64 changed_ns; /* CLOCK_MONOTONIC_COARSE of its last change */
	__u32 flags;      /* enum control_flags */
	/* Of the FDB and the VTEPs: what was remembered of them under another is not believed. Whoever takes away from
	 * them what may be believed raises it right after. */
	__u32 fdb_generation;
	__u32 memo_sets; /* of each CPU in the map of memos, a power of two */
	__u32 reserved;
};
UNDERPASS_SIZE(struct control, 40);

#endif
