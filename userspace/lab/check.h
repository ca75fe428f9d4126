// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Whether a Spec makes sense as a whole: names, what refers to what, and addresses that would collide.
//
// Pure. Whatever could be known to fail before anything is made is said here, at its place in the file.
#pragma once

#include <string>
#include <string_view>

#include "lab/spec.h"

namespace underpass::lab {

// A name of a lab or a node: a letter or digit, then letters, digits, '-' and '_', 32 at most.
bool is_name(std::string_view text);

// Throws FileError (yaml/reader.h).
void check_spec(const Spec& spec, const std::string& file);

}  // namespace underpass::lab
