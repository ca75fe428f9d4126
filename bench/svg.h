// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The pieces of charts, as text of SVG; kinds are classes of the page's style sheet. Pure.
#pragma once

#include <string>

namespace underpass::bench {

inline constexpr double kWidth = 400, kRight = 390, kFont = 13;

// All of it, 400 units wide.
std::string svg(double height, const std::string& title, const std::string& body);
std::string text_at(double x, double y, const std::string& text, const char* anchor = "start", const char* kind = "");
std::string line_at(double x1, double y1, double x2, double y2, const std::string& kind);
std::string bar_at(double x, double y, double width, double height);

}  // namespace underpass::bench
