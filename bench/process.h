// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Other programs, run at a place. They get a process group of their own, so that Ctrl-C reaches us alone and we end
// them in order.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "bench/place.h"
#include "loader/fd.h"

namespace underpass::bench {

struct Finished {
    int status = 0;      // exit code, or 128 + signal
    std::string output;  // standard output and error together
};

// A program in the background, ended with the object.
class Process {
public:
    Process(const std::vector<std::string>& command, const Place& place);
    Process(Process&& other) noexcept
        : pid_(std::exchange(other.pid_, -1)), output_(std::move(other.output_)), text_(std::move(other.text_)) {}
    Process& operator=(Process&&) = delete;
    ~Process();

    // Until it ends, or is ended because its time is over. `stop_on_interrupt` false: for steps that put things back.
    Finished wait(std::chrono::milliseconds time, bool stop_on_interrupt = true);
    // Until it has printed `text`; false if it ended, or the time is over, before.
    bool wait_for_output(const std::string& text, std::chrono::milliseconds time);

private:
    bool read_some(std::chrono::milliseconds time);  // false: no more output will come

    pid_t pid_ = -1;
    Fd output_;
    std::string text_;
};

// Runs a program to its end.
Finished run_program(const std::vector<std::string>& command, const Place& place = {},
                     std::chrono::milliseconds time = std::chrono::seconds(30), bool stop_on_interrupt = true);

// Whether `program` is found along PATH.
bool is_installed(const std::string& program);

}  // namespace underpass::bench
