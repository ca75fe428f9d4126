// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The limit, attached: every frame that comes in by one of two ports goes out by the other, with no lookup at all;
// as it is, or with the VLAN tag put on or taken off.
//
// Gone with the object.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/bpf/tag_change.h"
#include "lab/namespace.h"
#include "loader/fd.h"

namespace underpass::bench {

enum class Hook { xdp, tc };

inline const char* name(Hook hook) {
    return hook == Hook::xdp ? "xdp" : "tc";
}

class BareRedirect {
public:
    // The ports are `there`, which has to stay. `change` on the way from `one` to `two`, and its opposite on the way
    // back.
    BareRedirect(const lab::Namespace& there, Hook hook, std::uint32_t one, std::uint32_t two,
                 tag_change change = TAG_KEPT);
    BareRedirect(BareRedirect&&) = delete;
    ~BareRedirect();

private:
    void attach(Hook hook, std::uint32_t from, std::uint32_t to, tag_change change);

    const lab::Namespace& there_;
    std::vector<Fd> links_;
    std::vector<std::uint32_t> clsact_;  // devices whose clsact qdisc is ours, where the kernel has no TC links
};

}  // namespace underpass::bench
