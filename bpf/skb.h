/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The members of the kernel's struct sk_buff that __sk_buff does not show, found by CO-RE. Only in programs that are
 * built WITH_CONNTRACK, which have the kernel's types. */
#ifndef UNDERPASS_BPF_SKB_H
#define UNDERPASS_BPF_SKB_H

#include <linux/types.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct net_device;

struct sk_buff {
	struct net_device *dev;
	unsigned long _nfct;
	unsigned char *head;
	unsigned char *data;
	__u16 mac_header;
	__u16 csum_start;
	__u16 csum_offset;
	__u8 ip_summed : 2;
};

#pragma clang attribute pop

/* linux/skbuff.h */
enum {
	SKB_CHECKSUM_NONE = 0,
	SKB_CHECKSUM_UNNECESSARY = 1,
	SKB_CHECKSUM_PARTIAL = 3,
};

#endif
