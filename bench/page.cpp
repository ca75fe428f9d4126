// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "bench/chart.h"
#include "bench/goals.h"
#include "bench/markup.h"
#include "bench/profile_page.h"

namespace underpass::bench {

namespace {

using Cells = std::vector<std::string>;

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --soft: #59636e; --edge: #d1d9e0; --grid: #e3e8ed;
  --kernel: #57606a; --underpass: #0969da; --limit: #bc4c00; --tag: #8250df; --run: #0b2e59; --bar: #9ccbff; }
@media (prefers-color-scheme: dark) { :root { --back: #0d1117; --text: #e6edf3; --soft: #9198a1; --edge: #3d444d;
  --grid: #262c36; --kernel: #b1bac4; --underpass: #58a6ff; --limit: #f0883e; --tag: #bc8cff; --run: #eaf4ff;
  --bar: #1f5ca8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--back); color: var(--text);
  font: 1rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: .2rem 0 .6rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .4rem; padding-top: .6rem; border-top: 1px solid var(--edge); }
p { max-width: 46rem; margin: .4rem 0; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .9rem; margin: .6rem 0; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
nav { margin: .8rem 0; } nav a { margin-right: .8rem; white-space: nowrap; } a { color: var(--underpass); }
.warning { border: 2px solid var(--limit); padding: .5rem .8rem; font-weight: 600; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem 2.2rem; }
figure { margin: .6rem 0; min-width: 0; max-width: 32rem; } figcaption { color: var(--soft); font-size: .9rem; }
svg { display: block; width: 100%; height: auto; margin-top: .4rem; overflow: visible; }
svg text { font: 13px system-ui, sans-serif; fill: var(--text); } svg .axis { fill: var(--soft); }
svg .strong { font-weight: 600; } svg .grid { stroke: var(--grid); } svg .bar { fill: var(--bar); stroke: var(--underpass); }
svg .over { paint-order: stroke; stroke: var(--back); stroke-width: 4px; stroke-linejoin: round; }
svg .mark { stroke-width: 2.5; } svg .dot { fill-opacity: .8; } svg .dot.run { fill: var(--run); fill-opacity: .75; }
svg .curve { fill: none; stroke-width: 2; } svg .key { font-weight: 600; }
svg .dot.kernel, svg .key.kernel { fill: var(--kernel); } svg .mark.kernel, svg .curve.kernel { stroke: var(--kernel); }
svg .dot.underpass, svg .key.underpass { fill: var(--underpass); }
svg .mark.underpass, svg .curve.underpass { stroke: var(--underpass); }
svg .dot.limit, svg .key.limit { fill: var(--limit); }
svg .mark.limit, svg .curve.limit { stroke: var(--limit); stroke-dasharray: none; }
svg .curve.kernel { stroke-dasharray: 6 3; } svg .curve.limit { stroke-dasharray: 2 3; }
svg .dot.device { fill: var(--kernel); } svg .mark.device { stroke: var(--kernel); }
svg .dot.limit_tag, svg .key.limit_tag { fill: var(--tag); }
svg .mark.limit_tag, svg .curve.limit_tag { stroke: var(--tag); }
.wide { overflow-x: auto; margin: .5rem 0; background: linear-gradient(to right, var(--back) 50%, transparent) local,
  linear-gradient(to left, var(--back) 50%, transparent) 100% 0 local, linear-gradient(to right, var(--edge), transparent),
  linear-gradient(to left, var(--edge), transparent) 100% 0;
  background-size: 2rem 100%, 2rem 100%, .7rem 100%, .7rem 100%; background-repeat: no-repeat; }
table { border-collapse: collapse; font-size: .87rem; }
caption { text-align: left; color: var(--soft); padding-bottom: .2rem; }
th, td { padding: .18rem .6rem .18rem 0; text-align: left; border-bottom: 1px solid var(--grid); font-weight: 400;
  white-space: nowrap; } thead th { color: var(--soft); border-bottom-color: var(--edge); }
.n { text-align: right; font-variant-numeric: tabular-nums; }
summary { cursor: pointer; color: var(--underpass); padding: .3rem 0; }
.heard { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .35rem; } h1 { font-size: 1.35rem; } }
)";

const Cells kMeaning = {
    "Kernel: Linux forwards alone, with Underpass taken away. Underpass: the same network, the same frames. Limit: a "
    "bare redirect by the same hook that looks nothing up, so nothing that forwards can be faster.",
    "The three take turns, run by run. Figures are medians, and in brackets the lowest and the highest run. Of "
    "throughput more is better, of times less."};

std::vector<Row> rows_of(const Report& report, const std::string& scenario) {
    std::vector<Row> rows;
    std::ranges::copy_if(report.rows, std::back_inserter(rows),
                         [&](const Row& row) { return row.scenario == scenario; });
    return rows;
}

std::vector<Row> headlines(const std::vector<Row>& rows) {
    std::vector<Row> chosen;
    std::ranges::copy_if(rows, std::back_inserter(chosen), is_headline);
    return chosen;
}

bool has(const std::vector<Row>& rows, const std::string& side) {
    return std::ranges::any_of(rows, [&](const Row& row) { return row.of(side) != nullptr; });
}

// Named as in the text for a terminal; those sides that there are.
struct Figures {
    Cells head;
    std::vector<Cells> rows;
};

Figures figures(const Report& report, const std::vector<Row>& rows) {
    const auto baseline = report.baselines.find(rows.front().scenario);
    Figures table = {.head = {"case", "hook", "figure", "unit", "kernel", "Underpass", "limit"}, .rows = {}};
    if (has(rows, kTagLimit)) table.head.emplace_back("limit, tag changed");
    if (has(rows, kDevice)) table.head.emplace_back(kDevice);
    table.head.insert(table.head.end(), {"to kernel", "to limit", "runs"});
    if (baseline != report.baselines.end()) table.head.push_back("Underpass to " + baseline->second);
    for (const Row& row : rows) {
        Cells cells = {row.case_name, row.hook, row.metric, row.unit};
        for (const std::string& side : all_sides())
            if (std::ranges::count(kSides, side) > 0 || has(rows, side))
                cells.push_back(figure(row.of(side), row.unit));
        cells.push_back(ratio_text(row, "underpass", "kernel"));
        cells.push_back(ratio_text(row, "underpass", "limit"));
        std::size_t runs = 0;
        for (const auto& [side, samples] : row.samples) runs = std::max(runs, samples.size());
        cells.push_back(std::to_string(runs));
        if (baseline != report.baselines.end()) {
            const auto to = report.to_baseline(row);
            const auto of_underpass = to.find("underpass");
            cells.push_back(figure(of_underpass == to.end() ? nullptr : &of_underpass->second, {}));
        }
        table.rows.push_back(std::move(cells));
    }
    return table;
}

Figures every_run(const std::vector<Row>& rows) {
    Figures table = {.head = {"case", "hook", "figure", "side", "unit"}, .rows = {}};
    std::size_t most = 0;
    for (const Row& row : rows)
        for (const std::string& side : all_sides()) {
            const auto* samples = row.of(side);
            if (samples == nullptr) continue;
            Cells cells = {row.case_name, row.hook, row.metric, side, row.unit};
            for (const double sample : *samples) cells.push_back(exact(sample));
            most = std::max(most, samples->size());
            table.rows.push_back(std::move(cells));
        }
    for (std::size_t run = 1; run <= most; run++) table.head.push_back(fmt::format("run {}", run));
    for (Cells& cells : table.rows) cells.resize(5 + most, "-");
    return table;
}

std::string chart(const std::string& svg, const std::string& caption, const std::string& table) {
    return fmt::format("<figure><figcaption>{}</figcaption>\n{}{}</figure>\n", escaped(caption), svg, table);
}

std::string ratios_part(const std::string& scenario, const std::vector<Row>& rows) {
    std::vector<Cells> cells;
    for (const Row& row : rows) {
        const auto runs = ratios(row, "underpass", reference_of(row)), limits = ratios(row, "limit", reference_of(row));
        cells.push_back({case_text(row), row.hook, reference_of(row), figure(runs.empty() ? nullptr : &runs, ""),
                         figure(limits.empty() ? nullptr : &limits, "")});
    }
    const bool no_kernel = std::ranges::any_of(rows, [](const Row& row) { return row.of("kernel") == nullptr; });
    const std::string title = scenario + ": throughput as a ratio";
    return chart(
        ratio_chart(rows, title),
        fmt::format("How many times the kernel’s throughput{}. Bar: Underpass; dots: its single runs, the first "
                    "at the top; orange mark: the limit; grey line: 1.",
                    no_kernel ? " (the limit’s, where the kernel’s side is missing)" : ""),
        heard_table(title, {"case", "hook", "ratio to", "Underpass", "limit"}, cells, 3));
}

std::string runs_part(const std::string& scenario, const std::vector<Row>& rows) {
    const std::string title = scenario + ": every run";
    const Figures table = every_run(rows);
    return chart(run_chart(rows, title),
                 "Every run: a dot each, the first at the top of its line; upright: the median.",
                 heard_table(title, table.head, table.rows, 5));
}

std::string scale_parts(const std::string& scenario, const std::vector<Row>& rows) {
    std::map<std::pair<std::string, std::string>, std::vector<Row>> curves;  // by metric and hook
    for (const Row& row : rows)
        if (size_of(row)) curves[{row.metric, row.hook}].push_back(row);
    std::string text;
    for (auto& [name, curve] : curves) {
        if (curve.size() < 2) continue;
        std::ranges::sort(curve, {}, [](const Row& row) { return size_of(row).value(); });
        const std::string title =
            fmt::format("{}, hook {}: {}, {}", scenario, name.second, name.first, curve.front().unit);
        std::vector<Cells> cells;
        for (const Row& row : curve) {
            cells.push_back({row.case_name});
            for (const std::string& side : all_sides()) cells.back().push_back(figure(row.of(side), row.unit));
        }
        Cells head = {"case"};
        for (const std::string& side : all_sides()) head.push_back(side);
        text += chart(scale_chart(curve, title), title + ". Line: medians; dots: single runs.",
                      heard_table(title, head, cells, 1));
    }
    return text;
}

std::string scenario_part(const Report& report, const std::string& scenario) {
    const std::vector<Row> rows = rows_of(report, scenario), chosen = headlines(rows);
    std::string text = fmt::format("<section>\n<h2>{}</h2>\n", escaped(scenario));
    if (const auto note = report.notes.find(scenario); note != report.notes.end())
        text += fmt::format("<p>{}</p>\n", escaped(note->second));
    text += "<div class=\"charts\">\n";
    // Of one side there are no ratios.
    if (!chosen.empty() && !has(chosen, kDevice)) text += ratios_part(scenario, chosen);
    if (!chosen.empty()) text += runs_part(scenario, chosen);
    text += scale_parts(scenario, rows) + "</div>\n";
    const Figures table = figures(report, rows), runs = every_run(rows);
    text += html_table(scenario + ": medians (lowest..highest)", table.head, table.rows, 4);
    return text + "<details><summary>Every run as a table</summary>\n" +
           html_table(scenario + ": every run", runs.head, runs.rows, 5) + "</details>\n</section>\n";
}

// What was measured where, as pairs of words.
Facts::Named head_of(const Report& report) {
    const Facts& facts = report.facts;
    Facts::Named head = {{"date", facts.time},
                         {"kernel", facts.kernel},
                         {"CPU", facts.cpu},
                         {"runs", fmt::format("{} of each side, {} s each", facts.repeat, facts.seconds)}};
    if (const std::string by = generators_text(report); !by.empty()) head.emplace_back("generator", by);
    if (const std::string rate = no_drop_text(report); !rate.empty()) head.emplace_back(kNoDropRate, rate);
    if (is_disturbed(facts)) head.emplace_back("disturbed", disturbed_text(facts));
    std::string versions;
    for (const auto& [name, version] : facts.versions)
        versions += fmt::format("{}{}", versions.empty() ? "" : "; ",
                                version.starts_with(name) ? version : fmt::format("{} {}", name, version));
    head.emplace_back("versions", versions);
    for (const auto& [name, text] : facts.devices) head.emplace_back("devices: " + name, text);
    return head;
}

std::string markdown_row(const Cells& cells) {
    std::string text = "|";
    for (const std::string& cell : cells) text += ' ' + markdown_escaped(cell) + " |";
    return text + '\n';
}

// In a code span, whatever it holds.
std::string markdown_code(std::string text) {
    std::ranges::replace(text, '\n', ' ');
    std::string fence = "`";
    while (text.find(fence) != std::string::npos) fence += '`';
    return fence + ' ' + text + ' ' + fence;
}

std::string markdown_table(const Cells& head, const std::vector<Cells>& rows, std::size_t numbers) {
    std::string text = markdown_row(head) + '|';
    for (std::size_t i = 0; i < head.size(); i++) text += i < numbers ? " --- |" : " ---: |";
    text += '\n';
    for (const Cells& cells : rows) text += markdown_row(cells);
    return text;
}

// The goals that were measured, and on what: a table without its head, which is the first.
struct Goals {
    std::string meaning;
    std::vector<Cells> table;
};

Goals goals_of(const Report& report) {
    const Facts& facts = report.facts;
    return {
        fmt::format("{}, Linux {}, {}: medians of {} alternating runs of {} s, and of the ratios within each run "
                    "(lowest..highest), which is not the ratio of the medians.",
                    facts.time, facts.kernel.substr(0, facts.kernel.find(' ')), facts.cpu, facts.repeat, facts.seconds),
        goals_table(report)};
}

constexpr std::size_t kGoalNumbers = 3;  // columns from this one on are figures

constexpr const char* kIncomplete = "Incomplete: the measurement was interrupted, or failed, before its end.";

}  // namespace

std::string html_page(const Report& report) {
    std::string text =
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta "
        "charset=\"utf-8\"/>\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
        "<title>underpass bench</title>\n";
    text += fmt::format("<style>{}</style>\n</head>\n<body>\n<h1>underpass bench</h1>\n", kStyle);
    if (!report.complete) text += fmt::format("<p class=\"warning\">{}</p>\n", kIncomplete);
    if (report.profiles.empty() || !report.rows.empty())
        for (const std::string& sentence : kMeaning) text += fmt::format("<p>{}</p>\n", escaped(sentence));
    text += fmt::format("<dl>\n<dt>command</dt><dd><code>{}</code></dd>\n", escaped(report.facts.command));
    for (const auto& [name, value] : head_of(report))
        text += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escaped(name), escaped(value));
    text += "</dl>\n";
    if (!report.facts.mitigations.empty()) {
        std::vector<Cells> cells;
        for (const auto& [name, state] : report.facts.mitigations) cells.push_back({name, state});
        text += "<details><summary>Mitigations of this CPU</summary>\n" +
                html_table("/sys/devices/system/cpu/vulnerabilities", {"vulnerability", "state"}, cells, 2) +
                "</details>\n";
    }
    if (Goals goals = goals_of(report); !goals.table.empty())
        text += fmt::format("<section>\n<h2>Goals</h2>\n<p>{}</p>\n", escaped(goals.meaning)) +
                html_table("What Underpass is to reach, and where it is", goals.table.front(),
                           {goals.table.begin() + 1, goals.table.end()}, kGoalNumbers) +
                "</section>\n";
    for (const std::string& scenario : report.scenarios()) text += scenario_part(report, scenario);
    text += html_profiles(report.profiles);
    return text + "</body>\n</html>\n";
}

