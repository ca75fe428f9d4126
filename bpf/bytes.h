/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bytes of the frame, wherever they lie: straight where they are linear, which costs next to nothing, else by the
 * hook's helper. */
#ifndef UNDERPASS_BPF_BYTES_H
#define UNDERPASS_BPF_BYTES_H

#include <stdbool.h>
#include <bpf/bpf_helpers.h>

#include "bpf/packet.h"

/* Copies `len` bytes (known at compile time) from `offset` on, which is less than 256. False if the frame does not have
 * them. */
static __always_inline bool load_bytes(ctx_t *ctx, __u32 offset, void *to, __u32 len)
{
	__u64 bounded = offset;

	/* The verifier forgets what it knew of a number that was kept in memory. Where the compiler sees no reason for
	 * it (it knows the number) it cannot leave it out, nor keep another copy. */
	asm volatile("%0 &= 0xff" : "+r"(bounded));

	void *from = ctx_data(ctx) + bounded;

	if (from + len > ctx_data_end(ctx))
		return !ctx_load_bytes(ctx, offset, to, len);
	__builtin_memcpy(to, from, len);
	return true;
}

#endif
