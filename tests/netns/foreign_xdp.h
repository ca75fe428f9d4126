// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// An XDP program of somebody else on a device, without a dispatcher: it shares the device with none.
#pragma once

#include <linux/bpf.h>
#include <linux/if_link.h>

#include <cstdint>
#include <string>

#include "lab/namespace.h"

namespace underpass::test {

class ForeignXdp {
public:
    // `mode`: XDP_FLAGS_DRV_MODE or XDP_FLAGS_SKB_MODE. Throws std::system_error.
    ForeignXdp(const lab::Namespace& where, const std::string& device, std::uint32_t mode, xdp_action action);
    ForeignXdp(const ForeignXdp&) = delete;
    ForeignXdp& operator=(const ForeignXdp&) = delete;
    ~ForeignXdp();

    bool is_there() const;

private:
    const lab::Namespace& where_;
    std::uint32_t mode_;
    int ifindex_ = 0;
};

}  // namespace underpass::test
