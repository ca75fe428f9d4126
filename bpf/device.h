/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one way to a device's record. */
#ifndef UNDERPASS_BPF_DEVICE_H
#define UNDERPASS_BPF_DEVICE_H

#include <stddef.h>

#include "bpf/map_defs.h"

/* Null: it has none. `slot`: where it is. */
static __always_inline struct device *device_find(__u32 ifindex, __u32 *slot)
{
	__u32 place = ifindex % DEVICE_INDEX_SIZE;
	__u32 *found = bpf_map_lookup_elem(&device_index, &place);
	struct device *device;

	if (!found)
		return NULL;
	*slot = *found;
	device = bpf_map_lookup_elem(&devices, slot);
	return device && device->ifindex == ifindex ? device : NULL;
}

#endif
