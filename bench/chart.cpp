// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "bench/svg.h"

namespace underpass::bench {

namespace {

// A chart has no place for what is no number.
std::vector<double> finite(std::vector<double> values) {
    std::erase_if(values, [](double value) { return !std::isfinite(value); });
    return values;
}

// Of that side, finite; empty if it was not measured.
std::vector<double> samples_of(const Row& row, const std::string& side) {
    const auto* samples = row.of(side);
    return samples == nullptr ? std::vector<double>{} : finite(*samples);
}

std::string dot_at(double x, double y, const std::string& kind, double radius = 2) {
    return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" class=\"dot {}\"/>\n", x, y, radius, kind);
}

// A round step that makes some four to eight of `most`.
double step_of(double most) {
    const double power = std::pow(10, std::floor(std::log10(most / 4)));
    for (const double times : {1, 2, 5, 10})
        if (most / (times * power) <= 6) return times * power;
    return 10 * power;
}

double most_of(const std::vector<double>& values, double least = 0) {
    for (const double value : values)
        if (std::isfinite(value)) least = std::max(least, value);
    return least;
}

// Where number i of n stands between two places.
double place_of(std::size_t i, std::size_t n, double from, double to) {
    return n < 2 ? (from + to) / 2 : from + (to - from) * static_cast<double>(i) / static_cast<double>(n - 1);
}

std::string short_name(const std::string& side) {
    if (side == kTagLimit) return "limit, tag changed";
    return side;
}

}  // namespace

const char* reference_of(const Row& row) {
    return row.of("kernel") != nullptr ? "kernel" : "limit";
}

std::string ratio_chart(const std::vector<Row>& rows, const std::string& title) {
    constexpr double kRowHeight = 46, kBarTop = 19, kBar = 16;
    double most = 1;
    for (const Row& row : rows)
        for (const char* side : {"underpass", "limit"}) most = most_of(ratios(row, side, reference_of(row)), most);
    most *= 1.02;
    const auto x = [&](double ratio) { return std::min(kRight, ratio / most * kRight); };
    const double bottom = kRowHeight * static_cast<double>(rows.size());
    std::string body;
    for (double tick = 0; tick <= most; tick += step_of(most)) {
        body += line_at(x(tick), 0, x(tick), bottom + 4, "grid");
        body += text_at(x(tick), bottom + 18, fmt::format("{:.3g}", tick), tick == 0 ? "start" : "middle", "axis");
    }
    for (std::size_t i = 0; i < rows.size(); i++) {
        const Row& row = rows[i];
        const double top = kRowHeight * static_cast<double>(i), bar = top + kBarTop;
        const auto runs = finite(ratios(row, "underpass", reference_of(row)));
        const auto limits = finite(ratios(row, "limit", reference_of(row)));
        const bool of_kernel = row.of("kernel") != nullptr;
        body += text_at(0, top + kFont, label_of(row), "start", "over");
        const double middle = median(runs);
        const std::string told = runs.empty() ? std::string("not measured")
                                              : fmt::format("{:.2f} × {}", middle, of_kernel ? "kernel" : "limit");
        body += text_at(kRight, top + kFont, told, "end", "strong over");
        if (!runs.empty()) body += bar_at(0, bar, x(middle), kBar);
        for (std::size_t run = 0; run < runs.size(); run++)
            body += dot_at(x(runs[run]), place_of(run, runs.size(), bar + 2, bar + kBar - 2), "run");
        body += line_at(x(1), bar - 2, x(1), bar + kBar + 2, of_kernel ? "mark kernel" : "mark limit");
        if (of_kernel && !limits.empty())
            body += line_at(x(median(limits)), bar - 4, x(median(limits)), bar + kBar + 4, "mark limit");
    }
    return svg(bottom + 24, title, body);
}

