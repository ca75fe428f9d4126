/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The only checksum arithmetic: the Internet checksum of RFC 1071. */
#ifndef UNDERPASS_BPF_CSUM_H
#define UNDERPASS_BPF_CSUM_H

#include <stdbool.h>
#include <linux/in.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>

#include "bpf/words.h"

static __always_inline __u16 csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __u64 csum_of_words(const any_u32 *words, __u32 count)
{
	__u64 sum = 0;

	for (__u32 i = 0; i < count; i++)
		sum += words[i];
	return sum;
}

/* True if the header of `len` bytes (a multiple of 4, known at compile time) sums to all ones, its checksum field
 * included. */
static __always_inline bool csum_is_valid(const void *header, __u32 len)
{
	return csum_fold(csum_of_words(header, len / sizeof(any_u32))) == 0xffff;
}

/* The checksum field of an IPv4 header after its TTL was lowered by one, from what it is. Mirrors ip_decrease_ttl. */
static __always_inline __u16 csum_of_lower_ttl(__u16 check)
{
	__u32 sum = check;

	sum += bpf_htons(0x0100);
	return sum + (sum >= 0xffff);
}

/* A checksum after one 32-bit word of what it is of has changed (RFC 1624, equation 3). */
static __always_inline __u16 csum_of_changed(__u16 check, __u32 from, __u32 to)
{
	__u32 sum = (__u16)~check;

	sum += (~from & 0xffff) + (~from >> 16) + (to & 0xffff) + (to >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Of the pseudo header of a UDP packet of `len` bytes with its header, not folded. IPv4 addresses are in the first
 * word, zero behind it, so both families sum alike (RFC 8200, 8.1). */
static __always_inline __u64 csum_of_pseudo_header(const __be32 *source, const __be32 *destination, __u32 len)
{
	return csum_of_words(source, 4) + csum_of_words(destination, 4) + bpf_htonl(len) + bpf_htonl(IPPROTO_UDP);
}

#endif
