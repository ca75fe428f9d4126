// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is in the calling thread's network namespace now: the kernel's answer, not the file's.
#pragma once

#include <vector>

#include "model/host.h"
#include "model/ip.h"

namespace underpass::lab {

struct Device {
    underpass::Link link;
    std::vector<IpPrefix> addresses;  // without link-local ones
};

// Every device, in the order of their numbers. Throws NetlinkError.
std::vector<Device> look();

}  // namespace underpass::lab
