// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/profile_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/markup.h"
#include "bench/report.h"
#include "bench/svg.h"

namespace underpass::bench {

namespace {

const std::vector<std::string> kHead = {"stage", "what it does", "ns", "share"};

std::string title_of(const Profile& profile) {
    return fmt::format("{}: {}, hook {}: ns by stage", profile.scenario, profile.case_name, profile.hook);
}

std::vector<std::vector<std::string>> cells_of(const Profile& profile) {
    std::vector<std::vector<std::string>> cells;
    for (const ProfileLine& line : lines_of(profile)) cells.push_back({line.name, line.what, line.ns, line.share});
    return cells;
}

}  // namespace

std::string profile_chart(const Profile& profile, const std::string& title) {
    constexpr double kLane = 20, kLeft = 74, kBar = 13, kText = 106;
    double most = 1;
    for (const Profile::Stage& stage : profile.stages)
        for (const double ns : stage.ns)
            if (std::isfinite(ns)) most = std::max(most, ns);
    const auto x = [&](double ns) {
        return kLeft + (kRight - kText - kLeft) * (std::isfinite(ns) ? std::clamp(ns / most, 0.0, 1.0) : 0);
    };
    std::string body;
    double top = 0;
    for (const Profile::Stage& stage : profile.stages) {
        const double middle = median(stage.ns);
        body += text_at(kLeft - 6, top + kFont, stage.name, "end");
        body += bar_at(kLeft, top + 2, x(middle) - kLeft, kBar);
        if (!stage.ns.empty()) {
            const auto [low, high] = std::ranges::minmax(stage.ns);
            body += line_at(x(low), top + 2 + kBar / 2, x(high), top + 2 + kBar / 2, "mark underpass");
        }
        body += text_at(kRight, top + kFont,
                        fmt::format("{} ns, {} %", ns_figure(middle), std::lround(100 * profile.share(stage))), "end",
                        "axis");
        top += kLane;
    }
    body += line_at(kLeft, 0, kLeft, top, "grid");
    body += text_at(kRight, top + kFont + 2,
                    fmt::format("sum {} ns, whole {} ns, in traffic {} ns", ns_figure(median(profile.sums())),
                                ns_figure(median(profile.whole)), ns_figure(median(profile.traffic))),
                    "end", "strong");
    return svg(top + kFont + 10, title, body);
}

std::string html_profiles(const std::vector<Profile>& profiles) {
    if (profiles.empty()) return {};
    std::string text =
        fmt::format("<section>\n<h2>Profile</h2>\n<p>{}</p>\n<div class=\"charts\">\n", escaped(kProfileMeaning));
    for (const Profile& profile : profiles) {
        const std::string title = title_of(profile);
        text += fmt::format(
            "<figure><figcaption>{}. Bar: median; line: lowest to highest run."
            "</figcaption>\n{}</figure>\n",
            escaped(title), profile_chart(profile, title));
    }
    text += "</div>\n";
    for (const Profile& profile : profiles) text += html_table(title_of(profile), kHead, cells_of(profile), 2);
    return text + "</section>\n";
}

std::string markdown_profiles(const std::vector<Profile>& profiles) {
    if (profiles.empty()) return {};
    std::string text = fmt::format("\n\n## Profile\n\n{}\n", markdown_escaped(kProfileMeaning));
    for (const Profile& profile : profiles) {
        text += fmt::format("\n### {}\n\n| stage | what it does | ns | share |\n| --- | --- | ---: | ---: |\n",
                            markdown_escaped(title_of(profile)));
        for (const ProfileLine& line : lines_of(profile))
            text += fmt::format("| {} | {} | {} | {} |\n", markdown_escaped(line.name), markdown_escaped(line.what),
                                markdown_escaped(line.ns), markdown_escaped(line.share));
    }
    return text;
}

}  // namespace underpass::bench
