// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A lab's file (YAML) as a Spec, or the one sentence that says where and why it is none.
//
// Pure. What it knows is told to editors by lab.schema.json beside it: a test holds the two together.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lab/spec.h"

namespace underpass::lab {

// `file` is for the sentences. What comes back makes sense as a whole (check.h). Throws FileError (yaml/reader.h) with
// line and column.
Spec parse_spec(const std::string& text, const std::string& file);

// The keys that each part of a file may have, by what the part is called: "lab", "node", "interface", "bridge", "port",
// "vlan", "vxlan", "macvlan", "route", "nat", "guest", "link", "expectation".
const std::map<std::string_view, std::vector<std::string_view>>& known_keys();

}  // namespace underpass::lab