std::string run_chart(const std::vector<Row>& rows, const std::string& title) {
    constexpr double kLane = 17, kHead = 18, kGap = 12, kLeft = 92;
    std::string body;
    double top = 0;
    for (const Row& row : rows) {
        double most = 0;
        for (const auto& [side, samples] : row.samples) most = most_of(samples, most);
        if (!(most > 0)) most = 1;
        body += text_at(0, top + kFont, label_of(row));
        body += text_at(kRight, top + kFont, fmt::format("0 to {} {}", human(most, row.unit), row.unit), "end", "axis");
        top += kHead;
        for (const std::string& side : all_sides()) {
            const auto samples = samples_of(row, side);
            if (samples.empty()) continue;
            const auto x = [&](double value) { return kLeft + (kRight - 4 - kLeft) * value / most; };
            body += text_at(kLeft - 6, top + kFont - 1, side == kTagLimit ? "limit, tag" : side, "end", "axis");
            body += line_at(kLeft, top + kLane / 2, kRight, top + kLane / 2, "grid");
            for (std::size_t run = 0; run < samples.size(); run++)
                body += dot_at(x(samples[run]), place_of(run, samples.size(), top + 4, top + kLane - 4), side);
            const double middle = x(median(samples));
            body += line_at(middle, top + 1, middle, top + kLane - 1, "mark " + side);
            top += kLane;
        }
        top += kGap;
    }
    return svg(top, title, body);
}

std::optional<double> size_of(const Row& row) {
    const auto dash = row.case_name.rfind('-');
    if (!row.scenario.ends_with("-scale") || dash == std::string::npos) return std::nullopt;
    double size = 0;
    const char* end = row.case_name.data() + row.case_name.size();
    const auto [rest, error] = std::from_chars(row.case_name.data() + dash + 1, end, size);
    if (error != std::errc() || rest != end || !(size > 0) || !std::isfinite(size)) return std::nullopt;
    return size;
}

std::string scale_chart(const std::vector<Row>& rows, const std::string& title) {
    constexpr double kLeft = 52, kTop = 12, kBottom = 190, kInset = 24;
    double most = 0, first = INFINITY, last = 0;
    for (const Row& row : rows) {
        for (const auto& [side, samples] : row.samples) most = most_of(samples, most);
        first = std::min(first, size_of(row).value());
        last = std::max(last, size_of(row).value());
    }
    if (!(most > 0)) most = 1;
    const double decades = std::max(std::log10(last / first), 1e-9);
    const auto x = [&](const Row& row) {
        return kLeft + kInset + (kRight - kLeft - 2 * kInset) * std::log10(size_of(row).value() / first) / decades;
    };
    const auto y = [&](double value) { return kBottom - (kBottom - kTop) * value / most; };
    std::string body;
    for (double tick = 0; tick <= most; tick += step_of(most)) {
        body += line_at(kLeft, y(tick), kRight, y(tick), "grid");
        body += text_at(kLeft - 5, y(tick) + 4, human(tick, rows.front().unit), "end", "axis");
    }
    for (const Row& row : rows)
        body += text_at(x(row), kBottom + 18, fmt::format("{:.0f}", size_of(row).value()), "middle", "axis");
    const std::string& name = rows.front().case_name;
    body += text_at((kLeft + kRight) / 2, kBottom + 35, name.substr(0, name.rfind('-')) + ", logarithmic", "middle",
                    "axis");
    int keys = 0;
    for (const std::string& side : all_sides()) {
        std::string points;
        for (const Row& row : rows) {
            const auto samples = samples_of(row, side);
            if (samples.empty()) continue;
            points += fmt::format("{:.1f},{:.1f} ", x(row), y(median(samples)));
            for (std::size_t run = 0; run < samples.size(); run++)
                body += dot_at(place_of(run, samples.size(), x(row) - 8, x(row) + 8), y(samples[run]), side, 1.5);
        }
        if (!points.empty()) body += fmt::format("<polyline points=\"{}\" class=\"curve {}\"/>\n", points, side);
        if (!points.empty())
            body += text_at(kLeft + 112 * static_cast<double>(keys++), kBottom + 56, "— " + short_name(side), "start",
                            ("key " + side).c_str());
    }
    return svg(kBottom + 64, title, body);
}

}  // namespace underpass::bench
