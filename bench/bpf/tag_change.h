/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a bare redirect does to a frame's VLAN tag, and the one VLAN of the bench. Plain C and valid C++. */
#ifndef UNDERPASS_BENCH_TAG_CHANGE_H
#define UNDERPASS_BENCH_TAG_CHANGE_H

enum tag_change {
	TAG_KEPT,   /* the frame leaves as it came in */
	TAG_PUSHED, /* with an 802.1Q tag of BENCH_VID */
	TAG_POPPED, /* without its outer tag */
};

enum { BENCH_VID = 10 };

#endif
