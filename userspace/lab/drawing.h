// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A lab as a drawing for a terminal, in UTF-8: one tree for each machine, with its hosts at the ends of its links.
//
// Pure. What is a machine, and what makes a crowd, is said in plan.h. A link between two machines is drawn at both.
//
//   host                                        forwards
//   ├─ br0 (bridge) 10.13.0.254/24
//   │  ├─ a ────── a:eth0 10.13.0.1/24
//   │  └─ b ────── b:eth0 10.13.0.2/24
//   └─ uplink 192.0.2.2/24 ────── world:eth0 192.0.2.1/24
#pragma once

#include <cstddef>
#include <string>

#include "lab/spec.h"

namespace underpass::lab {

inline constexpr std::size_t kDrawingWidth = 80;

// Lines of at most `width` columns (at least 20), each ended by '\n'. What does not fit ends in an ellipsis. ────── is
// a link, ══════ a wire, ╌╌╌╌╌╌ a tunnel.
std::string text_drawing(const Spec& spec, std::size_t width = kDrawingWidth);

}  // namespace underpass::lab
