/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one way to what was remembered of the FDB, and to what ends it. */
#ifndef UNDERPASS_BPF_MEMO_H
#define UNDERPASS_BPF_MEMO_H

#include <bpf/bpf_endian.h>

#include "bpf/map_defs.h"
#include "bpf/packet.h"

/* 0, or 1 if it is not 0; no branch, so that the verifier follows one way where there might be two. */
static __always_inline __u64 is_any(__u64 bits)
{
	return (bits | -bits) >> 63;
}

/* 0 if it is of this pair, however old. */
static __always_inline __u64 memo_differs(const struct memo *memo, const struct packet *pkt)
{
	struct address_words here = address_words(pkt->destination), there = address_words(memo->addresses);

	return (here.first ^ there.first) | (here.rest ^ there.rest) | (memo->generation ^ pkt->fdb_generation) |
	       (memo->ingress_slot ^ pkt->ingress_slot) | (memo->bridge ^ pkt->bridge) | (memo->vid ^ pkt->vid);
}

static __always_inline __u64 memo_shown_ns(const struct memo *memo)
{
	return (__u64)memo->shown << MEMO_SHOWN_SHIFT;
}

/* Out: pkt->memo, the place that is the pair's, or that may become it; pkt->remembered. The products carry what differs
 * in the last bytes of the addresses upwards. */
static __always_inline void memo_find(struct packet *pkt, const struct control *now)
{
	struct address_words words = address_words(pkt->destination);
	__u64 rest = words.rest | (__u64)pkt->vid << 48 | (__u64)pkt->ingress_slot << 32;
	__u64 mixed = words.first * 0xff51afd7ed558ccd ^ rest * 0x9e3779b97f4a7c15;
	__u32 place = bpf_get_smp_processor_id() * now->memo_sets + (mixed >> 48 & (now->memo_sets - 1));
	struct memo_set *set = bpf_map_lookup_elem(&memos, &place);
	__u64 not_first, neither, way;
	struct memo *first, *second;

	if (!set)
		return;
	first = &set->ways[0];
	second = &set->ways[1];
	pkt->fdb_generation = *(const volatile __u32 *)&now->fdb_generation;
	not_first = is_any(memo_differs(first, pkt));
	neither = not_first & is_any(memo_differs(second, pkt));
	/* A new pair takes a place where nothing is remembered any more, if there is one. */
	way = (is_any(second->generation ^ pkt->fdb_generation) | mixed >> 47) &
	      ~is_any(first->generation ^ pkt->fdb_generation);
	way = ((way & neither) | (not_first & ~neither)) & 1;
	pkt->memo = &set->ways[way];
	pkt->remembered = !neither && pkt->now_ns - memo_shown_ns(pkt->memo) < pkt->ingress->pulse_ns;
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
	set_address_words(memo->addresses, address_words(pkt->destination));
	memo->egress_slot = 0;
	memo->shown = shown_ns >> MEMO_SHOWN_SHIFT;
	memo->vid = pkt->vid;
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
