// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "yaml/reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <numeric>
#include <set>
#include <system_error>
#include <vector>

namespace underpass {

namespace {

constexpr std::size_t kLongest = 1U << 20;

// Edits (insert, delete, replace) that make `b` of `a`.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); i++) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); j++) {
            const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
        }
    }
    return row.back();
}

// One line, whatever names the file has in it.
std::string on_one_line(const std::string& text) {
    std::string line;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        line += byte < ' ' || byte == 0x7f ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
    }
    return line;
}

}  // namespace

FileError::FileError(const std::string& file, int line, int column, const std::string& what)
    : runtime_error(line == 0 ? fmt::format("{}: {}", file, on_one_line(what))
                              : fmt::format("{}:{}:{}: {}", file, line, column, on_one_line(what))) {}

std::string read_text(const std::filesystem::path& file) {
    errno = 0;
    std::ifstream stream(file);
    const int code = errno;
    try {
        std::string text(kLongest + 1, 0);
        stream.read(text.data(), static_cast<std::streamsize>(text.size()));
        if (stream.gcount() > static_cast<std::streamsize>(kLongest))
            throw FileError(fmt::format("cannot read {}: it is longer than {} bytes", file.string(), kLongest));
        text.resize(static_cast<std::size_t>(stream.gcount()));
        if (stream.eof()) return text;
    } catch (const std::ios_base::failure&) {
        // It opens and cannot be read: a directory, for one.
    }
    throw FileError(
        fmt::format("cannot read {}: {}", file.string(),
                    stream.is_open() || code == 0 ? "it is no file of text" : std::generic_category().message(code)));
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> known) {
    return *std::ranges::min_element(known, {}, [word](std::string_view each) { return distance(word, each); });
}

YAML::Node YamlReader::load(const std::string& text) const {
    try {
        return YAML::Load(text);
    } catch (const YAML::Exception& error) {
        fail(error.mark, "not valid YAML: " + error.msg);
    }
}

void YamlReader::fail(const YAML::Mark& mark, const std::string& what) const {
    throw mark.is_null() ? FileError(file_, 0, 0, what) : FileError(file_, mark.line + 1, mark.column + 1, what);
}

void YamlReader::require_map(const YAML::Node& node, const std::string& what) const {
    if (!node.IsMap()) fail(node, what + " must be a map of keys and values");
}

void YamlReader::require_list(const YAML::Node& node, const std::string& what) const {
    if (!node.IsSequence()) fail(node, what + " must be a list, as in [a, b]");
}

void YamlReader::check_keys(const YAML::Node& map, std::span<const std::string_view> known,
                            const std::string& what) const {
    require_map(map, what);
    std::set<std::string> seen;
    for (const auto& entry : map) {
        const auto key = entry.first.as<std::string>("");
        // The library takes the first of two and is silent about the other.
        if (!seen.insert(key).second) fail(entry.first, fmt::format("key '{}' is there twice", key));
        if (std::ranges::find(known, key) != known.end()) continue;
        fail(entry.first, fmt::format("unknown key '{}' in {} (nearest: '{}'; known: {})", key, what,
                                      nearest(key, known), fmt::join(known, ", ")));
    }
}

}  // namespace underpass
