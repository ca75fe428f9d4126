// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Programs, run inside a namespace that a test made (the mount namespace stays the test's, so that /sys/fs/bpf is
// there), above all `underpass` itself as this build made it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "lab/namespace.h"
#include "loader/fd.h"

namespace underpass::test {

using std::chrono::milliseconds;

struct Finished {
    int status = 0;  // exit code, or 128 + signal
    bool timed_out = false;
    std::string out;
    std::string err;

    bool ok() const { return status == 0 && !timed_out; }
    // All of it in one text, for a failed expectation.
    std::string text() const;
};

// A program in the background. It is killed with the object, and if this process dies.
class Child {
public:
    Child(const lab::Namespace& where, const std::vector<std::string>& command);
    Child(Child&& other) noexcept
        : pid_(std::exchange(other.pid_, -1)), out_(std::move(other.out_)), err_(std::move(other.err_)) {}
    Child& operator=(Child&&) = delete;
    ~Child();

    pid_t pid() const noexcept { return pid_; }
    bool running() const;
    void signal(int number) const;

    // Until it ends; one that does not within `time` is killed. Afterwards there is no child any more.
    Finished wait(milliseconds time);
    // Until it has printed `text` (to either); false if it ended or the time was over before.
    bool wait_for(const std::string& text, milliseconds time) const;
    // What it has printed so far.
    std::string out() const;
    std::string err() const;

private:
    pid_t pid_ = -1;
    Fd out_, err_;  // files in memory: a program that prints much never waits for us
};

constexpr milliseconds kPatience{60000};  // an emulated machine is some thirty times slower

// Runs it to its end. Throws std::system_error if it cannot be started; a program that is not there ends with 127.
Finished run(const lab::Namespace& where, const std::vector<std::string>& command, milliseconds time = kPatience);

// `underpass WORDS...`
Finished underpass(const lab::Namespace& where, const std::vector<std::string>& words, milliseconds time = kPatience);
// `underpass run WORDS...`, the daemon in the foreground. Returns once it says that it runs; throws
// std::runtime_error with its own words if it ends instead.
Child start_daemon(const lab::Namespace& where, const std::vector<std::string>& words = {});
// Where the program is. UNDERPASS_PROGRAM in the environment names another one.
std::string underpass_path();

// Kills every process in the namespace and takes away what Underpass left pinned and noted for it. For a namespace
// that a test made and is about to remove.
void clear_out(const lab::Namespace& where);

}  // namespace underpass::test
