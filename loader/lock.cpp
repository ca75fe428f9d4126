// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "loader/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>

#include "loader/directory.h"
#include "loader/error.h"

namespace underpass {

std::optional<Fd> try_lock(const std::filesystem::path& file) {
    for (;;) {
        make_directory(file.parent_path());
        Fd lock(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        if (!lock && errno == ENOENT) continue;  // another has just removed the directory
        if (!lock) throw_errno(errno, "open " + file.string());
        if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
            if (errno != EWOULDBLOCK) throw_errno(errno, "lock " + file.string());
            return std::nullopt;
        }
        // One that was ending may have removed the file between the two.
        struct stat ours = {}, there = {};
        if (fstat(lock.get(), &ours) == 0 && stat(file.c_str(), &there) == 0 && ours.st_ino == there.st_ino)
            return lock;
    }
}

}  // namespace underpass
