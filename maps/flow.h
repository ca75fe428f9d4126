/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Flows that the kernel routes, bridges past rules, or takes into or out of a tunnel, and how it was seen to do so.
 *
 * Nothing here says where a flow ought to go. Its first frame, and one per FLOW_PULSE_NS, passes to the kernel; a
 * program at the egress of every routed device sees it come out and writes down by which device and with which
 * addresses. While every frame that was passed has come out again, and what routing depends on has not changed since
 * (control.generation), further frames do the same without the kernel. So whatever the kernel looks at (reverse path,
 * policy, neighbours, an address of its own) has been looked at, by the kernel. */
#ifndef UNDERPASS_MAPS_FLOW_H
#define UNDERPASS_MAPS_FLOW_H

#include "maps/abi.h"

#define FLOW_PULSE_NS 1000000000ULL
/* The route and the neighbour are looked up again after this while. */
#define FLOW_CHECK_NS 8000000ULL
/* After a change nothing is asked for this while: what was on its way in the kernel by then proves nothing. */
#define FLOW_SETTLE_NS 50000000ULL
/* A TCP connection is prepared for the fast path after so many frames within a pulse: short ones do not pay. */
#define FLOW_REQUEST_FRAMES 16
/* Half of what TCP's sequence numbers can tell apart, and some. */
#define FLOW_OLD_ACK_BYTES (1ULL << 30)
/* A flow of which no frame came for this long is forgotten by the daemon. */
#define FLOW_FORGET_NS 5000000000ULL

enum flow_kind {
	FLOW_ROUTED = 0, /* or bridged past rules */
	FLOW_DECAP = 1,  /* VXLAN packets from one VTEP: `ifindex` is the VXLAN device, the rest of the outer headers */
	FLOW_ENCAP = 2,  /* frames that leave by a VXLAN device, `ifindex`: the rest as they do so */
};

/* As the frame comes in. Ports are 0 where the protocol has none; of an ICMP echo: its identifier and its type. */
struct flow_key {
	__be32 source[4]; /* IPv4: in the first */
	__be32 destination[4];
	__u32 ifindex; /* that the kernel routes it from: the bridge, not its port; that a bridged one comes in by */
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 family; /* AF_INET or AF_INET6 */
	__u8 tos;    /* IPv4 TOS or IPv6 traffic class, without ECN */
	__u8 kind;   /* enum flow_kind */
};
UNDERPASS_SIZE(struct flow_key, 44);
UNDERPASS_KEY(struct flow_key);

enum flow_flags {
	FLOW_TRANSLATED = 1 << 0, /* it differs from what came in */
};

struct flow_ends {
	__be32 source[4];
	__be32 destination[4];
	__be16 source_port;
	__be16 destination_port;
	__u32 flags; /* enum flow_flags */
};

/* The rest of the headers around a frame in a tunnel, as the kernel was seen to set them. */
struct flow_outer {
	__be32 vni;   /* as in the VXLAN header: in the upper 24 bits */
	__be32 label; /* IPv6 flow label, in the lower 20 bits */
	__u8 ttl;
	__u8 tos;           /* without ECN */
	__u8 dont_fragment; /* IPv4 */
	__u8 summed;        /* has a UDP checksum */
	__u32 inner_label;  /* IPv6 flow label inside, by which the source port differs; host order */
};
UNDERPASS_SIZE(struct flow_outer, 16);

struct flow {
	__u64 asked_ns;   /* CLOCK_MONOTONIC_COARSE of the frame that was passed to see the kernel route it */
	__u64 checked_ns; /* ... of the last look at the route and the neighbour */
	__u32 generation; /* control.generation at asked_ns */
	__u32 asked;      /* frames that were passed to the kernel since, that one included */
	__u32 answered;   /* frames that were seen to leave since */
	/* ifindex of the device that they left by; routed: a bridge, not its port; 0: none seen yet. FLOW_DECAP: of the
	 * device that they come in by. */
	__u32 egress;
	__u32 mtu; /* of the route; FLOW_ENCAP: of the longest frame that was seen since they were asked */
	__u8 destination[ETH_ADDR_LEN];
	__u8 source[ETH_ADDR_LEN];
	__u64 packets; /* that went without the kernel; not exact where several CPUs count */
	__u64 bytes;
	__u64 begun_ns;          /* of its first frame */
	__u64 unready_ns;        /* of the last look that found its connection not ready */
	struct flow_ends out;    /* as it leaves; FLOW_ENCAP: the outer ends */
	struct flow_outer outer; /* FLOW_ENCAP */
	/* FLOW_DECAP, FLOW_ENCAP: the inner address that was last found behind the other VTEP of this flow, and in the
	 * upper 16 bits control.fdb_generation from before that. 0: none since they were asked. */
	__u64 behind;
	/* Of an ICMP echo that rules see: where conntrack's entry was when its last frame left. It may be gone. */
	__u64 connection;
};
UNDERPASS_SIZE(struct flow, 152);

/* What a program asks the daemon for, in the map of requests: that conntrack takes the TCP connection of this tuple to
 * be right whatever its windows are (IP_CT_TCP_FLAG_BE_LIBERAL), since it will not see all of its packets. Once the
 * kernel has done so, its packets go fast. */
struct flow_request {
	struct flow_key key;
	__u32 reserved;
};
UNDERPASS_SIZE(struct flow_request, 48);

#endif
