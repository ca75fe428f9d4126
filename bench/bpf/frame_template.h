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
	OUTER_BYTES = 50,       /* Ethernet, IPv4, UDP and VXLAN before a frame in a tunnel */
	OUTER_SUM_OFFSET = 40,  /* of the UDP checksum in it */
	OUTER_PORT_BASE = 32768,
	OUTER_PORTS = 16384,                        /* source ports, one for each flow while they last */
	TEMPLATE_SUM_WORD = TEMPLATE_BYTES / 8 - 1, /* whose upper half has the sum, see outer_template */
	MARK_OFFSET = 42, /* behind the UDP header, as pktgen has it (PKTGEN_MAGIC): a frame to be known by */
	MOVED_BYTES = 4,  /* before a frame, see GeneratorOptions::moved */
	PACE_SHIFT = 10,  /* the time between two frames is in 1/1024 ns */
	PACE_BEHIND = 64, /* frames that a paced generator makes up for when it is late: as many as a NAPI polls */
};

#define MARK 0xbe9be955

struct frame_template {
	__u64 words[TEMPLATE_BYTES / 8];
};

/* Before every frame in a tunnel. Its UDP checksum, if it has one, is of the frame too: each template has the sum of
 * all that it is of, but for the source ports. */
struct outer_template {
	__u64 words[(OUTER_BYTES + 7) / 8];
	__u32 present;
	__u32 summed;
};

struct sink_count {
	__u64 frames;
	__u64 bytes;
	__u64 tagged; /* of the frames: with an 802.1Q tag in their bytes */
};

#endif
