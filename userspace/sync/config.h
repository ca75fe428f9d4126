// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The configuration file: which bridges, by which hook, and how large the FDB map may grow.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "model/rules.h"

namespace underpass {

struct Config {
    Selection selection;
    std::uint32_t fdb_size = FDB_DEFAULT_SIZE;
};

// A sentence with file, line and column.
class ConfigError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Throws ConfigError for a key that is not known (with the nearest that is), a value of the wrong type, or no YAML.
Config parse_config(const std::string& text, const std::string& file);
// Throws ConfigError too if the file cannot be read.
Config read_config(const std::filesystem::path& file);

}  // namespace underpass
