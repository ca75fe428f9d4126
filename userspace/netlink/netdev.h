// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The generic netlink family "netdev" (Linux 6.3): what a driver's XDP can do, and whether a device runs NAPI. Kernels
// without it, or without one of its commands, give nothing.
#pragma once

#include <cstdint>
#include <optional>

#include "model/types.h"

namespace underpass {

// Numbers of <linux/netdev.h>, which is newer than the headers this is built with.
inline constexpr std::uint8_t kNetdevGetDevice = 1;
inline constexpr std::uint8_t kNetdevAdded = 2;
inline constexpr std::uint8_t kNetdevChanged = 4;
inline constexpr std::uint8_t kNetdevGetNapi = 11;
inline constexpr std::uint16_t kNetdevIfindex = 1;      // of a device
inline constexpr std::uint16_t kNetdevXdpFeatures = 3;  // of a device
inline constexpr std::uint16_t kNetdevNapiIfindex = 1;  // of a NAPI instance

// The multicast group of the family's events; absent where the kernel has none.
std::optional<std::uint32_t> netdev_event_group();

struct XdpFeatures {
    bool redirects = false;  // a program may run natively, and redirect
    bool target = false;     // ndo_xdp_xmit is there and ready
    bool frags = false;      // ... also for frames of several buffers
};
// Of a device of the calling thread's network namespace; absent if the kernel does not tell.
std::optional<XdpFeatures> xdp_features(Ifindex device);

// Whether the device has NAPI instances; absent if the kernel does not tell.
std::optional<bool> runs_napi(Ifindex device);

}  // namespace underpass
