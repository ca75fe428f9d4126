// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "loader/directory.h"

#include <sys/stat.h>

#include <cerrno>

#include "loader/error.h"

namespace underpass {

void make_directory(const std::filesystem::path& directory) {
    while (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
        if (errno != ENOENT || !directory.has_relative_path()) throw_errno(errno, "mkdir " + directory.string());
        make_directory(directory.parent_path());
    }
}

}  // namespace underpass
