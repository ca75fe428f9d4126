// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A YAML file that a person wrote, read with patience: whatever is wrong is a sentence with file, line and column.
//
// In: text. Out: the library's nodes, and values of the types that are asked for. Used by every file format of ours, so
// that they complain alike.
#pragma once

#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace underpass {

// "lab.yaml:3:7: unknown key 'brigdes' (nearest: 'bridges'; ...)"
class FileError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
    // Line and column from 1; line 0: the whole file.
    FileError(const std::string& file, int line, int column, const std::string& what);
};

// The whole file. Throws FileError if it cannot be read, is no text, or is larger than a mebibyte.
std::string read_text(const std::filesystem::path& file);

// That one of `known` which takes the fewest edits to make of `word`; `known` is not empty.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

class YamlReader {
public:
    explicit YamlReader(std::string file) : file_(std::move(file)) {}

    // An empty text is a null node. Throws FileError.
    YAML::Node load(const std::string& text) const;

    // These throw FileError at the place of `node`.
    [[noreturn]] void fail(const YAML::Node& node, const std::string& what) const { fail(node.Mark(), what); }
    [[noreturn]] void fail(const YAML::Mark& mark, const std::string& what) const;
    void require_map(const YAML::Node& node, const std::string& what) const;
    void require_list(const YAML::Node& node, const std::string& what) const;
    // It is a map, of these keys at most, each once.
    void check_keys(const YAML::Node& map, std::span<const std::string_view> known, const std::string& what) const;
    template <class Value>
    Value scalar(const YAML::Node& node, const std::string& expected) const {
        try {
            if (node.IsScalar()) return node.as<Value>();
        } catch (const YAML::Exception&) {
            // Told below.
        }
        fail(node, "expected " + expected);
    }

    const std::string& file() const { return file_; }

private:
    std::string file_;
};

}  // namespace underpass
