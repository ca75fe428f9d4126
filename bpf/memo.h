/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one way to what was remembered of the FDB, and to what ends it. */
#ifndef UNDERPASS_BPF_MEMO_H
#define UNDERPASS_BPF_MEMO_H

#include <bpf/bpf_endian.h>

#include "bpf/map_defs.h"
#include "bpf/packet.h"

/* The products carry what differs in the last bytes of an address upwards. */
static __always_inline struct memo *memo_at(const struct packet *pkt)
{
	__u32 place = (__u32)pkt->vid << 16 | pkt->ingress_slot;
	__be32 tail;

	__builtin_memcpy(&tail, pkt->destination + 2, sizeof(tail));
	place = (place + bpf_ntohl(tail)) * 0x9e3779b1;
	__builtin_memcpy(&tail, pkt->source + 2, sizeof(tail));
	place = ((place ^ place >> 15) + bpf_ntohl(tail)) * 0x85ebca6b;
	place = (place ^ place >> 16) % MEMOS_SIZE;
	return bpf_map_lookup_elem(&memos, &place);
}

static __always_inline bool memo_is_of(const struct memo *memo, const struct packet *pkt)
{
	return memo->generation == pkt->fdb_generation && memo->ingress_slot == pkt->ingress_slot &&
	       memo->bridge == pkt->bridge && memo->vid == pkt->vid && same_address(memo->source, pkt->source) &&
	       same_address(memo->destination, pkt->destination) &&
	       pkt->now_ns - memo->shown_ns < pkt->ingress->pulse_ns;
}

/* From here on the FDB is read: not before the generation was, on any machine. */
static __always_inline void memo_begin(struct memo *memo)
{
	__sync_fetch_and_add(&memo->generation, 0);
}

static __always_inline void memo_set(struct memo *memo, const struct packet *pkt, __u64 shown_ns)
{
	memo->generation = pkt->fdb_generation;
	memo->ingress_slot = pkt->ingress_slot;
	memo->bridge = pkt->bridge;
	memo->vid = pkt->vid;
	copy_address(memo->destination, pkt->destination);
	copy_address(memo->source, pkt->source);
	memo->egress_slot = 0;
	memo->shown_ns = shown_ns;
}

/* What has just been taken from the FDB is remembered nowhere any more. */
static __always_inline void memos_forget(void)
{
	__u32 zero = 0;
	struct control *now = bpf_map_lookup_elem(&control, &zero);

	if (now)
		__sync_fetch_and_add(&now->fdb_generation, 1);
}

#endif
