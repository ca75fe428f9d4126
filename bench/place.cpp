// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/place.h"

#include <sched.h>

#include <cerrno>
#include <exception>
#include <string>
#include <thread>

#include "loader/error.h"

namespace underpass::bench {

void move_to(const Place& place) {
    if (place.netns >= 0 && ::setns(place.netns, CLONE_NEWNET) != 0) throw_errno(errno, "enter a network namespace");
    if (place.cpu < 0) return;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(static_cast<unsigned>(place.cpu), &cpus);
    if (::sched_setaffinity(0, sizeof(cpus), &cpus) != 0)
        throw_errno(errno, "stay on CPU " + std::to_string(place.cpu));
}

void run_at(const Place& place, const std::function<void()>& work) {
    std::exception_ptr failure;
    std::thread thread([&] {
        try {
            move_to(place);
            work();
        } catch (...) {
            failure = std::current_exception();
        }
    });
    thread.join();
    if (failure) std::rethrow_exception(failure);
}

int usable_cpus() {
    cpu_set_t cpus;
    if (::sched_getaffinity(0, sizeof(cpus), &cpus) != 0) return 1;
    return CPU_COUNT(&cpus);
}

}  // namespace underpass::bench
