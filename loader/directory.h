// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Directories that processes of several network namespaces share: each makes what it needs, and the last removes it.
#pragma once

#include <filesystem>

namespace underpass {

// Makes it, and those above it, mode 0700, where they are not there; also where another removes one above meanwhile.
// Throws std::system_error.
void make_directory(const std::filesystem::path& directory);

}  // namespace underpass
