// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A picture in Graphviz's language as SVG, by Graphviz's own `dot`.
#pragma once

#include <string>

namespace underpass::lab {

// Runs `dot -Tsvg`, from the PATH and without a shell. Throws std::runtime_error if it is not installed, or with its
// own words if it refuses the text; std::system_error if it cannot be run.
std::string render_svg(const std::string& dot);

}  // namespace underpass::lab
