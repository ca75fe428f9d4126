// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The reader of a lab's file, fed with anything (libFuzzer): it answers with a Spec or a FileError, and nothing else.
// `./dev fuzz [SECONDS]` runs it; what it has found interesting is kept in corpus/.
#include <cstddef>
#include <cstdint>
#include <string>

#include "lab/parse.h"
#include "yaml/reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        underpass::lab::parse_spec(std::string(reinterpret_cast<const char*>(data), size), "f");
    } catch (const underpass::FileError&) {
        // The expected answer to most of it.
    }
    return 0;
}
