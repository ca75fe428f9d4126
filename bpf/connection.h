/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's connection tracking, as far as programs read it. No table of our own: an entry is looked up, and what it
 * says now counts. The kernel's structs are found by CO-RE, so only the members that are read are named here.
 *
 * The lookups know TCP and UDP in the default zone. ICMP echoes: see echo.h. Whatever else is tracked stays the
 * kernel's.
 *
 * Each program is built twice: WITH_CONNTRACK it needs the kernel's types and nf_conntrack, else nothing of it, and
 * what is tracked is the kernel's. */
#ifndef UNDERPASS_BPF_CONNECTION_H
#define UNDERPASS_BPF_CONNECTION_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/flow.h"
#include "bpf/map_defs.h"

/* linux/netfilter/nf_conntrack_common.h and _tcp.h, some of which is not for programs. */
enum {
	CONNECTION_SEEN_REPLY = 1 << 1,
	CONNECTION_CONFIRMED = 1 << 3,
	/* Dying, a template, untracked, offloaded to a flowtable; sequence numbers that change, a helper. */
	CONNECTION_NOT_PLAIN = 1 << 6 | 1 << 9 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14,
	CONNECTION_REPLY = 1, /* IP_CT_DIR_REPLY */
	TCP_ESTABLISHED = 3,
	TCP_BE_LIBERAL = 0x08,
	TCP_MAXACK_SET = 0x20,
	NFCT_INFO = 7,  /* the bits of skb->_nfct that are no address: enum ip_conntrack_info */
	NFCT_REPLY = 3, /* IP_CT_IS_REPLY: from here on it is of the direction of the answers */
};

static __always_inline bool is_tracked(const struct control *now, const struct flow_key *key)
{
	return now->flags & (key->family == FLOW_AF_INET ? CONTROL_TRACKED_IPV4 : CONTROL_TRACKED_IPV6);
}

#ifdef WITH_CONNTRACK

#include "bpf/skb.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct nf_conntrack_man {
	union {
		__u32 all[4];
	} u3;
	union {
		__be16 all;
	} u;
	__u16 l3num;
};

struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		union {
			__u32 all[4];
		} u3;
		union {
			__be16 all;
		} u;
		__u8 protonum;
	} dst;
};

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
};

struct ip_ct_tcp_state {
	__u8 flags;
};

struct ip_ct_tcp {
	struct ip_ct_tcp_state seen[2];
	__u8 state;
};

struct nf_conntrack_zone {
	__u16 id;
};

struct nf_conn {
	__u32 timeout;
	struct nf_conntrack_zone zone;
	struct nf_conntrack_tuple_hash tuplehash[2];
	unsigned long status;
	struct {
		void *net;
	} ct_net;
	__u32 mark;
	union {
		struct ip_ct_tcp tcp;
	} proto;
};

#pragma clang attribute pop

struct bpf_ct_opts {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};

extern struct nf_conn *CTX_CT_LOOKUP(ctx_t *ctx, struct bpf_sock_tuple *tuple, __u32 tuple_len,
                                     struct bpf_ct_opts *opts, __u32 opts_len) __ksym;
extern void bpf_ct_release(struct nf_conn *connection) __ksym;

/* The connection of a packet that comes in as `key` says, or leaves so (`reversed`); `reply` tells whose direction the
 * tuple that was looked up is. To be released. */
static __always_inline struct nf_conn *connection_find(ctx_t *ctx, const struct flow_key *key, bool reversed,
                                                       bool *reply)
{
	struct bpf_ct_opts opts = {.netns_id = BPF_F_CURRENT_NETNS, .l4proto = key->protocol};
	struct bpf_sock_tuple tuple = {};
	struct nf_conn *connection;
	__u32 len;

	if (key->protocol != IPPROTO_TCP && key->protocol != IPPROTO_UDP)
		return NULL;
	if (key->family == FLOW_AF_INET) {
		tuple.ipv4.saddr = reversed ? key->destination[0] : key->source[0];
		tuple.ipv4.daddr = reversed ? key->source[0] : key->destination[0];
		tuple.ipv4.sport = reversed ? key->destination_port : key->source_port;
		tuple.ipv4.dport = reversed ? key->source_port : key->destination_port;
		len = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, reversed ? key->destination : key->source, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, reversed ? key->source : key->destination, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = reversed ? key->destination_port : key->source_port;
		tuple.ipv6.dport = reversed ? key->source_port : key->destination_port;
		len = sizeof(tuple.ipv6);
	}
	/* Its length is known to the verifier only where it is a constant. */
	connection = len == sizeof(tuple.ipv4) ? CTX_CT_LOOKUP(ctx, &tuple, sizeof(tuple.ipv4), &opts, sizeof(opts))
	                                       : CTX_CT_LOOKUP(ctx, &tuple, sizeof(tuple.ipv6), &opts, sizeof(opts));
	*reply = opts.dir == CONNECTION_REPLY;
	return connection;
}

