// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A lab as a picture: text for Graphviz.
//
// Pure. What is a machine, and what makes a crowd, is said in plan.h. What a lab promises is not drawn. Nothing that
// the file says can change the meaning of the text: it is escaped.
#pragma once

#include <string>

#include "lab/spec.h"

namespace underpass::lab {

// For `dot -Tsvg`, in Graphviz's DOT language.
std::string dot_graph(const Spec& spec);

}  // namespace underpass::lab
