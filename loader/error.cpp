// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "loader/error.h"

#include <cstdlib>

namespace underpass {

void throw_errno(int code, const std::string& what) {
    throw std::system_error(std::abs(code), std::generic_category(), what);
}

}  // namespace underpass
