// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "loader/directory.h"

#include <sys/stat.h>

#include <cerrno>

#include "loader/error.h"

namespace underpass {

void make_directory(const std::filesystem::path& directory) {
    constexpr int kTries = 1000;  // one above may also be a link that leads nowhere
    for (int i = 0; mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST; i++) {
        if (errno != ENOENT || i == kTries || !directory.has_relative_path())
            throw_errno(errno, "mkdir " + directory.string());
        make_directory(directory.parent_path());
    }
}

}  // namespace underpass
