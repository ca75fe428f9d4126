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
    // What the kernel, and the maps as they are in use, take.
    struct Form {
        bool conntrack = true;  // it finds connections
        bool frags = true;      // of XDP: for frames in several pieces, as all programs on a map of devices or none
    };
    // That in which the daemon has its program on that hook. Throws VerifierError, std::system_error.
    static Form form_of(const PinDirectory& pins, Hook hook);

    // The program that the daemon has on that hook; with a stage, one that ends behind it. Throws as that.
    Copy(const PinDirectory& pins, Hook hook, const Form& form, std::optional<stage> last = std::nullopt);

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
