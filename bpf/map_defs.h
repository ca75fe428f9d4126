/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every map, one purpose line each. The daemon sets pins and, for the FDB, the size. */
#ifndef UNDERPASS_BPF_MAP_DEFS_H
#define UNDERPASS_BPF_MAP_DEFS_H

#include <linux/bpf.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>

#include "maps/control.h"
#include "maps/counters.h"
#include "maps/device.h"
#include "maps/fdb.h"
#include "maps/flow.h"
#include "maps/memo.h"
#include "maps/tunnel.h"
#include "maps/vlan.h"

/* The heartbeat: whether the other maps may be believed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps");

/* ifindex % DEVICE_INDEX_SIZE -> slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DEVICE_INDEX_SIZE);
	__type(key, __u32);
	__type(value, __u32);
} device_index SEC(".maps");

/* slot -> what the device is and may do. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DEVICE_SLOTS);
	__type(key, __u32);
	__type(value, struct device);
} devices SEC(".maps");

/* {bridge, VID, MAC} -> port. Not preallocated: a host pays for the entries that it has. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FDB_DEFAULT_SIZE);
	__type(key, struct fdb_key);
	__type(value, struct fdb_entry);
} fdb SEC(".maps");

/* slot -> device, for those that an XDP redirect reaches without loss; the kernel removes vanished ones itself. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, DEVICE_SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} tx_ports SEC(".maps");

/* slot -> frames and bytes by reason. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DEVICE_SLOTS);
	__type(key, __u32);
	__type(value, struct device_counters);
} counters SEC(".maps");

/* slot -> what a port of a VLAN-aware bridge may do in each VLAN. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DEVICE_SLOTS);
	__type(key, __u32);
	__type(value, struct port_vlans);
} port_vlans SEC(".maps");

/* {device, protocol, VID} -> slot of the VLAN device. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, VLAN_UPPERS_SIZE);
	__type(key, struct vlan_upper_key);
	__type(value, __u32);
} vlan_uppers SEC(".maps");

/* {slot, VID} -> frames and bytes that came in. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, VLAN_COUNTERS_SIZE);
	__type(key, struct vlan_count_key);
	__type(value, struct vlan_counters);
} vlan_counters SEC(".maps");

/* Addresses, ports and ingress of a flow -> how the kernel was seen to route it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FLOWS_DEFAULT_SIZE);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* To the daemon: flows whose connection it is to prepare. What does not fit is asked for again. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, REQUESTS_SIZE);
} requests SEC(".maps");

/* {VNI, UDP port, family} -> slot of the VXLAN device. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TUNNELS_SIZE);
	__type(key, struct tunnel_key);
	__type(value, __u32);
} tunnels SEC(".maps");

/* {VXLAN device, 0, MAC} -> VTEP. As many as the FDB has. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FDB_DEFAULT_SIZE);
	__type(key, struct fdb_key);
	__type(value, struct vtep);
} vteps SEC(".maps");

/* CPU and a hash of the addresses -> what the FDB said of them. (A per-CPU map would wait for memory twice; and one
 * that can be mapped begins at a page, so that a set is one line of the cache.) */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MEMO_SETS_MOST);
	__type(key, __u32);
	__type(value, struct memo_set);
} memos SEC(".maps");

enum { SCRATCH_LEN = 512 }; /* as much as bpf_csum_diff takes on every kernel */

struct scratch {
	__u8 bytes[SCRATCH_LEN + 8]; /* the verifier cannot round a length up */
	struct flow_key key;         /* FLOW_ROUTED */
	struct tunnel_way {
		struct flow_key key; /* FLOW_ENCAP */
		__u64 now_ns;
		__u64 sum;     /* of the outer pseudo header, if there is to be a checksum */
		__u32 len;     /* of the frame as it goes into the tunnel */
		__u32 longest; /* of those that it will be cut into; 0: not known */
		__u32 ecn;     /* of its packet */
		__u32 ipv6;    /* outer headers */
		__u32 overtakes;
		__u32 is_gso;
		__u32 segments; /* that it stands for: the device may cut it before it is seen again */
		__u32 summed;
		__u32 label;            /* IPv6 flow label of its packet */
		__u8 mac[ETH_ADDR_LEN]; /* where it goes */
		__u8 padding[6];
	} way;
	struct outer_packet {
		struct flow_key key;
		struct tunnel_header {
			struct udphdr udp;
			struct vxlan_header {
				__be32 flags;
				__be32 vni;
			} vxlan;
		} header;
		__u32 offset; /* of `header` */
		__u32 ecn;
	} outer;
};

/* Room for bytes of one frame, which the stack does not have. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

#endif
