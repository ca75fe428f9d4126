// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/svg.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>

#include "loader/error.h"
#include "loader/fd.h"

namespace underpass::lab {

namespace {

// Files in memory rather than pipes: nobody has to read while somebody writes, and no end closes too early.
Fd memory_file(const std::string& content) {
    Fd file(::memfd_create("graph", MFD_CLOEXEC));
    if (!file) throw_errno(errno, "make a file in memory");
    for (std::size_t done = 0; done < content.size();) {
        const ssize_t written = ::write(file.get(), content.data() + done, content.size() - done);
        if (written < 0) throw_errno(errno, "write to a file in memory");
        done += static_cast<std::size_t>(written);
    }
    ::lseek(file.get(), 0, SEEK_SET);
    return file;
}

std::string content_of(const Fd& file) {
    ::lseek(file.get(), 0, SEEK_SET);
    std::string content;
    std::array<char, 65536> block;
    for (;;) {
        const ssize_t length = ::read(file.get(), block.data(), block.size());
        if (length < 0) throw_errno(errno, "read from a file in memory");
        if (length == 0) return content;
        content.append(block.data(), static_cast<std::size_t>(length));
    }
}

class FileActions {
public:
    FileActions() { ::posix_spawn_file_actions_init(&actions_); }
    ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;

    void put(const Fd& file, int as) {
        if (const int error = ::posix_spawn_file_actions_adddup2(&actions_, file.get(), as); error != 0)
            throw_errno(error, "start dot");
    }
    const posix_spawn_file_actions_t* get() const { return &actions_; }

private:
    posix_spawn_file_actions_t actions_;
};

// What waitpid() says of `dot` when it has ended.
int run_dot(const Fd& in, const Fd& out, const Fd& errors) {
    FileActions actions;
    actions.put(in, STDIN_FILENO);
    actions.put(out, STDOUT_FILENO);
    actions.put(errors, STDERR_FILENO);
    std::array<std::string, 2> words = {"dot", "-Tsvg"};
    std::array<char*, 3> argv = {words[0].data(), words[1].data(), nullptr};
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, argv[0], actions.get(), nullptr, argv.data(), environ);
    if (error == ENOENT)
        throw std::runtime_error("a picture needs Graphviz's `dot`, which is not installed: `apt install graphviz`");
    if (error != 0) throw_errno(error, "start dot");
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) throw_errno(errno, "wait for dot");
    return status;
}

}  // namespace

std::string render_svg(const std::string& dot) {
    const Fd in = memory_file(dot), out = memory_file(""), errors = memory_file("");
    const int status = run_dot(in, out, errors);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return content_of(out);
    if (WIFSIGNALED(status)) throw std::runtime_error(fmt::format("dot was ended by signal {}", WTERMSIG(status)));
    std::string said = content_of(errors);
    while (said.ends_with('\n')) said.pop_back();
    throw std::runtime_error(fmt::format("dot refused the picture: {}", said.empty() ? "it did not say why" : said));
}

}  // namespace underpass::lab
