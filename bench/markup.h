// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Text and numbers in XML, HTML and Markdown. Pure.
#pragma once

#include <string>
#include <vector>

namespace underpass::bench {

// As text or as an attribute's value: whatever it holds, it is one piece of text there.
std::string escaped(const std::string& text);
// In a cell of a Markdown table.
std::string markdown_escaped(const std::string& text);
// A number as tables show every run: 2134568, 12.34, 0.05123.
std::string exact(double value);

// A table of HTML in a part of its own that can be scrolled. Cells are text. `numbers`: columns from this one on are
// figures; the columns before name the row.
std::string html_table(const std::string& caption, const std::vector<std::string>& head,
                       const std::vector<std::vector<std::string>>& rows, std::size_t numbers);
// The same for those who hear what others see in a chart; the keyboard does not stop there.
std::string heard_table(const std::string& caption, const std::vector<std::string>& head,
                        const std::vector<std::vector<std::string>>& rows, std::size_t numbers);

}  // namespace underpass::bench
