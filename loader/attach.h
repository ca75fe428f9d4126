// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Our programs on a device: attach, replace by another build without a gap, take away. Others' programs stay.
//
// What is attached outlives the daemon: a tcx link by its pin ("tc-<ifindex>"), a clsact filter and an XDP program by
// the device itself. Every function is idempotent and works on what an earlier daemon left.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "loader/object.h"
#include "loader/pin.h"

namespace underpass {

enum class TcMethod { tcx, clsact };

const char* name(TcMethod method);

// Where a TC program of ours sits: the pipeline at a device's ingress, the witness at a routed device's egress. A
// device that has both gets the one at ingress first, and loses it last: a clsact qdisc is shared.
enum class TcPoint { ingress, egress };

// Puts the point's program in its place in line: before all at ingress, and at egress behind those that may change the
// frame. Throws std::system_error.
TcMethod attach_tc(const Programs& programs, const PinDirectory& pins, std::uint32_t ifindex, TcPoint point);
// `alone`: nobody else has a filter in the clsact qdisc, which then goes too, if we made it. A vanished device is no
// error.
void detach_tc(const PinDirectory& pins, std::uint32_t ifindex, TcPoint point, bool alone);
// True if the program of this build is attached there now.
bool tc_is_attached(const Programs& programs, const PinDirectory& pins, std::uint32_t ifindex, TcPoint point);
// Devices with a pinned link of ours at that point, gone ones among them.
std::vector<std::uint32_t> pinned_tc_devices(const PinDirectory& pins, TcPoint point);

// Ids of the tcx programs on a device, ours among them; none where the kernel has no tcx.
std::vector<std::uint32_t> tcx_programs(std::uint32_t ifindex, bool ingress);

enum class XdpMethod { dispatcher, single };

const char* name(XdpMethod method);

// Native mode only. Throws std::system_error: EBUSY if another program is there that does not share the device.
XdpMethod attach_xdp(Programs& programs, std::uint32_t ifindex);
// A device without our program, or a vanished one, is no error.
void detach_xdp(std::uint32_t ifindex);
// Whether a program of ours (of any build) is attached natively.
bool xdp_is_attached(std::uint32_t ifindex);
// Whether an XDP program that is not ours is on the device.
bool xdp_is_foreign(std::uint32_t ifindex);

// 0 if this kernel has tcx, else a negative errno.
int tcx_answer();

}  // namespace underpass
