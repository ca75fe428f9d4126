// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One run of the kernel's packet generator in the calling thread's network namespace, by /proc/net/pktgen. Whatever
// happens, what was configured is taken away again, and the module, if it was loaded for this.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "pktgen/traffic.h"

namespace underpass::pktgen {

// pktgen is there while this is: its module is loaded if need be, and then taken away again.
class Module {
public:
    // Throws std::runtime_error where the kernel has none.
    Module();
    ~Module();
    Module(const Module&) = delete;
    Module& operator=(const Module&) = delete;

private:
    bool loaded_ = false;
};

struct Task {
    std::string device;
    unsigned cpu = 0;
};

class Generator {
public:
    // Throws std::runtime_error, a sentence with the way out: this kernel has none, it is busy, no such CPU or device,
    // or the device does not take what the traffic asks for.
    Generator(std::vector<Task> tasks, const Traffic& traffic);
    ~Generator();
    Generator(const Generator&) = delete;
    Generator& operator=(const Generator&) = delete;

    // Until the count of the traffic is sent, the time is over (zero: never), or `go_on`, which is asked some times a
    // second with the packets sent so far, says no.
    void run(std::chrono::milliseconds time, const std::function<bool(std::uint64_t)>& go_on);
    // Of each task, in their order.
    std::vector<Result> results() const;

private:
    void put_back() noexcept;

    Module module_;
    std::vector<Task> tasks_;
    std::vector<unsigned> taken_;  // CPUs whose threads have devices of ours
};

}  // namespace underpass::pktgen
