// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/copies.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "bpf/tc_ingress.skel.h"
#include "bpf/tc_ingress_conntrack.skel.h"
#include "bpf/tc_ingress_profile.skel.h"
#include "bpf/tc_ingress_profile_conntrack.skel.h"
#include "bpf/xdp_ingress.skel.h"
#include "bpf/xdp_ingress_conntrack.skel.h"
#include "bpf/xdp_ingress_profile.skel.h"
#include "bpf/xdp_ingress_profile_conntrack.skel.h"
#include "loader/error.h"
#include "loader/log.h"

namespace underpass::bench {

namespace {

using Bytes = std::pair<const void*, std::size_t>;

// By hook, whether it is to be profiled, and whether it finds connections.
Bytes bytes_of(Hook hook, bool profile, bool conntrack) {
    using Get = const void* (*)(std::size_t*);
    static constexpr Get kAll[2][2][2] = {{{tc_ingress__elf_bytes, tc_ingress_conntrack__elf_bytes},
                                           {tc_ingress_profile__elf_bytes, tc_ingress_profile_conntrack__elf_bytes}},
                                          {{xdp_ingress__elf_bytes, xdp_ingress_conntrack__elf_bytes},
                                           {xdp_ingress_profile__elf_bytes, xdp_ingress_profile_conntrack__elf_bytes}}};
    std::size_t size = 0;
    const void* bytes = kAll[hook == Hook::xdp ? 1 : 0][profile ? 1 : 0][conntrack ? 1 : 0](&size);
    return {bytes, size};
}

// The daemon loads XDP's without as long as no rules see what is routed.
bool rules_see(const PinDirectory& pins) {
    const auto map = pins.open(MAP_CONTROL);
    control record = {};
    const std::uint32_t zero = 0;
    if (!map || bpf_map_lookup_elem(map->get(), &zero, &record) != 0)
        throw_errno(map ? errno : ENOENT, "read the daemon's map " MAP_CONTROL);
    return record.flags != 0;
}

// The kernel lets programs of different kinds not use one map of devices, and in libxdp's dispatcher the daemon's are
// of another kind.
bool is_map_of_devices(const bpf_map* map) {
    return bpf_map__type(map) == BPF_MAP_TYPE_DEVMAP;
}

Fd open_pinned(const PinDirectory& pins, const bpf_map* map) {
    auto pinned = pins.open(bpf_map__name(map));
    if (!pinned) throw_errno(ENOENT, std::string("open the daemon's map ") + bpf_map__name(map));
    return std::move(*pinned);
}

void share_maps(bpf_object* object, const PinDirectory& pins) {
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        if (bpf_map__is_internal(map) || is_map_of_devices(map)) continue;
        if (const int result = bpf_map__reuse_fd(map, open_pinned(pins, map).get()); result != 0)
            throw_errno(result, std::string("share the daemon's map ") + bpf_map__name(map));
    }
}

// Those that cannot be shared have the same entries.
void copy_maps(const bpf_object* object, const PinDirectory& pins) {
    const bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        if (!is_map_of_devices(map)) continue;
        const Fd from = open_pinned(pins, map);
        for (std::uint32_t key = 0, value = 0; key < bpf_map__max_entries(map); key++)
            if (bpf_map_lookup_elem(from.get(), &key, &value) == 0 &&
                bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY) != 0)
                throw_errno(errno, std::string("copy the daemon's map ") + bpf_map__name(map));
    }
}

bpf_program* program_of(const bpf_object* object, Hook hook) {
    return bpf_object__find_program_by_name(object, hook == Hook::xdp ? PROGRAM_XDP : PROGRAM_TC);
}

// 0, or what the kernel said.
int load(BpfObject& object, const PinDirectory& pins, Hook hook, bool conntrack, std::optional<stage> last) {
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "underpass_bench");
    const auto [bytes, size] = bytes_of(hook, last.has_value(), conntrack);
    object.reset(bpf_object__open_mem(bytes, size, &options));
    if (!object) throw_errno(errno, "open a BPF object");
    share_maps(object.get(), pins);
    if (last) {
        const std::uint32_t value = *last;
        bpf_map* constant = bpf_object__find_map_by_name(object.get(), PROFILE_SECTION);
        const int result = constant != nullptr ? bpf_map__set_initial_value(constant, &value, sizeof(value)) : -ENOENT;
        if (result != 0) throw_errno(result, "tell a program where it ends");
    }
    const int result = bpf_object__load(object.get());
    if (result == 0) copy_maps(object.get(), pins);
    return result;
}

Copy::Ran test_run(int program, Hook hook, std::vector<unsigned char>& frame, std::uint32_t ingress,
                   std::uint32_t times) {
    xdp_md xdp = {};
    xdp.data_end = static_cast<std::uint32_t>(frame.size());
    xdp.ingress_ifindex = ingress;
    __sk_buff skb = {};
    skb.ifindex = ingress;
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<std::uint32_t>(frame.size()),
                .ctx_in = hook == Hook::xdp ? static_cast<void*>(&xdp) : &skb,
                .ctx_size_in = hook == Hook::xdp ? static_cast<std::uint32_t>(sizeof(xdp))
                                                 : static_cast<std::uint32_t>(sizeof(skb)),
                .repeat = static_cast<int>(times));
    if (const int result = bpf_prog_test_run_opts(program, &options); result != 0)
        throw_errno(result, "run a copy of a program");
    return {options.retval, options.duration, options.data_size_out};
}

}  // namespace

Copy::Copy(const PinDirectory& pins, Hook hook, std::optional<stage> last) : hook_(hook) {
    const QuietLibraries quiet;
    int result = -ENOENT;
    if (hook == Hook::tc || rules_see(pins)) result = load(object_, pins, hook, true, last);
    if (result != 0) result = load(object_, pins, hook, false, last);
    if (result != 0)
        throw VerifierError("load a copy of a program: " + std::system_category().message(-result), quiet.text());
}

int Copy::fd() const {
    return bpf_program__fd(program_of(object_.get(), hook_));
}

Copy::Ran Copy::run(std::vector<unsigned char>& frame, std::uint32_t ingress) const {
    return test_run(fd(), hook_, frame, ingress, 1);
}

Copy::Ran Copy::run_in_a_row(std::vector<unsigned char>& frame, std::uint32_t ingress, std::uint32_t times) const {
    return test_run(fd(), hook_, frame, ingress, times);
}

std::uint32_t redirect_of(Hook hook) {
    return hook == Hook::xdp ? std::uint32_t{XDP_REDIRECT} : std::uint32_t{TC_ACT_REDIRECT};
}

}  // namespace underpass::bench
