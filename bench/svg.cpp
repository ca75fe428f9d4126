// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/svg.h"

#include <fmt/format.h>

#include "bench/markup.h"

namespace underpass::bench {

std::string svg(double height, const std::string& title, const std::string& body) {
    return fmt::format(
        "<svg viewBox=\"0 0 {} {:.0f}\" role=\"img\" aria-label=\"{}\" "
        "xmlns=\"http://www.w3.org/2000/svg\">\n{}</svg>\n",
        kWidth, height, escaped(title), body);
}

std::string text_at(double x, double y, const std::string& text, const char* anchor, const char* kind) {
    return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\">{}</text>\n", x, y, anchor,
                       kind, escaped(text));
}

std::string line_at(double x1, double y1, double x2, double y2, const std::string& kind) {
    return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1, y1, x2, y2,
                       kind);
}

std::string bar_at(double x, double y, double width, double height) {
    return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" class=\"bar underpass\"/>\n", x,
                       y, width, height);
}

}  // namespace underpass::bench
