// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A report as a page of its own: HTML that is well-formed XML, with its style and charts inside, no script and nothing
// from the network; light or dark as the reader has it. And as Markdown. Pure.
#pragma once

#include <string>

#include "bench/report.h"

namespace underpass::bench {

std::string html_page(const Report& report);
std::string markdown_page(const Report& report);

}  // namespace underpass::bench
