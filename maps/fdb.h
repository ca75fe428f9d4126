/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The mirror of the kernel's bridge FDB: {bridge, VID, MAC} -> port.
 *
 * An entry is believed as a destination only while it is `confirmed` and not `distrusted`. The daemon writes it
 * unconfirmed; the program confirms it when a frame with that source comes in by that port, and distrusts it, until
 * the daemon writes it anew, when one comes in by another port that learns. So the port of a believed entry is always
 * the one that the host was last seen at, however late the daemon hears of a move. An entry that the kernel itself
 * never moves (sticky) needs no confirmation. The two flags are bytes of their own, so that each is a plain store. */
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
	__u32 slot; /* of the port, in the devices map; 0 for a local entry of the bridge itself */
	__u8 flags; /* enum fdb_flags */
	__u8 confirmed;
	__u8 distrusted;
	__u8 reserved;
	__u64 pulse_ns; /* CLOCK_MONOTONIC_COARSE of the last frame from it that was passed to the kernel */
};
UNDERPASS_SIZE(struct fdb_entry, 16);

#endif
