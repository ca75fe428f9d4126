// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Errors of set-up: what was tried, on what, and the kernel's answer. Expected outcomes are return values instead.
#pragma once

#include <string>
#include <system_error>

namespace underpass {

// Throws std::system_error for `code` (an errno value, positive or negative) with "what: strerror".
[[noreturn]] void throw_errno(int code, const std::string& what);

// The kernel's verifier refused a program. what() names it; log() is the verifier's own text.
class VerifierError : public std::runtime_error {
public:
    VerifierError(const std::string& what, std::string log) : std::runtime_error(what), log_(std::move(log)) {}
    const std::string& log() const noexcept { return log_; }

private:
    std::string log_;
};

}  // namespace underpass
