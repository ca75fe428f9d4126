/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bytes that are moved and compared as words. Of bytes that may lie anywhere the compiler takes one by one, three
 * instructions for each; the machines that run these programs take words from anywhere.
 *
 * Only the stack has to be in step, for the verifier: a variable there that is no word by itself is declared aligned.
 */
#ifndef UNDERPASS_BPF_WORDS_H
#define UNDERPASS_BPF_WORDS_H

#include <stdbool.h>
#include <linux/types.h>

#include "maps/abi.h"

typedef __u16 __attribute__((__may_alias__)) any_u16;
typedef __u32 __attribute__((__may_alias__)) any_u32;
typedef __u64 __attribute__((__may_alias__)) any_u64;

#define ALIGNED __attribute__((aligned(4)))

/* `len` is known at compile time. */
static __always_inline void copy_bytes(void *to, const void *from, __u32 len)
{
	__u32 at = 0;

#pragma clang loop unroll(full)
	for (; at + sizeof(any_u32) <= len; at += sizeof(any_u32))
		*(any_u32 *)(to + at) = *(const any_u32 *)(from + at);
	if (len & sizeof(any_u16)) {
		*(any_u16 *)(to + at) = *(const any_u16 *)(from + at);
		at += sizeof(any_u16);
	}
	if (len & 1)
		*(__u8 *)(to + at) = *(const __u8 *)(from + at);
}

/* MAC addresses: in all records they lie in step with 16 bits only. */
static __always_inline void copy_address(__u8 *to, const __u8 *from)
{
	any_u16 *t = (any_u16 *)to;
	const any_u16 *f = (const any_u16 *)from;

	t[0] = f[0];
	t[1] = f[1];
	t[2] = f[2];
}

static __always_inline bool same_address(const __u8 *a, const __u8 *b)
{
	const any_u16 *x = (const any_u16 *)a, *y = (const any_u16 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]));
}

/* A frame's destination and its source, which lie behind each other, as two words. */
struct address_words {
	__u64 first;
	__u32 rest;
};

static __always_inline struct address_words address_words(const __u8 *addresses)
{
	return (struct address_words){*(const any_u64 *)addresses, *(const any_u32 *)(addresses + sizeof(any_u64))};
}

static __always_inline void set_address_words(__u8 *addresses, struct address_words words)
{
	*(any_u64 *)addresses = words.first;
	*(any_u32 *)(addresses + sizeof(any_u64)) = words.rest;
}

#endif
