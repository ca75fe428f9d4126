// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "foreign_xdp.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <cerrno>

#include "lab/link.h"
#include "loader/error.h"
#include "loader/fd.h"

namespace underpass::test {

ForeignXdp::ForeignXdp(const lab::Namespace& where, const std::string& device, std::uint32_t mode, xdp_action action)
    : where_(where), mode_(mode) {
    const std::array<bpf_insn, 2> always = {
        {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = action}, {.code = BPF_JMP | BPF_EXIT}}};
    const Fd program(bpf_prog_load(BPF_PROG_TYPE_XDP, "somebodys", "GPL", always.data(), always.size(), nullptr));
    if (!program) throw_errno(errno, "load an XDP program");
    where_.run([&] {
        ifindex_ = static_cast<int>(number(lab::ifindex(device)));
        if (const int result = bpf_xdp_attach(ifindex_, program.get(), mode_, nullptr); result != 0)
            throw_errno(result, "attach an XDP program to " + device);
    });
}

ForeignXdp::~ForeignXdp() {
    where_.run([this] { bpf_xdp_detach(ifindex_, mode_, nullptr); });
}

bool ForeignXdp::is_there() const {
    return where_.run([this] {
        std::uint32_t id = 0;
        bpf_xdp_query_id(ifindex_, static_cast<int>(mode_), &id);
        bpf_prog_info info = {};
        std::uint32_t size = sizeof(info);
        const Fd program(bpf_prog_get_fd_by_id(id));
        return program && bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0 &&
               std::string(info.name) == "somebodys";
    });
}

}  // namespace underpass::test
