// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One frame through one program by BPF_PROG_TEST_RUN: the same call for both hooks. A redirect is the action only: no
// frame leaves.
#pragma once

#include <cstdint>

#include "harness/frame.h"
#include "model/types.h"

namespace underpass::test {

struct Ran {
    int action = -1;  // XDP_* or TC_ACT_*
    Frame frame;      // as the program left it
};

// What a test may say of an skb beside its bytes.
struct Gso {
    std::uint32_t segments = 0;
    std::uint32_t size = 0;
    // A device has summed it up (CHECKSUM_COMPLETE), and that sum has to be right behind the program, too: else it
    // throws std::system_error, EBADMSG. EINVAL: the kernel cannot say (before 6.16).
    bool complete = false;
};

// The frame comes in by `ingress`, a device of the calling thread's namespace. Throws std::system_error, EINVAL for a
// frame that the kernel does not let a test run have (shorter than an Ethernet header).
// XDP: the device must have an XDP program attached (else it has no receive queue that one could come in by).
Ran run_xdp(int program, const Frame& frame, Ifindex ingress);
Ran run_tc(int program, const Frame& frame, Ifindex ingress, const Gso& gso = {});
// A frame that leaves by `egress`, and was received by `came_in_by`; none: the host's own.
Ran run_tc_egress(int program, const Frame& frame, Ifindex egress, Ifindex came_in_by);

}  // namespace underpass::test
