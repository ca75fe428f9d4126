// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What this kernel can do, found out by trying (never by its version). Leaves nothing behind.
#pragma once

#include <string>

namespace underpass {

// A feature, and if it is missing the kernel's own words for it.
struct Feature {
    bool present = false;
    std::string why_not;
};

struct KernelFeatures {
    Feature bpf;               // may programs be loaded at all
    Feature btf;               // type information of the kernel
    Feature tcx;               // TC links; else clsact
    Feature xdp_dispatcher;    // several XDP programs on one device, by libxdp
    Feature conntrack_kfuncs;  // a program may look connections up
    Feature live_frames;       // BPF_F_TEST_XDP_LIVE_FRAMES: the benchmark's generator
};

KernelFeatures probe_kernel();
// One of them alone.
Feature probe_bpf();
Feature probe_conntrack();

// One sentence with the way out if programs cannot be loaded here; empty if they can.
std::string why_unusable(const Feature& bpf);

}  // namespace underpass
