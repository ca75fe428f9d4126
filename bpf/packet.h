/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the stages know of a frame, and the contract between them.
 *
 * A stage is `static __always_inline enum verdict stage(ctx_t *ctx, struct packet *pkt)`. It returns CONTINUE, or
 * ends the frame's way: it then sets pkt->reason, and for FORWARD pkt->egress. Facts and offsets are copied out of
 * the frame, never pointers into it, since a helper may move the data. Pointers to map values stay valid. */
#ifndef UNDERPASS_BPF_PACKET_H
#define UNDERPASS_BPF_PACKET_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/words.h"
#include "maps/device.h"
#include "maps/fdb.h"
#include "maps/flow.h"
#include "maps/memo.h"
#include "maps/reason.h"

/* Longer than a softirq keeps what it has queued. A flow is shown to the kernel each second, a source once in minutes:
 * there is time to wait, too, for a CPU that a hypervisor takes away meanwhile. */
#define OVERTAKING_NS 50000000ULL
#define PULSE_OVERTAKING_NS 200000000ULL

/* Bytes around a frame in a tunnel: Ethernet, IP, UDP, VXLAN. */
enum { VXLAN_OUTER_IPV4 = 14 + 20 + 8 + 8, VXLAN_OUTER_IPV6 = 14 + 40 + 8 + 8 };

enum verdict {
	CONTINUE, /* the next stage decides */
	PASS,     /* the kernel's way, whole and untouched */
	DROP,     /* only of a frame that is no longer what it was */
	FORWARD,  /* out of pkt->egress */
	STOPPED,  /* a profile ends here; see profile.h */
};

struct packet {
	struct device *ingress;
	struct fdb_entry *from; /* the source's, as long as it is not remembered */
	struct memo *memo;      /* where what the FDB says of the frame is, or may be, remembered */
	struct device *egress;
	struct flow *flow;     /* of a frame that is routed, or that rules see, and that the kernel was asked about */
	struct flow *tunnel;   /* FLOW_DECAP of the tunnel that it came through */
	struct flow *outgoing; /* FLOW_ENCAP of the tunnel that it is to be put into */

	__u64 now_ns; /* CLOCK_MONOTONIC_COARSE */
	__u32 ingress_slot;
	__u32 egress_slot;
	__u32 fdb_generation; /* from before the FDB was asked */
	bool remembered;      /* ... and it needs not be: pkt->memo says it */
	__u8 reserved[3];
	__u8 destination[ETH_ADDR_LEN]; /* address_words() takes both */
	__u8 source[ETH_ADDR_LEN];
	enum reason reason;

	/* From here on what may be as it was at the beginning, see packet_forget. */
	__u32 underlay_slot; /* of the device that it came in by, in a tunnel; 0: in none */
	__u32 base;          /* where it begins: behind the outer headers, as long as it has them */
	__u32 network_offset;
	__u32 len;           /* bytes, see ctx_len; from the outer headers on */
	__u32 bridge;        /* ifindex: that it is in, or is routed out of; 0: none */
	__u32 hop;           /* the four bytes with the TTL, or the hop limit, as they are to be */
	__u32 trim;          /* bytes behind the packet, which a router does not send on */
	__u32 segments;      /* frames on the wire that it stood for as it came */
	__be16 protocol;     /* EtherType behind the outer VLAN tag, if there is one */
	__be16 tag_protocol; /* of the outer tag */
	__u16 tci;           /* ... its PCP, DEI and VID, in host order */
	__u16 vid;           /* of the FDB that it is looked up in: 0 without VLAN filtering */
	__u16 out_vid;       /* the same of the FDB that its destination is looked up in */
	__u16 push_tci;
	__be16 push_protocol;
	__u8 rights;      /* enum vlan_rights: of the ingress port in that VLAN */
	__u8 transport;   /* IP protocol */
	__u8 tos;         /* IPv4 TOS or IPv6 traffic class, without ECN */
	bool tagged;      /* carries a VLAN tag, in its bytes or beside them, as the bridge gets it */
	bool own_tag;     /* ... that a VLAN-aware bridge goes by */
	bool strip;       /* leaves without the outer tag that it came in with */
	bool push;        /* ... and with another */
	bool egress_peer; /* deliver to the veth's other end, not through its transmit path */
	bool rewritten;   /* not what came in any more: the kernel cannot have it */
	bool routed;      /* for the router; where it leaves, the MACs above are the next hop's and the router's */
	bool connection;  /* ... one that conntrack has */
	bool translated;  /* ... with the addresses and ports of flow->out */
	bool encap;       /* to be put into a tunnel as pkt->outgoing and the scratch say */
	bool overtakes;   /* a frame of this source may still be on the kernel's way: stay behind it */
} __attribute__((aligned(8)));

_Static_assert(offsetof(struct packet, destination) % sizeof(__u64) == 0 &&
                   offsetof(struct packet, source) == offsetof(struct packet, destination) + ETH_ADDR_LEN,
               "a frame's addresses are no words");

/* Makes the verifier forget which facts are still as they were at the beginning: it would go through the rest of the
 * program once for each combination of facts that were found and that were not. `nothing` is zero, which it must not
 * know. */
static __always_inline void packet_forget(struct packet *pkt, __u64 nothing)
{
	__u64 *words = (void *)pkt;

	for (__u32 i = offsetof(struct packet, underlay_slot) / 8; i < sizeof(*pkt) / 8; i++)
		words[i] += nothing;
}

/* That it is sent on as. */
static __always_inline __u32 frame_len(const struct packet *pkt)
{
	return pkt->len - pkt->base;
}

static __always_inline enum verdict pass(struct packet *pkt, enum reason reason)
{
	pkt->reason = reason;
	return PASS;
}

#endif
