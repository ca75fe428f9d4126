// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/if.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <numeric>
#include <set>
#include <string_view>
#include <system_error>
#include <vector>

namespace underpass {

namespace {

constexpr std::uint32_t kLargestFdb = 1U << 24;

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

class Reader {
public:
    explicit Reader(std::string file) : file_(std::move(file)) {}

    Config read(const YAML::Node& root) {
        Config config;
        if (root.IsNull()) return config;
        require_map(root, "the file");
        check_keys(root, {"bridges", "all", "hook", "fdb_size"});
        const HookChoice hook = root["hook"] ? choice(root["hook"]) : HookChoice::automatic;
        if (const auto node = root["all"]; node && scalar<bool>(node, "true or false")) config.selection.all = hook;
        if (const auto node = root["fdb_size"]) {
            config.fdb_size = scalar<std::uint32_t>(node, "a number of entries");
            if (config.fdb_size == 0 || config.fdb_size > kLargestFdb)
                fail(node, fmt::format("fdb_size must be from 1 to {}", kLargestFdb));
        }
        if (const auto node = root["bridges"]) {
            if (!node.IsSequence()) fail(node, "bridges must be a list, as in `bridges: [br0]`");
            for (const auto& bridge : node) add_bridge(config, bridge, hook);
        }
        return config;
    }

    [[noreturn]] void fail(const YAML::Mark& mark, const std::string& what) const {
        throw ConfigError(mark.is_null() ? fmt::format("{}: {}", file_, what)
                                         : fmt::format("{}:{}:{}: {}", file_, mark.line + 1, mark.column + 1, what));
    }

private:
    [[noreturn]] void fail(const YAML::Node& node, const std::string& what) const { fail(node.Mark(), what); }

    void require_map(const YAML::Node& node, const std::string& what) const {
        if (!node.IsMap()) fail(node, what + " must be a map of keys and values");
    }

    void check_keys(const YAML::Node& map, std::initializer_list<std::string_view> known) const {
        std::set<std::string> seen;
        for (const auto& entry : map) {
            const auto key = entry.first.as<std::string>("");
            // The library takes the first of two and is silent about the other.
            if (!seen.insert(key).second) fail(entry.first, fmt::format("key '{}' is there twice", key));
            if (std::find(known.begin(), known.end(), key) != known.end()) continue;
            const auto nearest = *std::min_element(
                known.begin(), known.end(), [&key](auto a, auto b) { return distance(key, a) < distance(key, b); });
            fail(entry.first,
                 fmt::format("unknown key '{}' (nearest: '{}'; known: {})", key, nearest, fmt::join(known, ", ")));
        }
    }

    template <class Value>
    Value scalar(const YAML::Node& node, const std::string& expected) const {
        try {
            return node.as<Value>();
        } catch (const YAML::Exception&) {
            fail(node, "expected " + expected);
        }
    }

    HookChoice choice(const YAML::Node& node) const {
        const auto text = scalar<std::string>(node, "auto, tc or xdp");
        if (const auto parsed = parse_hook_choice(text)) return *parsed;
        fail(node, fmt::format("'{}' is no hook: expected auto, tc or xdp", text));
    }

    void add_bridge(Config& config, const YAML::Node& node, HookChoice hook) const {
        std::string bridge;
        if (node.IsScalar()) {
            bridge = node.as<std::string>();
        } else {
            require_map(node, "a bridge");
            check_keys(node, {"name", "hook"});
            if (!node["name"]) fail(node, "a bridge needs a name");
            bridge = scalar<std::string>(node["name"], "a name");
            if (node["hook"]) hook = choice(node["hook"]);
        }
        if (bridge.empty() || bridge.size() >= IFNAMSIZ)
            fail(node, fmt::format("'{}' is no device name: 1 to {} characters", bridge, IFNAMSIZ - 1));
        if (!config.selection.bridges.emplace(bridge, hook).second)
            fail(node, fmt::format("bridge {} is listed twice", bridge));
    }

    std::string file_;
};

}  // namespace

Config parse_config(const std::string& text, const std::string& file) {
    Reader reader(file);
    try {
        return reader.read(YAML::Load(text));
    } catch (const YAML::Exception& error) {
        reader.fail(error.mark, "not valid YAML: " + error.msg);
    }
}

Config read_config(const std::filesystem::path& file) {
    errno = 0;
    std::ifstream stream(file);
    const int code = errno;
    try {
        const std::string text(std::istreambuf_iterator<char>(stream), {});
        if (stream) return parse_config(text, file.string());
    } catch (const std::ios_base::failure&) {
        // It opens and cannot be read: a directory, for one.
    }
    throw ConfigError(
        fmt::format("cannot read {}: {}", file.string(),
                    stream.is_open() || code == 0 ? "it is no file of text" : std::generic_category().message(code)));
}

}  // namespace underpass
