/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one list of exits: every frame leaves with one of these reasons. Each has a counter per device, the name that
 * `status --json` prints, and the sentence that tells a person why a frame was not fast.
 *
 * Append only, and raise UNDERPASS_ABI when a meaning changes: counters of a running system are adopted by index. */
#ifndef UNDERPASS_MAPS_REASON_H
#define UNDERPASS_MAPS_REASON_H

#include <linux/types.h>

/* X(symbol, name, sentence) */
#define REASONS(X)                                                                                                     \
	X(FORWARDED, "forwarded", "went straight to the port of its destination")                                      \
	X(NOT_OURS, "not-ours", "came in by a device that is not a port of an accelerated bridge")                     \
	X(STALE, "stale", "the daemon's heartbeat is old, so nothing in the maps is believed")                         \
	X(RUNT, "runt", "is shorter than its headers")                                                                 \
	X(LOOPED, "looped", "is the host's own frame, looped back")                                                    \
	X(NOT_FORWARDING, "not-forwarding", "the port it came in by is not in the forwarding state")                   \
	X(LEFT_TO_KERNEL, "left-to-kernel", "the port it came in by is left to the kernel (see `underpass check`)")    \
	X(SOURCE_UNKNOWN, "source-unknown", "its source is not in the FDB yet: the kernel learns it")                  \
	X(SOURCE_MOVED, "source-moved", "its source was at another port: the kernel moves it")                         \
	X(PULSE, "pulse", "the first frame of a source, and one per interval, keeps the kernel's own FDB right")       \
	X(MULTICAST, "multicast", "goes to a group or to everyone: the kernel floods it")                              \
	X(ARP, "arp", "is ARP: the kernel may answer or suppress it")                                                  \
	X(ND, "nd", "is IPv6 neighbour discovery: the kernel may answer or suppress it")                               \
	X(VLAN_UPPER, "vlan-upper", "is tagged, and a VLAN device may take it before the bridge does")                 \
	X(TO_HOST, "to-host", "is for the host itself")                                                                \
	X(DESTINATION_UNKNOWN, "destination-unknown", "its destination is not in the FDB: the kernel floods it")       \
	X(DESTINATION_UNCONFIRMED, "destination-unconfirmed",                                                          \
	  "its destination has not sent a frame since its FDB entry changed, so the port is not certain")              \
	X(DESTINATION_MOVED, "destination-moved", "its destination was just seen at another port")                     \
	X(SAME_PORT, "same-port", "its destination is at the port it came in by")                                      \
	X(ISOLATED, "isolated", "goes from an isolated port to another")                                               \
	X(EGRESS_NOT_READY, "egress-not-ready", "the port of its destination is left to the kernel or not forwarding") \
	X(TOO_BIG, "too-big", "is longer than the MTU of the port of its destination allows")                          \
	X(IP_INVALID, "ip-invalid", "br_netfilter would check, trim or drop it")                                       \
	X(SOURCE_INVALID, "source-invalid", "its source is a group or nobody: the kernel drops it")                    \
	X(NOT_A_MEMBER, "not-a-member",                                                                                \
	  "its VLAN is none of the port it came in by, or blocked there; or it has no tag and the port no PVID")       \
	X(VLAN_NOT_READY, "vlan-not-ready",                                                                            \
	  "its VLAN is not forwarding at the port it came in by, or is left to the kernel there")                      \
	X(EGRESS_NOT_A_MEMBER, "egress-not-a-member",                                                                  \
	  "its VLAN is not forwarding at the port of its destination, or is left to the kernel there")                 \
	X(REWRITE_FAILED, "rewrite-failed", "was dropped: it was being changed and memory ran out")                    \
	X(ROUTED, "routed", "was routed, straight to the port or device of its next hop")                              \
	X(ROUTE_EXCEPTION, "route-exception",                                                                          \
	  "is not a plain packet: TTL, options, fragments and ICMP messages are the kernel's")                         \
	X(FLOW_ASKED, "flow-asked", "the first frame of a flow, and one per second, shows how the kernel routes it")   \
	X(FLOW_UNANSWERED, "flow-unanswered",                                                                          \
	  "no frame of its flow has left again yet: the kernel keeps it, drops it or sends it by another device")      \
	X(ROUTE_CHANGED, "route-changed", "its route is not the one that its flow was seen to take")                   \
	X(ROUTED_CONNECTION, "routed-connection",                                                                      \
	  "was routed, and is of a connection that the kernel's rules accepted and conntrack follows")                 \
	X(TRANSLATED, "translated", "was routed, and its addresses or ports translated as conntrack says (NAT)")       \
	X(CONNECTION_NOT_READY, "connection-not-ready",                                                                \
	  "rules see it, and conntrack has no established connection of it that can go fast")                          \
	X(CONNECTION_BEGINS_OR_ENDS, "connection-begins-or-ends",                                                      \
	  "begins or ends a TCP connection (SYN, FIN, RST): conntrack has to see it")                                  \
	X(BRIDGED_FLOW, "bridged-flow",                                                                                \
	  "went straight to the port of its destination, and is of a flow that the kernel's rules accepted")           \
	X(DECAPSULATED, "decapsulated", "was taken out of its tunnel, straight to the port or device of its next hop") \
	X(ENCAPSULATED, "encapsulated", "was put into a tunnel, straight to the device that its packets leave by")     \
	X(TUNNEL_EXCEPTION, "tunnel-exception",                                                                        \
	  "came through a tunnel and is not plain there (options, fragments, a wrong checksum), or TC has it as one "  \
	  "of many")                                                                                                   \
	X(VTEP_UNKNOWN, "vtep-unknown",                                                                                \
	  "the tunnel's FDB has its source or its destination behind no VTEP yet, or not for certain")                 \
	X(VTEP_MOVED, "vtep-moved", "its source or its destination was just seen behind another VTEP")

enum reason {
#define X(symbol, name, sentence) REASON_##symbol,
	REASONS(X)
#undef X
	    REASON_COUNT,
};

/* Those with which a frame did not go the kernel's way. */
static inline int reason_is_fast(__u32 reason)
{
	return reason == REASON_FORWARDED || reason == REASON_ROUTED || reason == REASON_ROUTED_CONNECTION ||
	       reason == REASON_TRANSLATED || reason == REASON_BRIDGED_FLOW || reason == REASON_DECAPSULATED ||
	       reason == REASON_ENCAPSULATED;
}

#endif
