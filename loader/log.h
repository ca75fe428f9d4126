// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What libbpf and libxdp would print. It is kept, not printed, so that an error can carry it.
#pragma once

#include <string>

namespace underpass {

// While one lives, the libraries' messages of this process are collected and not shown.
class QuietLibraries {
public:
    QuietLibraries();
    ~QuietLibraries();
    QuietLibraries(const QuietLibraries&) = delete;
    QuietLibraries& operator=(const QuietLibraries&) = delete;

    // Warnings and verifier text since construction.
    const std::string& text() const { return text_; }

private:
    std::string text_;
    std::string* outer_;
};

}  // namespace underpass
