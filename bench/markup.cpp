// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/markup.h"

#include <fmt/format.h>

#include <cmath>

namespace underpass::bench {

std::string escaped(const std::string& text) {
    std::string result;
    for (const char letter : text) switch (letter) {
            case '&': result += "&amp;"; break;
            case '<': result += "&lt;"; break;
            case '>': result += "&gt;"; break;
            case '"': result += "&quot;"; break;
            case '\'': result += "&#39;"; break;
            case '\n':
            case '\t': result += letter; break;
            default:
                // XML has no way to write these.
                if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f)
                    result += "\xef\xbf\xbd";
                else
                    result += letter;
        }
    return result;
}

std::string markdown_escaped(const std::string& text) {
    std::string result;
    for (const char letter : text)
        if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f)
            result += ' ';
        else if (std::string("\\`*_[]<>|#&~!").find(letter) != std::string::npos)
            result += std::string("\\") + letter;
        else
            result += letter;
    return result;
}

std::string exact(double value) {
    return std::abs(value) >= 1000 ? fmt::format("{:.0f}", value) : fmt::format("{:.4g}", value);
}

namespace {

std::string bare_table(const std::string& caption, const std::vector<std::string>& head,
                       const std::vector<std::vector<std::string>>& rows, std::size_t numbers) {
    std::string text = fmt::format("<table><caption>{}</caption>\n<thead><tr>", escaped(caption));
    for (std::size_t i = 0; i < head.size(); i++)
        text += fmt::format("<th scope=\"col\"{}>{}</th>", i >= numbers ? " class=\"n\"" : "", escaped(head[i]));
    text += "</tr></thead>\n<tbody>\n";
    for (const auto& row : rows) {
        text += "<tr>";
        for (std::size_t i = 0; i < row.size(); i++)
            text += i >= numbers ? fmt::format("<td class=\"n\">{}</td>", escaped(row[i]))
                                 : fmt::format("<th scope=\"row\">{}</th>", escaped(row[i]));
        text += "</tr>\n";
    }
    return text + "</tbody></table>\n";
}

}  // namespace

std::string html_table(const std::string& caption, const std::vector<std::string>& head,
                       const std::vector<std::vector<std::string>>& rows, std::size_t numbers) {
    return fmt::format("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">{}</div>\n",
                       escaped(caption), bare_table(caption, head, rows, numbers));
}

std::string heard_table(const std::string& caption, const std::vector<std::string>& head,
                        const std::vector<std::vector<std::string>>& rows, std::size_t numbers) {
    return fmt::format("<div class=\"heard\">{}</div>\n", bare_table(caption, head, rows, numbers));
}

}  // namespace underpass::bench
