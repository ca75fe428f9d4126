// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "loader/probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <memory>

#include "bpf/probe.skel.h"
#include "loader/attach.h"
#include "loader/fd.h"
#include "loader/log.h"

namespace underpass {

namespace {

// linux/bpf.h of 6.1 does not have it: BPF_F_TEST_XDP_LIVE_FRAMES came with 5.18.
constexpr std::uint32_t kTestLiveFrames = 1U << 1;

struct ProbeDeleter {
    void operator()(probe* object) const { probe__destroy(object); }
};
using Probe = std::unique_ptr<probe, ProbeDeleter>;

Feature answer(int result) {
    return result >= 0 ? Feature{true, {}} : Feature{false, std::strerror(-result)};
}

Probe open_with(std::initializer_list<const char*> names) {
    Probe object(probe__open());
    if (!object) return object;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object->obj) {
        bool wanted = false;
        for (const char* name : names) wanted = wanted || std::strcmp(bpf_program__name(program), name) == 0;
        bpf_program__set_autoload(program, wanted);
    }
    return object;
}

Feature probe_dispatcher(int target) {
    Probe object = open_with({"probe_replace"});
    if (!object) return answer(-errno);
    if (const int result = bpf_program__set_attach_target(object->progs.probe_replace, target, "probe_target");
        result != 0)
        return answer(result);
    return answer(probe__load(object.get()));
}

Feature probe_live_frames(int program) {
    std::array<std::byte, ETH_ZLEN> frame{};
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_size_in = frame.size(), .repeat = 1,
                .flags = kTestLiveFrames);
    return answer(bpf_prog_test_run_opts(program, &options));
}

}  // namespace

// Without the loader, which wants the kernel's types for what else is in its object.
Feature probe_bpf() {
    constexpr std::array<bpf_insn, 2> kPass = {
        {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS}, {.code = BPF_JMP | BPF_EXIT}}};
    const Fd program(bpf_prog_load(BPF_PROG_TYPE_XDP, "probe_pass", "GPL", kPass.data(), kPass.size(), nullptr));
    return answer(program ? 0 : -errno);
}

Feature probe_conntrack() {
    const QuietLibraries quiet;  // a refusal is an answer here, not something to print
    Probe object = open_with({"probe_conntrack"});
    return object ? answer(probe__load(object.get())) : answer(-errno);
}

KernelFeatures probe_kernel() {
    const QuietLibraries quiet;  // a refusal is an answer here, not something to print
    KernelFeatures features;
    features.btf = answer(access("/sys/kernel/btf/vmlinux", R_OK) == 0 ? 0 : -errno);
    features.bpf = probe_bpf();
    features.tcx = answer(tcx_answer());
    const Probe base = open_with({"probe_xdp"});
    const Feature loaded = base ? answer(probe__load(base.get())) : answer(-errno);
    if (!loaded.present) {
        features.xdp_dispatcher = features.conntrack_kfuncs = features.live_frames = loaded;
        return features;
    }
    const int program = bpf_program__fd(base->progs.probe_xdp);
    features.xdp_dispatcher = probe_dispatcher(program);
    features.conntrack_kfuncs = probe_conntrack();
    features.live_frames = probe_live_frames(program);
    return features;
}

std::string why_unusable(const Feature& bpf) {
    if (bpf.present) return {};
    if (geteuid() != 0) return "BPF programs cannot be loaded without privilege: run this as root (sudo underpass ...)";
    return "this kernel refuses BPF programs (" + bpf.why_not +
           "): it needs CONFIG_BPF_SYSCALL and CONFIG_BPF_JIT, and CAP_BPF and CAP_NET_ADMIN in this container";
}

}  // namespace underpass
