// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "harness/test_run.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <string>

#include "loader/error.h"

namespace underpass::test {

namespace {

// A program that made the frame longer must not be cut short unseen.
constexpr std::size_t kRoomToGrow = 256;
constexpr std::uint32_t kChecksumComplete = 1 << 2;  // BPF_F_TEST_SKB_CHECKSUM_COMPLETE, which Debian 12 does not know

Ran test_run(int program, const Frame& frame, void* context, std::size_t context_size, std::uint32_t flags = 0) {
    Frame out(frame.size() + kRoomToGrow);
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = out.data(),
                .data_size_in = static_cast<std::uint32_t>(frame.size()),
                .data_size_out = static_cast<std::uint32_t>(out.size()), .ctx_in = context,
                .ctx_size_in = static_cast<std::uint32_t>(context_size), .repeat = 1, .flags = flags);
    if (const int result = bpf_prog_test_run_opts(program, &options); result != 0)
        throw_errno(result, "run a program on a frame of " + std::to_string(frame.size()) + " bytes");
    out.resize(options.data_size_out);
    return {static_cast<int>(options.retval), std::move(out)};
}

}  // namespace

Ran run_xdp(int program, const Frame& frame, Ifindex ingress) {
    xdp_md context = {};
    context.data_end = static_cast<std::uint32_t>(frame.size());
    context.ingress_ifindex = number(ingress);
    return test_run(program, frame, &context, sizeof(context));
}

Ran run_tc(int program, const Frame& frame, Ifindex ingress, const Gso& gso) {
    __sk_buff context = {};
    context.ifindex = number(ingress);
    context.gso_segs = gso.segments;
    context.gso_size = gso.size;
    return test_run(program, frame, &context, sizeof(context), gso.complete ? kChecksumComplete : 0);
}

Ran run_tc_egress(int program, const Frame& frame, Ifindex egress, Ifindex came_in_by) {
    __sk_buff context = {};
    context.ifindex = number(egress);
    context.ingress_ifindex = number(came_in_by);
    return test_run(program, frame, &context, sizeof(context));
}

}  // namespace underpass::test
