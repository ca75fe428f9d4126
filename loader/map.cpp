// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "loader/map.h"

#include <bpf/bpf.h>

#include <cerrno>

#include "loader/error.h"

namespace underpass {

namespace {

std::error_code code_of(int result) {
    return result == 0 ? std::error_code() : std::error_code(result < 0 ? -result : result, std::generic_category());
}

}  // namespace

bool RawMap::read(const void* key, void* value) const { return bpf_map_lookup_elem(fd(), key, value) == 0; }

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
        if (result != 0 && result != -ENOENT) throw_errno(result, "read a BPF map");
        total += count;
        first = false;
        if (result == -ENOENT) break;
    }
    keys.resize(total * key_size);
    values.resize(total * value_size);
    return total;
}

}  // namespace underpass
