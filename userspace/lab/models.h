// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The labs that come with the program, as files to read and to start from, and the schema for editors: the texts of
// models/ and lab.schema.json, put into the program when it is built.
#pragma once

#include <map>
#include <string_view>

namespace underpass::lab {

// By name; the text of the whole file.
const std::map<std::string_view, std::string_view>& models();
std::string_view schema();

}  // namespace underpass::lab
