/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The connection of an ICMP echo, which the kernel's lookups do not know. The witness finds the entry at the packets
 * that leave (skb->_nfct) and writes its address into the flow; where the next packets come in it is read from there.
 *
 * By then the entry may be gone, and its memory another's, of conntrack or not. So it is no more than a place to look
 * at: it counts if it has what an entry of this connection would have, in this namespace. An entry that is taken out of
 * conntrack is marked as dying before, and stays so until its memory is of another one; and another one for the same
 * two tuples is the same connection. */
#ifndef UNDERPASS_BPF_ECHO_H
#define UNDERPASS_BPF_ECHO_H

#include <stdbool.h>
#include <linux/in.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/connection.h"
#include "bpf/flow.h"

static __always_inline bool is_echo(const struct flow_key *key)
{
	return key->protocol == IPPROTO_ICMP || key->protocol == IPPROTO_ICMPV6;
}

#ifdef WITH_CONNTRACK

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct net_device {
	struct {
		void *net;
	} nd_net;
};

struct xdp_rxq_info {
	struct net_device *dev;
};

struct xdp_buff {
	struct xdp_rxq_info *rxq;
};

#pragma clang attribute pop

/* As conntrack has it: the identifier stands with the source in either direction. */
struct echo_tuple {
	__be32 source[4];
	__be32 destination[4];
	__be16 identifier;
	__u8 type;
	__u8 code;
};

/* False: what is there is not of an echo of that protocol. */
static __always_inline bool echo_tuple_read(const struct nf_conn *entry, bool reply, const struct flow_key *key,
                                            struct echo_tuple *to)
{
	const struct nf_conntrack_tuple *tuple = reply ? &entry->tuplehash[1].tuple : &entry->tuplehash[0].tuple;
	__u16 family = 0;
	__u8 protocol = 0;

	bpf_core_read(&family, sizeof(family), &tuple->src.l3num);
	bpf_core_read(&protocol, sizeof(protocol), &tuple->dst.protonum);
	if (family != key->family || protocol != key->protocol)
		return false;
	return !bpf_core_read(to->source, sizeof(to->source), &tuple->src.u3.all) &&
	       !bpf_core_read(to->destination, sizeof(to->destination), &tuple->dst.u3.all) &&
	       !bpf_core_read(&to->identifier, sizeof(to->identifier), &tuple->src.u.all) &&
	       !bpf_core_read(&to->type, 2 * sizeof(__u8), &tuple->dst.u.all);
}

static __always_inline __u8 echo_answer_type(const struct flow_key *key)
{
	return key->destination_port ^ (key->family == FLOW_AF_INET ? ICMPV4_ECHO_REQUEST ^ ICMPV4_ECHO_REPLY
	                                                            : ICMPV6_ECHO_REQUEST ^ ICMPV6_ECHO_REPLY);
}

/* A request belongs to the original direction: no other packet begins a connection. */
static __always_inline bool echo_is_answer(const struct flow_key *key)
{
	return key->destination_port == (key->family == FLOW_AF_INET ? ICMPV4_ECHO_REPLY : ICMPV6_ECHO_REPLY);
}

static __always_inline bool echo_comes_in_as(const struct nf_conn *entry, const struct flow_key *key)
{
	struct echo_tuple tuple = {};

	return echo_tuple_read(entry, echo_is_answer(key), key, &tuple) && same_words(tuple.source, key->source) &&
	       same_words(tuple.destination, key->destination) && tuple.identifier == key->source_port &&
	       tuple.type == key->destination_port && !tuple.code;
}

static __always_inline bool echo_leaves_as(const struct nf_conn *entry, const struct flow_key *key,
                                           const struct flow_ends *out)
{
	struct echo_tuple tuple = {};

	return echo_tuple_read(entry, !echo_is_answer(key), key, &tuple) &&
	       same_words(tuple.source, out->destination) && same_words(tuple.destination, out->source) &&
	       tuple.identifier == out->source_port && tuple.type == echo_answer_type(key) && !tuple.code;
}

static __always_inline unsigned long echo_status(const struct nf_conn *entry)
{
	unsigned long status = 0;

	bpf_core_read(&status, sizeof(status), &entry->status);
	return status;
}

static __always_inline bool echo_status_is_plain(const struct nf_conn *entry)
{
	unsigned long wanted = CONNECTION_CONFIRMED | CONNECTION_SEEN_REPLY;

	return (echo_status(entry) & (wanted | CONNECTION_NOT_PLAIN)) == wanted;
}

/* What else a lookup, and connection_is_plain, would ask. Mirrors nf_ct_is_expired. */
static __always_inline bool echo_is_current(ctx_t *ctx, const struct nf_conn *entry)
{
	const void *here = CTX_NET(ctx), *net = NULL;
	__u32 timeout = 0, mark = 0;
	__u16 zone = 0;

	if (bpf_core_field_exists(entry->ct_net.net) &&
	    (bpf_core_read(&net, sizeof(net), &entry->ct_net.net) || !net || net != here))
		return false;
	if (bpf_core_field_exists(entry->mark))
		bpf_core_read(&mark, sizeof(mark), &entry->mark);
	if (bpf_core_field_exists(entry->zone))
		bpf_core_read(&zone, sizeof(zone), &entry->zone.id);
	return !bpf_core_read(&timeout, sizeof(timeout), &entry->timeout) &&
	       (__s32)(timeout - (__u32)bpf_jiffies64()) > 0 && !mark && !zone;
}

/* Whether echoes of the flow may go on without conntrack. The status is read before and after the rest: what was freed
 * and is another's between two of these reads has not been confirmed, and answered, by the last.
 *
 * A global function, see connection_is_ready. */
__noinline int echo_is_ready(ctx_t *ctx, const struct flow_key *key, const struct flow *flow)
{
	const struct nf_conn *entry;

	if (!key || !flow || !flow->connection)
		return false;
	entry = (const struct nf_conn *)flow->connection;
	return echo_status_is_plain(entry) && echo_comes_in_as(entry, key) && echo_leaves_as(entry, key, &flow->out) &&
	       echo_is_current(ctx, entry) && echo_status_is_plain(entry);
}

/* See connection_key_before; `connection`: the entry's address. The packet holds the entry, so it is none but its
 * own. */
static __always_inline bool echo_key_before(ctx_t *ctx, struct flow_key *key, bool *answered, __u64 *connection)
{
	unsigned long found = connection_of(ctx);
	const struct nf_conn *entry = (const void *)(found & ~(unsigned long)NFCT_INFO);
	struct echo_tuple tuple = {};

	if (!entry || echo_is_answer(key) != ((found & NFCT_INFO) >= NFCT_REPLY) ||
	    !echo_tuple_read(entry, echo_is_answer(key), key, &tuple) || tuple.type != key->destination_port ||
	    tuple.code)
		return false;
	__builtin_memcpy(key->source, tuple.source, sizeof(key->source));
	__builtin_memcpy(key->destination, tuple.destination, sizeof(key->destination));
	key->source_port = tuple.identifier;
	*answered = echo_status(entry) & CONNECTION_SEEN_REPLY;
	*connection = (unsigned long)entry;
	return true;
}

#else

static __always_inline bool echo_is_ready(ctx_t *ctx, const struct flow_key *key, const struct flow *flow)
{
	return false;
}

static __always_inline bool echo_key_before(ctx_t *ctx, struct flow_key *key, bool *answered, __u64 *connection)
{
	return false;
}

#endif

#endif
