// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/interrupt.h"

#include <algorithm>
#include <csignal>
#include <thread>

namespace underpass::lab {

namespace {

volatile std::sig_atomic_t interrupted = 0;

void note_signal(int) {
    interrupted = 1;
}

}  // namespace

void watch_for_interrupts() {
    struct sigaction action = {};
    action.sa_handler = note_signal;  // without SA_RESTART: a blocking call returns and sees the flag
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

bool is_interrupted() {
    return interrupted != 0;
}

void throw_if_interrupted() {
    if (is_interrupted()) throw Interrupted();
}

void pause_for(std::chrono::milliseconds time) {
    using std::chrono::steady_clock;
    const auto end = steady_clock::now() + time;
    for (;;) {
        throw_if_interrupted();
        const auto left = end - steady_clock::now();
        if (left <= steady_clock::duration::zero()) return;
        std::this_thread::sleep_for(std::min<steady_clock::duration>(left, std::chrono::milliseconds(50)));
    }
}

}  // namespace underpass::lab
