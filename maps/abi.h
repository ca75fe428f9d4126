/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ground of the contract between the programs in the kernel and the daemon: fixed-width types, limits and the
 * names of the maps. Every header in this folder is plain C11 and valid C++20, is included by both sides, and is the
 * only place where a shared layout is written down.
 *
 * A daemon adopts the maps of an earlier one only if UNDERPASS_ABI and every map's shape are equal; so a change of
 * meaning that does not change a shape must raise UNDERPASS_ABI. */
#ifndef UNDERPASS_MAPS_ABI_H
#define UNDERPASS_MAPS_ABI_H

#include <linux/types.h>

#ifdef __cplusplus
#include <type_traits>
/* A key with padding would compare unequal to itself: the kernel hashes all its bytes. */
#define UNDERPASS_KEY(type) static_assert(std::has_unique_object_representations_v<type>, #type " has padding")
#define UNDERPASS_SIZE(type, size) static_assert(sizeof(type) == (size), #type " changed its size")
#else
#define UNDERPASS_KEY(type) _Static_assert(1, "checked by the C++ side")
#define UNDERPASS_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " changed its size")
#endif

enum underpass_limits {
	UNDERPASS_ABI = 9,
	DEVICE_SLOTS = 4096,        /* devices known at once; slot 0 means "none" */
	DEVICE_INDEX_SIZE = 65536,  /* a power of two: an ifindex is found at ifindex % DEVICE_INDEX_SIZE */
	FDB_DEFAULT_SIZE = 131072,  /* entries; the daemon may set another size before the maps are made */
	VLAN_UPPERS_SIZE = 16384,   /* VLAN devices that are ports */
	VLAN_COUNTERS_SIZE = 8192,  /* pairs of a port and a VID that are counted */
	FLOWS_DEFAULT_SIZE = 65536, /* flows; the daemon may set another size before the maps are made */
	REQUESTS_SIZE = 65536,      /* bytes */
	TUNNELS_SIZE = 4096,        /* VXLAN devices */
	MEMO_SETS_MOST = 65536,     /* of each CPU; the daemon makes fewer where there are many CPUs */
	ETH_ADDR_LEN = 6,
};

/* Names as the kernel shows them (15 characters at most) and as they are pinned. */
#define MAP_CONTROL "control"
#define MAP_DEVICE_INDEX "device_index"
#define MAP_DEVICES "devices"
#define MAP_FDB "fdb"
#define MAP_TX_PORTS "tx_ports"
#define MAP_COUNTERS "counters"
#define MAP_PORT_VLANS "port_vlans"
#define MAP_VLAN_UPPERS "vlan_uppers"
#define MAP_VLAN_COUNTERS "vlan_counters"
#define MAP_FLOWS "flows"
#define MAP_REQUESTS "requests"
#define MAP_TUNNELS "tunnels"
#define MAP_VTEPS "vteps"
#define MAP_SCRATCH "scratch"
#define MAP_MEMOS "memos"

#define PROGRAM_XDP "underpass_xdp"
#define PROGRAM_TC "underpass_tc"
#define PROGRAM_WITNESS "underpass_see"

#endif