std::string markdown_page(const Report& report) {
    std::string text = "# underpass bench\n\n";
    if (!report.complete) text += fmt::format("**{}**\n\n", kIncomplete);
    text += fmt::format("- command: {}\n", markdown_code(report.facts.command));
    for (const auto& [name, value] : head_of(report))
        text += fmt::format("- {}: {}\n", markdown_escaped(name), markdown_escaped(value));
    for (const auto& [name, value] : report.facts.mitigations)
        text += fmt::format("- mitigation: {}: {}\n", markdown_escaped(name), markdown_escaped(value));
    text += '\n';
    if (report.profiles.empty() || !report.rows.empty())
        for (const std::string& sentence : kMeaning) text += sentence + ' ';
    if (Goals goals = goals_of(report); !goals.table.empty())
        text += fmt::format("\n\n## Goals\n\n{}\n\n", markdown_escaped(goals.meaning)) +
                markdown_table(goals.table.front(), {goals.table.begin() + 1, goals.table.end()}, kGoalNumbers);
    for (const std::string& scenario : report.scenarios()) {
        const Figures table = figures(report, rows_of(report, scenario));
        text += fmt::format("\n\n## {}\n\n", markdown_escaped(scenario));
        if (const auto note = report.notes.find(scenario); note != report.notes.end())
            text += markdown_escaped(note->second) + "\n\n";
        text += markdown_table(table.head, table.rows, 4);
    }
    return text + markdown_profiles(report.profiles) + '\n';
}

}  // namespace underpass::bench
