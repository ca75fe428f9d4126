// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A file as a lock between processes. Whoever holds it may remove the file; the kernel gives it up with the holder.
#pragma once

#include <filesystem>
#include <optional>

#include "loader/fd.h"

namespace underpass {

// Makes the file, mode 0600, where it is not there; its directory too (see make_directory). Absent: another holds
// it. Throws std::system_error.
std::optional<Fd> try_lock(const std::filesystem::path& file);

}  // namespace underpass
