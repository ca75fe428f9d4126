// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is put together before a guest can start, from what the machine has installed.
#pragma once

#include <filesystem>
#include <string>

#include "lab/guest.h"

namespace underpass::lab {

// Throws std::runtime_error if it is not installed.
std::filesystem::path find_qemu();
// The archive that it boots from. Throws std::runtime_error if busybox or a module is not to be had.
std::string guest_image(const GuestKernel& kernel, const GuestOptions& options);
// The commands that set its network up. Pure.
std::string guest_setup(const GuestOptions& options);

}  // namespace underpass::lab
