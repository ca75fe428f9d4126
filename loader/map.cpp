// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "loader/map.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

#include "loader/error.h"

namespace underpass {

namespace {

std::error_code code_of(int result) {
    return result == 0 ? std::error_code() : std::error_code(result < 0 ? -result : result, std::generic_category());
}

// The kernel's own ENOTSUPP, which has no name here: a device map's values are not read in batches.
constexpr int kNotSupported = 524;

}  // namespace

bool RawMap::read(const void* key, void* value) const {
    return bpf_map_lookup_elem(fd(), key, value) == 0;
}

std::error_code RawMap::write(const void* key, const void* value) const {
    return code_of(bpf_map_update_elem(fd(), key, value, BPF_ANY));
}

std::error_code RawMap::remove(const void* key) const {
    const int result = bpf_map_delete_elem(fd(), key);
    return result == -ENOENT ? std::error_code() : code_of(result);
}

std::size_t RawMap::read_all(std::vector<std::byte>& keys, std::size_t key_size, std::vector<std::byte>& values,
                             std::size_t value_size) const {
    std::size_t total = 0;
    std::uint32_t batch = 0;
    bool first = true;
    // A bucket that does not fit in one step is answered with ENOSPC: the step then grows.
    for (std::uint32_t step = 4096;;) {
        keys.resize((total + step) * key_size);
        values.resize((total + step) * value_size);
        std::uint32_t count = step;
        const int result = bpf_map_lookup_batch(fd(), first ? nullptr : &batch, &batch, keys.data() + total * key_size,
                                                values.data() + total * value_size, &count, nullptr);
        if (result == -ENOSPC) {
            step *= 2;
            continue;
        }
        if (first && result == -kNotSupported) {
            total = read_one_by_one(keys, key_size, values, value_size);
            break;
        }
        if (result != 0 && result != -ENOENT) throw_errno(result, "read a BPF map");
        total += count;
        first = false;
        if (result == -ENOENT) break;
    }
    keys.resize(total * key_size);
    values.resize(total * value_size);
    return total;
}

std::size_t RawMap::read_some(MapCursor& cursor, std::size_t count, std::vector<std::byte>& keys, std::size_t key_size,
                              std::vector<std::byte>& values, std::size_t value_size) const {
    // A bucket that does not fit in one step is answered with ENOSPC: the step then grows.
    for (auto step = static_cast<std::uint32_t>(count);; step *= 2) {
        keys.resize(step * key_size);
        values.resize(step * value_size);
        std::uint32_t next = 0, found = step;
        const int result =
            bpf_map_lookup_batch(fd(), cursor ? &*cursor : nullptr, &next, keys.data(), values.data(), &found, nullptr);
        if (result == -ENOSPC) continue;
        if (result != 0 && result != -ENOENT) throw_errno(result, "read a BPF map");
        cursor = result == 0 ? MapCursor(next) : std::nullopt;
        return found;
    }
}

std::size_t RawMap::read_one_by_one(std::vector<std::byte>& keys, std::size_t key_size, std::vector<std::byte>& values,
                                    std::size_t value_size) const {
    std::size_t total = 0;
    std::vector<std::byte> key(key_size);
    for (const void* before = nullptr; bpf_map_get_next_key(fd(), before, key.data()) == 0; before = key.data()) {
        keys.resize((total + 1) * key_size);
        values.resize((total + 1) * value_size);
        if (!read(key.data(), values.data() + total * value_size)) continue;
        std::copy(key.begin(), key.end(), keys.begin() + static_cast<std::ptrdiff_t>(total * key_size));
        total++;
    }
    return total;
}

}  // namespace underpass
