// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/config.h"

#include <fmt/format.h>
#include <linux/if.h>

#include <array>
#include <string_view>

#include "yaml/reader.h"

namespace underpass {

namespace {

constexpr std::uint32_t kLargestMap = 1U << 24;
constexpr std::array<std::string_view, 6> kFileKeys = {"bridges",    "all",      "hook",
                                                       "rxvlan_off", "fdb_size", "flows_size"};
constexpr std::array<std::string_view, 2> kBridgeKeys = {"name", "hook"};

class ConfigReader : YamlReader {
public:
    using YamlReader::YamlReader;

    Config read(const std::string& text) {
        const YAML::Node root = load(text);
        Config config;
        if (root.IsNull()) return config;
        check_keys(root, kFileKeys, "the file");
        const HookChoice hook = root["hook"] ? choice(root["hook"]) : HookChoice::automatic;
        if (const auto node = root["all"]; node && scalar<bool>(node, "true or false")) config.selection.all = hook;
        if (const auto node = root["rxvlan_off"]) config.selection.rxvlan_off = scalar<bool>(node, "true or false");
        if (root["fdb_size"]) config.sizes.fdb = map_size(root, "fdb_size");
        if (root["flows_size"]) config.sizes.flows = map_size(root, "flows_size");
        if (const auto node = root["bridges"]) {
            if (!node.IsSequence()) fail(node, "bridges must be a list, as in `bridges: [br0]`");
            for (const auto& bridge : node) add_bridge(config, bridge, hook);
        }
        return config;
    }

private:
    std::uint32_t map_size(const YAML::Node& root, const char* key) const {
        const auto size = scalar<std::uint32_t>(root[key], "a number of entries");
        if (size == 0 || size > kLargestMap) fail(root[key], fmt::format("{} must be from 1 to {}", key, kLargestMap));
        return size;
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
            check_keys(node, kBridgeKeys, "a bridge");
            if (!node["name"]) fail(node, "a bridge needs a name");
            bridge = scalar<std::string>(node["name"], "a name");
            if (node["hook"]) hook = choice(node["hook"]);
        }
        if (bridge.empty() || bridge.size() >= IFNAMSIZ)
            fail(node, fmt::format("'{}' is no device name: 1 to {} characters", bridge, IFNAMSIZ - 1));
        if (!config.selection.bridges.emplace(bridge, hook).second)
            fail(node, fmt::format("bridge {} is listed twice", bridge));
    }
};

}  // namespace

Config parse_config(const std::string& text, const std::string& file) {
    return ConfigReader(file).read(text);
}

Config read_config(const std::filesystem::path& file) {
    return parse_config(read_text(file), file.string());
}

}  // namespace underpass
