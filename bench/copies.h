// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Copies of Underpass's programs on the maps that a daemon has pinned: attached nowhere, run one frame at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bench/bare.h"
#include "loader/object.h"
#include "loader/pin.h"
#include "maps/stage.h"

namespace underpass::bench {

class Copy {
public:
    // The program that the daemon has on that hook; with a stage, one that ends behind it. In the daemon's namespace,
    // which devices are looked up in. Throws VerifierError, std::system_error.
    Copy(const PinDirectory& pins, Hook hook, std::optional<stage> last = std::nullopt);

    struct Ran {
        std::uint32_t action = 0;
        std::uint32_t ns = 0;     // by the kernel's clock around the program
        std::uint32_t bytes = 0;  // of the frame as it leaves it
    };
    // In the namespace of `ingress`, which for XDP has a program itself. The frame is not what it was after one run, so
    // the kernel is asked for each.
    Ran run(std::vector<unsigned char>& frame, std::uint32_t ingress) const;
    // So many runs in a row, and what they take on average.
    Ran run_in_a_row(std::vector<unsigned char>& frame, std::uint32_t ingress, std::uint32_t times) const;
    int fd() const;

private:
    Hook hook_;
    BpfObject object_;
};

// What the program returns for a frame that it has redirected.
std::uint32_t redirect_of(Hook hook);

}  // namespace underpass::bench
