/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The generator: run by BPF_PROG_TEST_RUN with live frames, it writes each frame's head from the next template and
 * redirects it to a device, so that the frame comes in at the device's other end as from a wire. And the sink, which
 * counts what comes out there.
 *
 * The frames' memory is recycled with whatever the path under test wrote into it, so the head is written whole for
 * every frame. The programs run on one CPU at a time: their state needs no atomics. */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bench/bpf/frame_template.h"

const volatile __u32 egress_ifindex;
const volatile __u32 template_count = 1;
const volatile __u32 flow_port_offset = FLOW_PORT_OFFSET;
const volatile __u32 first_port = FLOW_PORT_BASE;
const volatile __u32 flow_count = 1; /* UDP source ports, one after another at each round of the templates */
const volatile __u32 moved;          /* MOVED_BYTES are taken off before the frame */
const volatile struct outer_template outer;

__u64 frames_sent;
__u64 begun_ns; /* CLOCK_MONOTONIC of the first frame since user space set it to 0 */
__u32 stamping; /* the sink writes down when each frame came, which costs it some time */
__u64 first_ns; /* CLOCK_MONOTONIC of the first that came meanwhile since user space set it to 0 */
__u64 last_ns;  /* ... and of the last */
__u32 next_template;
__u32 flow;
__u64 pace;        /* between two frames, see PACE_SHIFT; 0: as many as can be */
__u64 paced_since; /* CLOCK_MONOTONIC, ns */
__u64 paced_due;   /* when the next frame is due, since then, in the unit of `pace` */

/* The heads, in the order in which they are sent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TEMPLATE_SLOTS);
	__type(key, __u32);
	__type(value, struct frame_template);
} templates SEC(".maps");

/* The sink's count, by CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sink_count);
} sink_counts SEC(".maps");

/* The headers of the tunnel, with the source port and the checksum of this frame. */
static __always_inline void write_outer(void *data, const struct frame_template *frame, __u32 index)
{
	__be16 port = bpf_htons(OUTER_PORT_BASE + (flow * template_count + index) % OUTER_PORTS);
	__u64 *to = data;
	__u32 sum;

#pragma unroll
	for (int i = 0; i < OUTER_BYTES / 8; i++)
		to[i] = outer.words[i];
	*(__u16 *)&to[OUTER_BYTES / 8] = (__u16)outer.words[OUTER_BYTES / 8];
	*(__be16 *)(data + FLOW_PORT_OFFSET) = port;
	if (!outer.summed)
		return;
	sum = (__u32)(frame->words[TEMPLATE_SUM_WORD] >> 32) + port + (__u16)bpf_htons(first_port + flow);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*(__u16 *)(data + OUTER_SUM_OFFSET) = sum == 0xffff ? 0xffff : ~sum;
}

/* Whether the next frame is due. Until it is, the kernel's frames are dropped, so that it gets to all else between two
 * of its batches: a wait in here would hold that up. */
static __always_inline bool is_due(void)
{
	const __u64 behind = PACE_BEHIND * pace;
	__u64 now;

	if (!pace)
		return true;
	now = (bpf_ktime_get_ns() - paced_since) << PACE_SHIFT;
	if (now < paced_due)
		return false;
	if (now - paced_due > behind)
		paced_due = now - behind;
	paced_due += pace;
	return true;
}

SEC("xdp")
int bench_generate(struct xdp_md *ctx)
{
	__u32 index = next_template;
	struct frame_template *from = bpf_map_lookup_elem(&templates, &index);
	void *data;
	__u64 *to;

	if (!is_due())
		return XDP_DROP;
	if (moved && bpf_xdp_adjust_head(ctx, MOVED_BYTES))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	if (from && outer.present) {
		if (data + OUTER_BYTES > (void *)(long)ctx->data_end)
			return XDP_ABORTED;
		write_outer(data, from, index);
		data += OUTER_BYTES;
	}
	to = data;
	if (!from || data + TEMPLATE_WRITTEN > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
#pragma unroll
	for (int i = 0; i < TEMPLATE_WRITTEN / 8; i++)
		to[i] = from->words[i];
	*(__u32 *)&to[TEMPLATE_WRITTEN / 8] = (__u32)from->words[TEMPLATE_WRITTEN / 8];
	*(__be16 *)(data + flow_port_offset) = bpf_htons(first_port + flow);

	if (!begun_ns)
		begun_ns = bpf_ktime_get_ns();
	if (++index >= template_count) {
		index = 0;
		flow = flow + 1 >= flow_count ? 0 : flow + 1;
	}
	next_template = index;
	frames_sent++;
	return (int)bpf_redirect(egress_ifindex, 0);
}

/* Counts the frames of the bench (their addresses are its own, see generator.h) and lets nobody else have any. */
SEC("xdp")
int bench_sink(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	__u32 zero = 0;
	struct sink_count *count = bpf_map_lookup_elem(&sink_counts, &zero);

	if (!count || (void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	if (eth->h_dest[0] != 0x02 || eth->h_dest[1] != 0x55 || eth->h_dest[2] != 0x42)
		return XDP_DROP;
	if (stamping) {
		last_ns = bpf_ktime_get_ns();
		if (!first_ns)
			first_ns = last_ns;
	}
	count->frames++;
	count->bytes += (__u64)(ctx->data_end - ctx->data);
	count->tagged += eth->h_proto == bpf_htons(ETH_P_8021Q);
	return XDP_DROP;
}

/* Counts what has our mark, wherever it went: addresses and ports may have changed on the way. All else is somebody's,
 * and goes on. */
SEC("xdp")
int bench_sink_marked(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__be16 protocol;
	__u32 zero = 0;
	bool tagged;
	struct sink_count *count = bpf_map_lookup_elem(&sink_counts, &zero);

	if (!count || data + sizeof(struct ethhdr) + TAG_BYTES > end)
		return XDP_PASS;
	protocol = ((struct ethhdr *)data)->h_proto;
	tagged = protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
	if (tagged) {
		data += TAG_BYTES;
		protocol = *(__be16 *)(data + sizeof(struct ethhdr) - sizeof(protocol));
	}
	if (data + MARK_OFFSET + sizeof(__be32) > end || protocol != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	/* IPv4 without options, UDP */
	if (*(__u8 *)(data + sizeof(struct ethhdr)) != 0x45 || *(__u8 *)(data + sizeof(struct ethhdr) + 9) != 17)
		return XDP_PASS;
	if (*(__be16 *)(data + MARK_OFFSET) != bpf_htons(MARK >> 16) ||
	    *(__be16 *)(data + MARK_OFFSET + 2) != bpf_htons(MARK & 0xffff))
		return XDP_PASS;
	count->frames++;
	count->bytes += (__u64)(ctx->data_end - ctx->data);
	count->tagged += tagged;
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
