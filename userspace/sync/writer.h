// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The writer: operations become map updates, and what the programs remembered of what was there before ends. A failed
// one is counted and given back; it never ends the loop.
#pragma once

#include <cstdint>
#include <string>

#include "loader/object.h"
#include "sync/reconcile.h"

namespace underpass {

class Writer {
public:
    explicit Writer(Programs& programs) : programs_(programs) {}

    // In the given order. Returns those that failed.
    Operations apply(const Operations& operations);

    std::uint64_t written() const { return written_; }
    std::uint64_t failures() const { return failures_; }
    const std::string& last_failure() const { return last_failure_; }

private:
    std::error_code apply(const EraseFdb& operation);
    std::error_code apply(const WriteFdb& operation);
    std::error_code apply(const WriteDevice& operation);
    std::error_code apply(const ClearDevice& operation);
    std::error_code apply(const WriteTarget& operation);
    std::error_code apply(const ClearTarget& operation);
    std::error_code apply(const WriteVlans& operation);
    std::error_code apply(const WriteUpper& operation);
    std::error_code apply(const EraseUpper& operation);
    std::error_code apply(const WriteTunnel& operation);
    std::error_code apply(const EraseTunnel& operation);
    std::error_code apply(const WriteVtep& operation);
    std::error_code apply(const EraseVtep& operation);

    std::error_code forgotten(std::error_code code);
    std::error_code forget_vlans(std::uint32_t slot, std::uint32_t flags);

    Programs& programs_;
    std::uint64_t written_ = 0;
    std::uint64_t failures_ = 0;
    std::string last_failure_;
};

}  // namespace underpass
