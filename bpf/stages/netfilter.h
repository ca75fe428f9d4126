/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* netfilter: what br_netfilter does to a bridged frame even where no rule is set. It drops IP packets that it finds
 * malformed, trims what follows a packet in its frame, and, where connections are tracked, keeps fragments until they
 * are whole. A frame that is just its packet, and a packet that is beyond doubt, comes out as it went in; any other is
 * the kernel's. (What rules may say of it: see route.h.)
 *
 * In: a frame that is to be bridged. Mirrors br_validate_ipv4 and br_validate_ipv6. */
#ifndef UNDERPASS_BPF_STAGES_NETFILTER_H
#define UNDERPASS_BPF_STAGES_NETFILTER_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>

#include "bpf/bytes.h"
#include "bpf/csum.h"
#include "bpf/flow.h"
#include "bpf/packet.h"
#include "bpf/vlan.h"

enum { PPPOE_LEN = 8 };

static __always_inline bool ipv4_is_plain(ctx_t *ctx, const struct packet *pkt)
{
	struct iphdr ip;

	if (!load_bytes(ctx, pkt->network_offset, &ip, sizeof(ip)))
		return false;
	return ip.version == 4 && ip.ihl == 5 && !(ip.frag_off & bpf_htons(IP_FRAGMENT)) &&
	       pkt->network_offset + bpf_ntohs(ip.tot_len) == pkt->len && csum_is_valid(&ip, sizeof(ip));
}

static __always_inline bool ipv6_is_plain(ctx_t *ctx, const struct packet *pkt)
{
	struct ipv6hdr ip;

	if (!load_bytes(ctx, pkt->network_offset, &ip, sizeof(ip)))
		return false;
	return ip.version == 6 && ip.nexthdr != IPPROTO_HOPOPTS && ip.nexthdr != IPPROTO_ROUTING &&
	       ip.nexthdr != IPPROTO_FRAGMENT && ip.nexthdr != IPPROTO_DSTOPTS &&
	       pkt->network_offset + sizeof(ip) + bpf_ntohs(ip.payload_len) == pkt->len;
}

/* Whatever its sysctls say, br_netfilter drops what ends within an inner tag, or a PPPoE header
 * (nf_bridge_encap_header_len). An inner tag has to be whole for ctx_strip_tag, too. */
static __always_inline bool ends_in_encapsulation(ctx_t *ctx, const struct packet *pkt)
{
	__u8 header[PPPOE_LEN] ALIGNED;

	if (is_vlan_protocol(pkt->protocol))
		return !load_bytes(ctx, pkt->network_offset, header, TAG_LEN);
	return pkt->protocol == bpf_htons(ETH_P_PPP_SES) && !load_bytes(ctx, pkt->network_offset, header, PPPOE_LEN);
}

static __always_inline enum verdict netfilter(ctx_t *ctx, struct packet *pkt)
{
	__u32 flags = pkt->ingress->flags;

	if (ends_in_encapsulation(ctx, pkt))
		return pass(pkt, REASON_RUNT);
	/* Tagged frames are not looked into: the rules refuse a bridge whose sysctls say otherwise. */
	if (!(flags & (DEVICE_BRNF_IPV4 | DEVICE_BRNF_IPV6)) || pkt->tagged)
		return CONTINUE;
	if ((flags & DEVICE_BRNF_IPV4) && pkt->protocol == bpf_htons(ETH_P_IP) && !ipv4_is_plain(ctx, pkt))
		return pass(pkt, REASON_IP_INVALID);
	if ((flags & DEVICE_BRNF_IPV6) && pkt->protocol == bpf_htons(ETH_P_IPV6) && !ipv6_is_plain(ctx, pkt))
		return pass(pkt, REASON_IP_INVALID);
	return CONTINUE;
}

#endif