/* What conntrack takes the packet for: the entry's address, and its direction and state in NFCT_INFO. */
static __always_inline unsigned long connection_of(ctx_t *ctx)
{
	const struct sk_buff *skb = (const void *)ctx;
	unsigned long entry = 0;

	bpf_core_read(&entry, sizeof(entry), &skb->_nfct);
	return entry;
}

/* Whether conntrack takes the packet for one of a connection. Not, if it calls it invalid or a rule has it untracked:
 * then rules may say of it what they say of no other. */
static __always_inline bool connection_has(ctx_t *ctx)
{
	return connection_of(ctx) & ~(unsigned long)NFCT_INFO;
}

/* The tuple of one direction, as addresses and ports of a key. */
static __always_inline void connection_tuple(const struct nf_conn *connection, bool reply, struct flow_key *key)
{
	const struct nf_conntrack_tuple *tuple =
	    reply ? &connection->tuplehash[1].tuple : &connection->tuplehash[0].tuple;

	key->source[0] = tuple->src.u3.all[0];
	key->source[1] = tuple->src.u3.all[1];
	key->source[2] = tuple->src.u3.all[2];
	key->source[3] = tuple->src.u3.all[3];
	key->destination[0] = tuple->dst.u3.all[0];
	key->destination[1] = tuple->dst.u3.all[1];
	key->destination[2] = tuple->dst.u3.all[2];
	key->destination[3] = tuple->dst.u3.all[3];
	key->source_port = tuple->src.u.all;
	key->destination_port = tuple->dst.u.all;
}

/* Both directions were seen and accepted, nothing else is done to its packets, and it is translated as the flow is. */
static __always_inline bool connection_is_plain(const struct nf_conn *connection, const struct flow *flow, bool reply)
{
	__u64 wanted = CONNECTION_CONFIRMED | CONNECTION_SEEN_REPLY;
	struct flow_key other = {};

	if ((connection->status & (wanted | CONNECTION_NOT_PLAIN)) != wanted)
		return false;
	if (bpf_core_field_exists(connection->mark) && connection->mark)
		return false;
	connection_tuple(connection, !reply, &other);
	return same_words(other.source, flow->out.destination) && same_words(other.destination, flow->out.source) &&
	       other.source_port == flow->out.destination_port && other.destination_port == flow->out.source_port;
}

static __always_inline void request_preparation(const struct flow_key *key)
{
	struct flow_request *request = bpf_ringbuf_reserve(&requests, sizeof(*request), 0);

	if (!request)
		return;
	request->key = *key;
	request->reserved = 0;
	bpf_ringbuf_submit(request, 0);
}

/* Whether packets of the flow may go on without conntrack. Of one with only few packets nothing is asked for.
 *
 * A global function: the verifier goes through it once, not once for every way that leads here. */
__noinline int connection_is_ready(ctx_t *ctx, const struct flow_key *key, const struct flow *flow)
{
	struct nf_conn *connection;
	bool ready, reply;

	if (!key || !flow)
		return false;
	connection = connection_find(ctx, key, false, &reply);
	if (!connection)
		return false;
	ready = connection_is_plain(connection, flow, reply);
	if (ready && key->protocol == IPPROTO_TCP) {
		__u8 original = connection->proto.tcp.seen[0].flags, answer = connection->proto.tcp.seen[1].flags;
		bool liberal = original & answer & TCP_BE_LIBERAL;

		ready = connection->proto.tcp.state == TCP_ESTABLISHED;
		/* What conntrack saw acknowledged last is no measure of a RST any more, once that is long ago. */
		if (ready && (liberal ? flow->bytes >= FLOW_OLD_ACK_BYTES && ((original | answer) & TCP_MAXACK_SET)
		                      : flow->asked >= FLOW_REQUEST_FRAMES))
			request_preparation(key);
		ready = ready && liberal;
	}
	bpf_ct_release(connection);
	return ready;
}

/* The key as a packet came in, from how it leaves: the other direction of what answers it. False where it is of no
 * connection. `answered`: it has seen both directions, so that the packets to come have the state of this one. */
static __always_inline bool connection_key_before(ctx_t *ctx, struct flow_key *key, bool *answered)
{
	struct nf_conn *connection;
	bool reply;

	if (!connection_has(ctx))
		return false;
	connection = connection_find(ctx, key, true, &reply);
	if (!connection)
		return false;
	connection_tuple(connection, !reply, key);
	*answered = connection->status & CONNECTION_SEEN_REPLY;
	bpf_ct_release(connection);
	return true;
}

#else

static __always_inline bool connection_is_ready(ctx_t *ctx, const struct flow_key *key, const struct flow *flow)
{
	return false;
}

static __always_inline bool connection_key_before(ctx_t *ctx, struct flow_key *key, bool *answered)
{
	return false;
}

#endif

#endif
