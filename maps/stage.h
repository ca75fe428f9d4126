/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The stages of a frame's way in their order (bpf/pipeline.h), for programs that are built to be profiled: such a one
 * ends behind the stage that its constant `profile_stop` names. */
#ifndef UNDERPASS_MAPS_STAGE_H
#define UNDERPASS_MAPS_STAGE_H

/* X(symbol, name, what it does) */
#define STAGES(X)                                                                                                      \
	X(ENTRY, "entry", "room for the frame's facts; at TC, whether it came out of a VXLAN device")                  \
	X(ADMIT, "admit", "the device that it came in by")                                                             \
	X(PARSE, "parse", "its addresses, its tag, its EtherType")                                                     \
	X(UPPER, "upper", "the VLAN device that it is for")                                                            \
	X(DECAP, "decap", "the tunnel that it came through, its outer headers and their checksum")                     \
	X(VLAN, "vlan", "its VLAN on the bridge, and what its port may do there")                                      \
	X(SOURCE, "source", "its source in the FDB, or what is remembered of it")                                      \
	X(FRESH, "fresh", "the daemon's heartbeat")                                                                    \
	X(INGRESS, "ingress", "whether its port forwards")                                                             \
	X(NETFILTER, "netfilter", "what br_netfilter would look at")                                                   \
	X(PULSE, "pulse", "whether the kernel has to see it")                                                          \
	X(FORGET, "forget", "what the verifier is to forget of it")                                                    \
	X(UNICAST, "unicast", "whether it is for one port")                                                            \
	X(ROUTE, "route", "its flow, its route, its connection")                                                       \
	X(BRIDGE, "bridge", "its destination in the FDB, and the port of that")                                        \
	X(TAG, "tag", "the tag that it leaves with, and its length")                                                   \
	X(ENCAP, "encap", "the tunnel that it is put into")                                                            \
	X(REWRITE, "rewrite", "its headers as it leaves with them, and their checksums")                               \
	X(EMIT, "emit", "the redirect, and counting it")

#define PROFILE_SECTION ".rodata.profile"

enum stage {
	STAGE_NONE, /* nothing is run */
#define X(symbol, name, what) STAGE_##symbol,
	STAGES(X)
#undef X
	    STAGE_COUNT,
};

/* What a program returns that has come to the end of its last stage, and no other: no action of XDP or TC. */
#define PROFILE_STOPPED 0x570

#endif
