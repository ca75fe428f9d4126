/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames and bytes by the device they came in by and the reason they left with, one copy per CPU.
 *
 * The last hook that sees a frame counts it: the TC program counts all that reaches it, the XDP program only what it
 * forwards. So a frame is counted once, and a frame that the kernel coalesced (GRO) counts as its segments. */
#ifndef UNDERPASS_MAPS_COUNTERS_H
#define UNDERPASS_MAPS_COUNTERS_H

#include "maps/abi.h"
#include "maps/reason.h"

enum { REASON_SLOTS = 48 }; /* room for later reasons without a new shape */

struct counter {
	__u64 packets;
	__u64 bytes; /* with the Ethernet header, without the frame check sequence */
};

struct device_counters {
	struct counter by_reason[REASON_SLOTS];
};
UNDERPASS_SIZE(struct device_counters, 768);

#endif
