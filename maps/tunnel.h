/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* VXLAN devices: by which packets each is found, and behind which VTEP the kernel has each MAC.
 *
 * A VXLAN device's own FDB is mirrored as a bridge's is (see fdb.h), with VTEPs for ports, and believed as that is: an
 * entry that the kernel learns is written with `shown_ns` 0, and believed once a frame of that source has come from
 * that VTEP and was passed to the kernel; a frame of it from another VTEP distrusts it, until the daemon writes it
 * anew. How packets get to a VTEP is not here: the kernel is seen to send them, see flow.h. */
#ifndef UNDERPASS_MAPS_TUNNEL_H
#define UNDERPASS_MAPS_TUNNEL_H

#include "maps/abi.h"

/* Of the map of tunnels; its values are slots of VXLAN devices. */
struct tunnel_key {
	__u32 vni;    /* host order */
	__be16 port;  /* UDP destination port */
	__u16 family; /* AF_INET or AF_INET6: of the outer packet */
};
UNDERPASS_SIZE(struct tunnel_key, 8);
UNDERPASS_KEY(struct tunnel_key);

/* Of the map of VTEPs, whose keys are those of the FDB: {ifindex of the VXLAN device, 0, MAC}. */
struct vtep {
	__be32 address[4]; /* IPv4: in the first */
	__u64 shown_ns;    /* CLOCK_MONOTONIC_COARSE of its last frame passed to refresh the kernel; 0: none */
	__u8 fixed;      /* the kernel does not move it: a permanent or static entry, or a device that does not learn */
	__u8 distrusted; /* a byte of its own: it is a plain store */
	__u8 reserved[6];
};
UNDERPASS_SIZE(struct vtep, 32);

#endif
