// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The configuration file: which bridges, by which hook, whether devices may be told to leave VLAN tags
// in the bytes, and how large the FDB map may grow.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "loader/object.h"
#include "model/rules.h"

namespace underpass {

struct Config {
    Selection selection;
    Programs::Sizes sizes;
};

// Throws FileError (yaml/reader.h) for a key that is not known (with the nearest that is), a value of the wrong type,
// or no YAML.
Config parse_config(const std::string& text, const std::string& file);
// Throws FileError too if the file cannot be read.
Config read_config(const std::filesystem::path& file);

}  // namespace underpass
