// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "loader/log.h"

#include <bpf/libbpf.h>
#include <xdp/libxdp.h>

#include <array>
#include <cstdarg>
#include <cstdio>

namespace underpass {

namespace {

thread_local std::string* sink = nullptr;

void keep(const char* format, std::va_list arguments) {
    if (sink == nullptr) return;
    std::array<char, 4096> line{};
    const int length = std::vsnprintf(line.data(), line.size(), format, arguments);
    if (length > 0) sink->append(line.data());
}

int keep_bpf(enum libbpf_print_level level, const char* format, std::va_list arguments) {
    if (level == LIBBPF_WARN) keep(format, arguments);
    return 0;
}

int keep_xdp(enum libxdp_print_level level, const char* format, std::va_list arguments) {
    if (level == LIBXDP_WARN) keep(format, arguments);
    return 0;
}

}  // namespace

QuietLibraries::QuietLibraries() : outer_(sink) {
    libbpf_set_print(keep_bpf);
    libxdp_set_print(keep_xdp);
    sink = &text_;
}

QuietLibraries::~QuietLibraries() {
    sink = outer_;
}

}  // namespace underpass
