/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The mirror of the kernel's bridge FDB: {bridge, VID, MAC} -> port.
 *
 * The daemon hears of a move late, so an entry by itself is not believed. The daemon writes it with `shown_ns` 0; the
 * first frame that comes from the address by that very port is passed to the kernel, which then has it there as well,
 * and stamped. From then on the entry is believed as a destination: until a frame with that source comes in by another
 * port that learns. That distrusts it; everything from and to the address is then the kernel's, until the daemon
 * writes the entry anew. So whatever the daemon has missed, the port of a believed entry is the one where both the
 * kernel and we last saw the host. What the kernel never moves (sticky) is believed at once.
 *
 * The stamp is renewed by a frame that is passed once per interval (the pulse): the kernel's own entry stays young. */
#ifndef UNDERPASS_MAPS_FDB_H
#define UNDERPASS_MAPS_FDB_H

#include "maps/abi.h"

struct fdb_key {
	__u32 bridge; /* ifindex */
	__u16 vid;    /* host order; 0 on a bridge without VLAN filtering */
	__u8 mac[ETH_ADDR_LEN];
};
UNDERPASS_SIZE(struct fdb_key, 12);
UNDERPASS_KEY(struct fdb_key);

enum fdb_flags {
	FDB_LOCAL = 1 << 0,  /* an address of the host itself: frames for it are the kernel's */
	FDB_STICKY = 1 << 1, /* the kernel does not move it to another port */
	FDB_PEER = 1 << 2,   /* the address is that of the veth peer's own device: bpf_redirect_peer is right */
};

struct fdb_entry {
	__u32 slot;      /* of the port, in the devices map; 0 for a local entry of the bridge itself */
	__u8 flags;      /* enum fdb_flags */
	__u8 distrusted; /* a byte of its own: it is a plain store */
	__u8 reserved[2];
	__u64 shown_ns; /* CLOCK_MONOTONIC_COARSE of its last frame passed to refresh the kernel; 0: none */
};
UNDERPASS_SIZE(struct fdb_entry, 16);

#endif
