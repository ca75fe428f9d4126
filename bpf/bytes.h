/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bytes of the frame, wherever they lie: straight where they are linear, which costs next to nothing, else by the
 * hook's helper. */
#ifndef UNDERPASS_BPF_BYTES_H
#define UNDERPASS_BPF_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>

#include "bpf/map_defs.h"
#include "bpf/packet.h"

/* Copies `len` bytes (known at compile time) from `offset` on, which is less than 256, to where words may be. False if
 * the frame does not have them. */
static __always_inline bool load_bytes(ctx_t *ctx, __u32 offset, void *to, __u32 len)
{
	__u64 bounded = offset;

	/* The verifier forgets what it knew of a number that was kept in memory. Where the compiler sees no reason for
	 * it (it knows the number) it cannot leave it out, nor keep another copy. */
	asm volatile("%0 &= 0xff" : "+r"(bounded));

	void *from = ctx_data(ctx) + bounded;

	if (from + len > ctx_data_end(ctx))
		return !ctx_load_bytes(ctx, offset, to, len);
	copy_bytes(to, from, len);
	return true;
}

enum { SUMMED_PARTS = 32 };

/* The Internet checksum's sum, not folded, of `len` bytes from `offset` on. Less than zero: the frame does not have
 * them, or they are more than 16 KiB. A global function, see connection_is_ready. */
__noinline __s64 sum_of_bytes(ctx_t *ctx, __u32 offset, __u32 len)
{
	__u32 zero = 0;
	struct scratch *room = bpf_map_lookup_elem(&scratch, &zero);
	__s64 sum = 0;
	__u8 *bytes;

	if (!room)
		return -1;
	bytes = room->bytes;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < SUMMED_PARTS && len; i++) {
		__u64 part = (len < SCRATCH_LEN ? len : SCRATCH_LEN) - 1;

		asm volatile("%0 &= 0x1ff" : "+r"(part)); /* see load_bytes */
		part++;
		/* What is behind the last byte counts as zero. */
		*(__u32 *)(bytes + part) = 0;
		if (ctx_load_bytes(ctx, offset, bytes, part))
			return -1;
		sum = bpf_csum_diff(NULL, 0, (void *)bytes, (part + 3) & ~3ULL, sum);
		offset += part;
		len -= part;
	}
	return len ? -1 : (__u32)sum;
}

#endif
