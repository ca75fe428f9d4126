/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the generator's program and its user-space side share: one frame's head, written anew for every frame, and the
 * sink's count. Plain C and valid C++. */
#ifndef UNDERPASS_BENCH_FRAME_TEMPLATE_H
#define UNDERPASS_BENCH_FRAME_TEMPLATE_H

#include <linux/types.h>

enum {
	TEMPLATE_BYTES = 64,    /* one cache line per template */
	TEMPLATE_WRITTEN = 60,  /* of which the program writes these: no frame is shorter */
	TEMPLATE_SLOTS = 65536, /* templates at most */
	FLOW_PORT_OFFSET = 34,  /* UDP source port, network order, after Ethernet and an IPv4 head without options */
	FLOW_PORT_BASE = 1024,  /* of the first flow unless told, host order */
	TAG_BYTES = 4,          /* a VLAN tag, which all that follows lies behind */
};

struct frame_template {
	__u64 words[TEMPLATE_BYTES / 8];
};

struct sink_count {
	__u64 frames;
	__u64 bytes;
	__u64 tagged; /* of the frames: with an 802.1Q tag in their bytes */
};

#endif
