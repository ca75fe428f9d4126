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

void share_maps(bpf_object* object, const PinDirectory& pins) {
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        if (bpf_map__is_internal(map)) continue;
        const auto pinned = pins.open(bpf_map__name(map));
        const int result = pinned ? bpf_map__reuse_fd(map, pinned->get()) : -ENOENT;
        if (result != 0) throw_errno(result, std::string("share the daemon's map ") + bpf_map__name(map));
    }
}

bpf_program* program_of(const bpf_object* object, Hook hook) {
    return bpf_object__find_program_by_name(object, hook == Hook::xdp ? PROGRAM_XDP : PROGRAM_TC);
}

// libbpf (1.1) takes it from the section's name, which it forgets when the type changes.
void without_frags(bpf_program* program) {
    bpf_program__set_type(program, BPF_PROG_TYPE_EXT);
    bpf_program__set_type(program, BPF_PROG_TYPE_XDP);
}

// 0, or what the kernel said.
int load(BpfObject& object, const PinDirectory& pins, Hook hook, const Copy::Form& form, std::optional<stage> last) {
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "underpass_bench");
    const auto [bytes, size] = bytes_of(hook, last.has_value(), form.conntrack);
    object.reset(bpf_object__open_mem(bytes, size, &options));
    if (!object) throw_errno(errno, "open a BPF object");
    share_maps(object.get(), pins);
    if (!form.frags) without_frags(program_of(object.get(), hook));
    if (last) {
        const std::uint32_t value = *last;
        bpf_map* constant = bpf_object__find_map_by_name(object.get(), PROFILE_SECTION);
        const int result = constant != nullptr ? bpf_map__set_initial_value(constant, &value, sizeof(value)) : -ENOENT;
        if (result != 0) throw_errno(result, "tell a program where it ends");
    }
    return bpf_object__load(object.get());
}

[[noreturn]] void throw_load_error(int result, const QuietLibraries& libraries) {
    throw VerifierError("load a copy of a program: " + std::system_category().message(-result), libraries.text());
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

Copy::Form Copy::form_of(const PinDirectory& pins, Hook hook) {
    const QuietLibraries quiet;
    const bool finds = hook == Hook::tc || rules_see(pins);
    int result = 0;
    for (const Form form : {Form{true, true}, Form{true, false}, Form{false, true}, Form{false, false}}) {
        if ((form.conntrack && !finds) || (hook == Hook::tc && !form.frags)) continue;
        BpfObject object;
        result = load(object, pins, hook, form, std::nullopt);
        if (result == 0) return form;
    }
    throw_load_error(result, quiet);
}

Copy::Copy(const PinDirectory& pins, Hook hook, const Form& form, std::optional<stage> last) : hook_(hook) {
    const QuietLibraries quiet;
    if (const int result = load(object_, pins, hook, form, last); result != 0) throw_load_error(result, quiet);
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
