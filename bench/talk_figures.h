// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Cases between stacks, as figures of a report: each runs once, for the options' time after a warm-up, and adds its
// figures by `add`. TCP in bulk is iperf3's, the rest talk.h's, or sockperf's where that is the generator.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/runner.h"
#include "bench/talk.h"

namespace underpass::bench {

enum class TalkKind { bulk, tcp_transactions, udp_transactions, connections, small_frames };

// A case that two stacks make.
struct Talk {
    std::string name;
    TalkKind kind;
    std::uint32_t flows = 1;
};

std::vector<std::string> names_of(const std::vector<Talk>& talks);

// Whether that generator makes it; those of frames leave it to the stacks.
bool makes(GeneratorKind generator, const Talk& talk);
// The program that makes it, which is the name of its package, too; null: none, we do.
const char* program_of(GeneratorKind generator, const Talk& talk);
// Says which generator a talk is of, in its job's report.
std::string generator_of_talks(const RunOptions& options);

void add_talk(const Talk& talk, const Ends& ends, const RunOptions& options, const Add& add);

}  // namespace underpass::bench
