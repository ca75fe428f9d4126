// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/bare.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include <cerrno>
#include <memory>

#include "bench/bare.skel.h"
#include "loader/error.h"

namespace underpass::bench {

namespace {

// linux/bpf.h of 6.1 does not have it: BPF_TCX_INGRESS came with 6.6.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);

bpf_tc_hook clsact_hook(std::uint32_t ifindex) {
    bpf_tc_hook hook = {};
    hook.sz = sizeof(hook);
    hook.ifindex = static_cast<int>(ifindex);
    hook.attach_point = BPF_TC_INGRESS;
    return hook;
}

tag_change opposite(tag_change change) {
    if (change == TAG_KEPT) return TAG_KEPT;
    return change == TAG_PUSHED ? TAG_POPPED : TAG_PUSHED;
}

}  // namespace

BareRedirect::BareRedirect(const lab::Namespace& there, Hook hook, std::uint32_t one, std::uint32_t two,
                           tag_change change)
    : there_(there) {
    const lab::Inside inside(there_);
    attach(hook, one, two, change);
    attach(hook, two, one, opposite(change));
}

BareRedirect::~BareRedirect() {
    const lab::Inside inside(there_);
    for (const std::uint32_t ifindex : clsact_) {
        bpf_tc_hook hook = clsact_hook(ifindex);
        hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);  // the qdisc itself
        bpf_tc_hook_destroy(&hook);
    }
}

void BareRedirect::attach(Hook hook, std::uint32_t from, std::uint32_t to, tag_change change) {
    const std::unique_ptr<bench_bare, decltype(&bench_bare__destroy)> programs(bench_bare__open(), bench_bare__destroy);
    if (!programs) throw_errno(errno, "open the bare redirect");
    programs->rodata->egress_ifindex = to;
    programs->rodata->change = change;
    if (const int result = bench_bare__load(programs.get()); result != 0) throw_errno(result, "load the bare redirect");
    if (hook == Hook::xdp) {
        const std::uint32_t zero = 0;
        if (bpf_map_update_elem(bpf_map__fd(programs->maps.other_port), &zero, &to, BPF_ANY) != 0)
            throw_errno(errno, "set the bare redirect's port");
        LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
        links_.emplace_back(
            bpf_link_create(bpf_program__fd(programs->progs.bare_xdp), static_cast<int>(from), BPF_XDP, &options));
        if (!links_.back()) throw_errno(errno, "attach the bare XDP redirect");
        return;
    }
    const int program = bpf_program__fd(programs->progs.bare_tc);
    links_.emplace_back(bpf_link_create(program, static_cast<int>(from), kTcxIngress, nullptr));
    if (links_.back()) return;
    bpf_tc_hook clsact = clsact_hook(from);
    if (const int result = bpf_tc_hook_create(&clsact); result != 0) throw_errno(result, "make a clsact qdisc");
    clsact_.push_back(from);
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program);
    if (const int result = bpf_tc_attach(&clsact, &options); result != 0)
        throw_errno(result, "attach the bare TC redirect");
}

}  // namespace underpass::bench
