// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The bench's generator on this kernel: what it counts is the time in which frames are made.
#include "bench/generator.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>

#include "harness/test_net.h"
#include "lab/link.h"

namespace underpass::test {

namespace {

using namespace std::chrono_literals;

class GeneratorTest : public TestNet {};

// How often the calling thread gave its CPU away by itself.
long sleeps() {
    rusage usage = {};
    ::getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

// The kernel sleeps before the first frame of a call and behind the last (some 20 ms each): what is counted lies within
// one call, in which it never does.
TEST_F(GeneratorTest, IsAwakeWhileItCounts) {
    make("here").run([] {
        lab::create_veth("out", "in");
        lab::set_up("out");
        lab::set_up("in");
        const bench::Sink sink(number(lab::ifindex("in")));
        bench::Generator generator({.ifindex = number(lab::ifindex("out"))}, {frame_template{}});
        for (const auto time : {50ms, 500ms}) {
            const long before = sleeps();
            const bench::Sent sent = generator.send_for({.time = time});
            EXPECT_GT(sent.frames, 0U);
            EXPECT_GE(sent.seconds, std::chrono::duration<double>(time).count());
            EXPECT_LT(sleeps() - before, 8) << "in " << time.count() << " ms, so more than before and behind it";
        }
    });
}

}  // namespace

}  // namespace underpass::test
