// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <sstream>
#include <thread>

#include "lab/interrupt.h"
#include "loader/error.h"

namespace underpass::bench {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kStep(50);
constexpr milliseconds kGrace(2000);

std::vector<char*> argv_of(const std::vector<std::string>& command) {
    std::vector<char*> argv;
    argv.reserve(command.size() + 1);
    for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    return argv;
}

}  // namespace

Process::Process(const std::vector<std::string>& command, const Place& place) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno(errno, "make a pipe");
    output_ = Fd(ends[0]);
    const Fd write_end(ends[1]);
    const auto argv = argv_of(command);
    pid_ = ::fork();
    if (pid_ < 0) throw_errno(errno, "start " + command.front());
    if (pid_ == 0) {
        // Only what is safe after fork in a process with threads, apart from the message of a failure.
        ::setpgid(0, 0);
        try {
            move_to(place);
        } catch (const std::exception& error) {
            ::dprintf(write_end.get(), "%s\n", error.what());
            ::_exit(126);
        }
        ::dup2(write_end.get(), STDOUT_FILENO);
        ::dup2(write_end.get(), STDERR_FILENO);
        const int null = ::open("/dev/null", O_RDONLY);
        ::dup2(null, STDIN_FILENO);
        std::signal(SIGPIPE, SIG_DFL);
        ::execvp(argv.front(), argv.data());
        ::dprintf(STDERR_FILENO, "cannot run %s\n", argv.front());
        ::_exit(127);
    }
}

Process::~Process() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGTERM);
    const auto end = steady_clock::now() + kGrace;
    while (::waitpid(pid_, nullptr, WNOHANG) == 0) {
        if (steady_clock::now() > end) ::kill(pid_, SIGKILL);
        std::this_thread::sleep_for(milliseconds(5));
    }
}

bool Process::read_some(milliseconds time) {
    pollfd ready = {output_.get(), POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(time.count())) <= 0) return true;
    char buffer[4096];
    const ssize_t size = ::read(output_.get(), buffer, sizeof(buffer));
    if (size > 0) text_.append(buffer, static_cast<std::size_t>(size));
    return size > 0 || (size < 0 && errno == EINTR);
}

Finished Process::wait(milliseconds time, bool stop_on_interrupt) {
    const auto end = steady_clock::now() + time;
    bool open = true;
    int status = 0;
    // The end of the program, not of its output, is what we wait for: a daemon that it leaves may hold the pipe.
    for (;;) {
        if (open)
            open = read_some(milliseconds(10));
        else
            std::this_thread::sleep_for(milliseconds(2));
        if (::waitpid(pid_, &status, WNOHANG) == pid_) break;
        if (stop_on_interrupt) lab::throw_if_interrupted();
        if (steady_clock::now() > end) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, &status, 0);
            text_ += "(ended after " + std::to_string(time.count()) + " ms)\n";
            break;
        }
    }
    pid_ = -1;
    // What it still left in the pipe.
    for (pollfd ready = {output_.get(), POLLIN, 0}; open && ::poll(&ready, 1, 0) > 0;)
        open = read_some(milliseconds(0));
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), std::move(text_)};
}

bool Process::wait_for_output(const std::string& text, milliseconds time) {
    const auto end = steady_clock::now() + time;
    while (text_.find(text) == std::string::npos) {
        lab::throw_if_interrupted();
        if (steady_clock::now() > end || !read_some(kStep)) return false;
    }
    return true;
}

Finished run_program(const std::vector<std::string>& command, const Place& place, milliseconds time,
                     bool stop_on_interrupt) {
    return Process(command, place).wait(time, stop_on_interrupt);
}

bool is_installed(const std::string& program) {
    const char* path = std::getenv("PATH");
    std::istringstream folders(path != nullptr ? path : "/usr/bin:/bin");
    for (std::string folder; std::getline(folders, folder, ':');)
        if (::access(fmt::format("{}/{}", folder, program).c_str(), X_OK) == 0) return true;
    return false;
}

}  // namespace underpass::bench
