// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A BPF map with its key and value types. Owns a descriptor; the map lives on while a program or a pin holds it.
//
// Changing operations return the kernel's answer as an error code, since the daemon counts and retries them.
#pragma once

#include <cstdint>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "loader/fd.h"

namespace underpass {

// Where a walk through a hash goes on; absent: at its beginning.
using MapCursor = std::optional<std::uint32_t>;

// The untyped half: thin wrappers of the bpf() calls. `key` and `value` point to the map's own sizes.
class RawMap {
public:
    RawMap() = default;
    explicit RawMap(Fd fd) noexcept : fd_(std::move(fd)) {}

    int fd() const noexcept { return fd_.get(); }

protected:
    bool read(const void* key, void* value) const;  // false: no such entry
    std::error_code write(const void* key, const void* value) const;
    std::error_code remove(const void* key) const;  // an absent entry is no error
    // All entries, keys and values packed one after another; returns how many. Batched, so 100,000 take milliseconds.
    std::size_t read_all(std::vector<std::byte>& keys, std::size_t key_size, std::vector<std::byte>& values,
                         std::size_t value_size) const;

    // Of a hash, about `count` of them from the cursor on.
    std::size_t read_some(MapCursor& cursor, std::size_t count, std::vector<std::byte>& keys, std::size_t key_size,
                          std::vector<std::byte>& values, std::size_t value_size) const;

private:
    // For maps that are numbered from 0 on.
    std::size_t read_one_by_one(std::vector<std::byte>& keys, std::size_t key_size, std::vector<std::byte>& values,
                                std::size_t value_size) const;

    Fd fd_;
};

template <class Key, class Value>
requires std::is_trivially_copyable_v<Key> && std::is_trivially_copyable_v<Value>
class Map : public RawMap {
public:
    using RawMap::RawMap;

    std::optional<Value> lookup(const Key& key) const {
        Value value;
        return read(&key, &value) ? std::optional<Value>(value) : std::nullopt;
    }
    std::error_code update(const Key& key, const Value& value) const { return write(&key, &value); }
    std::error_code erase(const Key& key) const { return remove(&key); }

    // For hashes and arrays that are not per CPU.
    std::vector<std::pair<Key, Value>> entries() const {
        std::vector<std::byte> keys, values;
        const std::size_t count = read_all(keys, sizeof(Key), values, sizeof(Value));
        return unpack(keys, values, count);
    }

    // For hashes: about `count` entries from the cursor on, which then is where to go on, or absent at the end. One
    // that comes or goes meanwhile may be missing.
    std::vector<std::pair<Key, Value>> next_entries(MapCursor& cursor, std::size_t count) const {
        std::vector<std::byte> keys, values;
        const std::size_t found = read_some(cursor, count, keys, sizeof(Key), values, sizeof(Value));
        return unpack(keys, values, found);
    }

private:
    static std::vector<std::pair<Key, Value>> unpack(const std::vector<std::byte>& keys,
                                                     const std::vector<std::byte>& values, std::size_t count) {
        std::vector<std::pair<Key, Value>> result(count);
        for (std::size_t i = 0; i < count; i++) {
            __builtin_memcpy(&result[i].first, keys.data() + i * sizeof(Key), sizeof(Key));
            __builtin_memcpy(&result[i].second, values.data() + i * sizeof(Value), sizeof(Value));
        }
        return result;
    }
};

// An array map of one element type, one copy per CPU.
template <class Value>
requires std::is_trivially_copyable_v<Value>
class PerCpuArray : public RawMap {
public:
    using RawMap::RawMap;

    // One value per possible CPU; `cpus` is libbpf's number of them.
    std::vector<Value> lookup(std::uint32_t index, std::size_t cpus) const {
        std::vector<Value> values(cpus);
        static_assert(sizeof(Value) % 8 == 0, "the kernel lays the copies out in multiples of 8 bytes");
        if (!read(&index, values.data())) values.clear();
        return values;
    }
    std::error_code clear(std::uint32_t index, std::size_t cpus) const {
        const std::vector<Value> values(cpus);
        return write(&index, values.data());
    }
};

// A hash whose values have one copy per CPU.
template <class Key, class Value>
requires std::is_trivially_copyable_v<Key> && std::is_trivially_copyable_v<Value>
class PerCpuHash : public RawMap {
public:
    using RawMap::RawMap;

    // Each key with one value per possible CPU; `cpus` is libbpf's number of them.
    std::vector<std::pair<Key, std::vector<Value>>> entries(std::size_t cpus) const {
        static_assert(sizeof(Value) % 8 == 0, "the kernel lays the copies out in multiples of 8 bytes");
        std::vector<std::byte> keys, values;
        const std::size_t count = read_all(keys, sizeof(Key), values, cpus * sizeof(Value));
        std::vector<std::pair<Key, std::vector<Value>>> result(count);
        for (std::size_t i = 0; i < count; i++) {
            __builtin_memcpy(&result[i].first, keys.data() + i * sizeof(Key), sizeof(Key));
            result[i].second.resize(cpus);
            __builtin_memcpy(result[i].second.data(), values.data() + i * cpus * sizeof(Value), cpus * sizeof(Value));
        }
        return result;
    }
    std::error_code erase(const Key& key) const { return remove(&key); }
};

}  // namespace underpass
