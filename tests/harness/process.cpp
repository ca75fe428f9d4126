// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "harness/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "loader/error.h"
#include "loader/pin.h"

namespace underpass::test {

using std::chrono::steady_clock;

namespace {

constexpr milliseconds kStep{2};
constexpr milliseconds kGrace{2000};          // for what has begun to end
constexpr std::string_view kReady = "ready";  // as the daemon says it

struct Pipe {
    Fd read, write;
};

Pipe make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno(errno, "make a pipe");
    return {Fd(ends[0]), Fd(ends[1])};
}

// Only what is allowed between fork and exec in a process that has threads.
[[noreturn]] void become(int net, int out, int err, char* const* words) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::setns(net, CLONE_NEWNET) != 0) ::_exit(126);
    ::dup2(::open("/dev/null", O_RDONLY), STDIN_FILENO);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    ::execvp(words[0], words);
    constexpr std::string_view kSorry = "cannot run the program\n";
    [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, kSorry.data(), kSorry.size());
    ::_exit(127);
}

Fd make_file(const char* name) {
    Fd file(::memfd_create(name, MFD_CLOEXEC));
    if (!file) throw_errno(errno, "make a file in memory");
    return file;
}

// From its start. The offset is shared with whoever writes, so it stays untouched.
std::string contents(const Fd& file) {
    std::string text;
    std::array<char, 65536> chunk{};
    for (;;) {
        const ssize_t size = ::pread(file.get(), chunk.data(), chunk.size(), static_cast<off_t>(text.size()));
        if (size <= 0) return text;
        text.append(chunk.data(), static_cast<std::size_t>(size));
    }
}

int code_of(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<pid_t> processes_in(const lab::Namespace& where) {
    struct stat wanted = {};
    if (::fstat(where.fd(), &wanted) != 0) throw_errno(errno, "stat the namespace " + where.name());
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        pid_t pid = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), pid).ptr != name.data() + name.size()) continue;
        struct stat net = {};
        // One that is gone by now has no namespace any more.
        if (pid != ::getpid() && ::stat((entry.path() / "ns/net").c_str(), &net) == 0 && net.st_ino == wanted.st_ino &&
            net.st_dev == wanted.st_dev)
            found.push_back(pid);
    }
    return found;
}

}  // namespace

std::string Finished::text() const {
    return "exit status " + std::to_string(status) + (timed_out ? " (killed: it took too long)" : "") + "\n" + out +
           err;
}

Child::Child(const lab::Namespace& where, const std::vector<std::string>& command)
    : out_(make_file("out")), err_(make_file("err")) {
    std::vector<char*> words;
    words.reserve(command.size() + 1);
    for (const auto& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) throw_errno(errno, "start " + command.front());
    if (pid_ == 0) become(where.fd(), out_.get(), err_.get(), words.data());
}

Child::~Child() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

bool Child::running() const {
    siginfo_t info = {};
    return pid_ > 0 && ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

void Child::signal(int number) const {
    if (pid_ > 0 && ::kill(pid_, number) != 0) throw_errno(errno, "signal the process " + std::to_string(pid_));
}

std::string Child::out() const {
    return contents(out_);
}

std::string Child::err() const {
    return contents(err_);
}

bool Child::wait_for(const std::string& text, milliseconds time) const {
    const auto end = steady_clock::now() + time;
    for (;;) {
        const bool last = !running() || steady_clock::now() > end;
        if (out().find(text) != std::string::npos || err().find(text) != std::string::npos) return true;
        if (last) return false;
        std::this_thread::sleep_for(kStep);
    }
}

Finished Child::wait(milliseconds time) {
    if (pid_ < 0) throw std::logic_error("waits for a child that has been waited for");
    const auto end = steady_clock::now() + time;
    Finished finished;
    int status = 0;
    while (::waitpid(pid_, &status, WNOHANG) == 0) {
        if (steady_clock::now() > end) {
            finished.timed_out = true;
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, &status, 0);
            break;
        }
        std::this_thread::sleep_for(kStep);
    }
    pid_ = -1;
    finished.status = code_of(status);
    finished.out = out();
    finished.err = err();
    return finished;
}

Finished run(const lab::Namespace& where, const std::vector<std::string>& command, milliseconds time) {
    return Child(where, command).wait(time);
}

std::string underpass_path() {
    const char* other = std::getenv("UNDERPASS_PROGRAM");
    return other != nullptr ? other : UNDERPASS_PROGRAM;
}

Finished underpass(const lab::Namespace& where, const std::vector<std::string>& words, milliseconds time) {
    std::vector<std::string> command = {underpass_path()};
    command.insert(command.end(), words.begin(), words.end());
    return run(where, command, time);
}

Child start_daemon(const lab::Namespace& where, const std::vector<std::string>& words) {
    Pipe ready = make_pipe();
    // A copy without O_CLOEXEC, for the child. It goes at once: then the end of the child is the end of the pipe.
    std::optional<Fd> inherited(::dup(ready.write.get()));
    std::vector<std::string> command = {underpass_path(), "run", "--ready-fd", std::to_string(inherited->get())};
    command.insert(command.end(), words.begin(), words.end());
    Child child(where, command);
    inherited.reset();
    ready.write = Fd();

    std::string said;
    std::array<char, 4096> chunk{};
    pollfd readable = {ready.read.get(), POLLIN, 0};
    while (said != kReady) {
        const bool in_time = ::poll(&readable, 1, static_cast<int>(kPatience.count())) > 0;
        const ssize_t size = in_time ? ::read(ready.read.get(), chunk.data(), chunk.size()) : 0;
        if (size <= 0)
            throw std::runtime_error("the daemon does not start: " + said + "\n" + child.wait(kGrace).text());
        said.append(chunk.data(), static_cast<std::size_t>(size));
    }
    return child;
}

void clear_out(const lab::Namespace& where) {
    // Twice: one may have been starting another.
    for (int round = 0; round < 2; round++)
        for (const pid_t pid : processes_in(where)) ::kill(pid, SIGKILL);
    for (const auto end = steady_clock::now() + kGrace; steady_clock::now() < end;) {
        const auto left = processes_in(where);
        // A child of ours stays a zombie until its Child is destroyed; it has no namespace then and is not in the list.
        if (left.empty()) break;
        std::this_thread::sleep_for(kStep);
    }
    where.run([] {
        PinDirectory::of_this_namespace().remove();
        std::error_code ignored;
        const auto noted = std::filesystem::path("/run/underpass") / std::to_string(network_namespace_inode());
        std::filesystem::remove_all(noted, ignored);
        std::filesystem::remove(noted.parent_path(), ignored);  // stays while another namespace's is in it
    });
}

}  // namespace underpass::test
