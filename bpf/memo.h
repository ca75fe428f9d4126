/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one way to what was remembered of the FDB, and to what ends it. */
#ifndef UNDERPASS_BPF_MEMO_H
#define UNDERPASS_BPF_MEMO_H

#include <bpf/bpf_endian.h>

#include "bpf/map_defs.h"
#include "bpf/packet.h"

/* The products carry what differs in the last bytes of the addresses upwards. */
static __always_inline struct memo *memo_at(const struct packet *pkt)
{
	struct address_words words = address_words(pkt->destination);
	__u64 rest = words.rest | (__u64)pkt->vid << 48 | (__u64)pkt->ingress_slot << 32;
	__u64 mixed = words.first * 0xff51afd7ed558ccd ^ rest * 0x9e3779b97f4a7c15;
	__u32 place = mixed >> (64 - MEMOS_BITS);

	return bpf_map_lookup_elem(&memos, &place);
}

static __always_inline bool memo_is_of(const struct memo *memo, const struct packet *pkt)
{
	struct address_words here = address_words(pkt->destination), there = address_words(memo->addresses);

	return here.first == there.first && here.rest == there.rest && memo->generation == pkt->fdb_generation &&
	       memo->ingress_slot == pkt->ingress_slot && memo->bridge == pkt->bridge && memo->vid == pkt->vid &&
	       pkt->now_ns - memo->shown_ns < pkt->ingress->pulse_ns;
}

/* From here on the FDB is read: not before the generation was, on any machine. */
static __always_inline void memo_begin(struct memo *memo)
{
	__sync_val_compare_and_swap(&memo->generation, 0, 0);
}

static __always_inline void memo_set(struct memo *memo, const struct packet *pkt, __u64 shown_ns)
{
	memo->generation = pkt->fdb_generation;
	memo->ingress_slot = pkt->ingress_slot;
	memo->bridge = pkt->bridge;
	memo->vid = pkt->vid;
	set_address_words(memo->addresses, address_words(pkt->destination));
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
