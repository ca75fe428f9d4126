// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Reports as pages: read back by a strict XML parser. Every value is in a table, and no name breaks out of its place.
#include "bench/page.h"

#include <expat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>

#include "bench/chart.h"
#include "bench/kept.h"
#include "bench/markup.h"

namespace underpass::bench {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// What of a document counts here.
struct Document {
    std::string fault;  // empty: it is well-formed
    std::map<std::string, int> elements;
    std::set<std::string> cells;       // whole texts of td and th
    std::set<std::string> attributes;  // "name=value"
    std::set<std::string> words;       // whole texts of all others
    std::string open;                  // the text since the last tag
};

bool ends_a_cell(const std::string& name) {
    return name == "td" || name == "th";
}

Document parse(const std::string& xml) {
    Document document;
    const std::unique_ptr<XML_ParserStruct, void (*)(XML_Parser)> parser(XML_ParserCreate("UTF-8"), XML_ParserFree);
    XML_SetUserData(parser.get(), &document);
    XML_SetElementHandler(
        parser.get(),
        [](void* data, const XML_Char* name, const XML_Char** attributes) {
            auto& to = *static_cast<Document*>(data);
            to.elements[name]++;
            to.open.clear();
            for (; *attributes != nullptr; attributes += 2)
                to.attributes.insert(std::string(attributes[0]) + '=' + attributes[1]);
        },
        [](void* data, const XML_Char* name) {
            auto& to = *static_cast<Document*>(data);
            (ends_a_cell(name) ? to.cells : to.words).insert(to.open);
            to.open.clear();
        });
    XML_SetCharacterDataHandler(parser.get(), [](void* data, const XML_Char* text, int length) {
        static_cast<Document*>(data)->open.append(text, static_cast<std::size_t>(length));
    });
    if (XML_Parse(parser.get(), xml.data(), static_cast<int>(xml.size()), 1) != XML_STATUS_OK)
        document.fault = std::string(XML_ErrorString(XML_GetErrorCode(parser.get()))) + " in line " +
                         std::to_string(XML_GetCurrentLineNumber(parser.get()));
    return document;
}

// As the tables have it, written down anew.
std::string number_text(double value) {
    char text[64];
    std::snprintf(text, sizeof(text), value >= 1000 ? "%.0f" : "%.4g", value);
    return text;
}

Report made_up() {
    Report report;
    report.complete = true;
    report.facts = {.command = "underpass bench l2 --json 'a b'",
                    .version = "0.1.0",
                    .kernel = "6.1.0 #1",
                    .cpu = "A CPU, 2 CPUs",
                    .time = "2026-01-02T03:04:05Z",
                    .seconds = 0.5,
                    .repeat = 3,
                    .versions = {{"libbpf", "1.1"}},
                    .devices = {{"wires", "driver veth; on: rx-gro"}},
                    .mitigations = {{"meltdown", "Mitigation: PTI"}}};
    for (int run = 0; run < 3; run++) {
        for (const char* hook : {"xdp", "tc"})
            for (const char* size : {"256", "65536"}) {
                const std::string name = std::string("macs-") + size;
                const double factor = std::string(size) == "256" ? 1.0 : 0.7;
                report.add("mac-scale", name, hook, "frames", "frames/s", "kernel", 812345.0 * factor + run * 3331);
                report.add("mac-scale", name, hook, "frames", "frames/s", "underpass", 2012345 * factor + run * 7771);
                report.add("mac-scale", name, hook, "frames", "frames/s", "limit", 3912345 * factor + run * 1234);
                report.add("mac-scale", name, hook, "CPU per frame", "ns", "underpass", 431.25 + run * 1.5);
            }
        report.add("vlan-push", "tagged", "xdp", "frames", "frames/s", "underpass", 1234567 + run * 11);
        report.add("vlan-push", "tagged", "xdp", "frames", "frames/s", "limit", 2234567 + run * 11);
        report.add("vlan-push", "tagged", "xdp", "frames", "frames/s", kTagLimit, 2134567 + run * 11);
        report.add("devices", "frames-60", "", "frames", "frames/s", kDevice, 614567 + run * 11, "pktgen");
        report.add("devices", "frames-60", "", kNoDropRate, "frames/s", kDevice, 514567 + run * 11, "pktgen");
        report.add("nat", "tcp-rr", "tc", "latency, 99th", "us", "kernel", 0.05123 + run);
    }
    report.compare_with("mac-scale", "macs-256");
    report.note("nat", "Connections & so on.");
    return report;
}

Report hostile(const std::string& name) {
    Report report = made_up();
    report.complete = false;
    for (Row& row : report.rows) {
        row.case_name += name;
        row.hook = name;
        row.metric += name;
        row.unit += name;
    }
    Row foreign = report.rows.front();
    foreign.scenario = name;
    foreign.metric = "frames";
    report.rows.push_back(foreign);
    report.notes[name] = name;
    report.facts.command = report.facts.kernel = report.facts.cpu = report.facts.time = name;
    report.facts.versions = report.facts.devices = report.facts.mitigations = {{name, name}};
    return report;
}

const char* const kNames[] = {"</title></style><script>alert(1)</script>", "\" onload=\"alert(1)",
                              "' & <img src=x> ]]> <!-- --> &amp; %d {} {0}",
                              "a|b\n# heading `code` **bold** [x](javascript:1)", "\x01\x1b[31m\x7f"};

TEST(PageTest, IsWellFormed) {
    const Document page = parse(html_page(made_up()));
    EXPECT_EQ(page.fault, "");
    // Ratios and runs of the two scenarios with headlines and sides to compare, runs of the one without; curves by both
    // hooks of frames, and of the CPU time.
    EXPECT_EQ(page.elements.at("svg"), 2 * 2 + 2 * 2 + 1);
    EXPECT_EQ(page.elements.at("figure"), page.elements.at("svg"));
    EXPECT_EQ(page.elements.at("section"), 4 + 1);  // the goals
}

TEST(PageTest, NeedsNothingButItself) {
    const std::string text = html_page(made_up());
    const Document page = parse(text);
    for (const char* element : {"script", "link", "img", "iframe", "image", "use"})
        EXPECT_EQ(page.elements.count(element), 0U) << element;
    for (const std::string& attribute : page.attributes) {
        EXPECT_THAT(attribute, Not(testing::StartsWith("src="))) << attribute;
        EXPECT_THAT(attribute, Not(testing::StartsWith("on"))) << attribute;
    }
    EXPECT_THAT(text, Not(HasSubstr("url(")));
    EXPECT_THAT(text, Not(HasSubstr("@import")));
    EXPECT_THAT(text, HasSubstr("prefers-color-scheme: dark"));
}

TEST(PageTest, EveryValueIsInATable) {
    const Report report = made_up();
    const Document page = parse(html_page(report));
    for (const Row& row : report.rows)
        for (const auto& [side, samples] : row.samples) {
            EXPECT_THAT(page.cells, Contains(figure(&samples, row.unit)));
            EXPECT_THAT(page.cells, Contains(side));
            EXPECT_THAT(page.cells, Contains(row.unit));
            for (const double sample : samples) EXPECT_THAT(page.cells, Contains(number_text(sample)));
        }
    EXPECT_THAT(page.cells, Contains("Mitigation: PTI"));
    for (const std::string& text : {report.facts.command, report.facts.kernel, report.facts.cpu, report.facts.time})
        EXPECT_THAT(page.words, Contains(text));
    EXPECT_THAT(page.words, Contains("Connections & so on."));
}

TEST(PageTest, AnIncompleteReportSaysSo) {
    Report report = made_up();
    EXPECT_THAT(html_page(report), Not(HasSubstr("Incomplete")));
    EXPECT_THAT(markdown_page(report), Not(HasSubstr("Incomplete")));
    report.complete = false;
    EXPECT_THAT(html_page(report), HasSubstr("Incomplete"));
    EXPECT_THAT(markdown_page(report), HasSubstr("**Incomplete"));
}

TEST(PageTest, HostileNamesAreText) {
    const Document plain = parse(html_page(hostile("x")));
    for (const std::string name : kNames) {
        const Document page = parse(html_page(hostile(name)));
        EXPECT_EQ(page.fault, "") << name;
        EXPECT_EQ(page.elements, plain.elements) << name;
        for (const std::string& attribute : page.attributes)
            EXPECT_THAT(attribute, Not(testing::StartsWith("on"))) << attribute;
        if (name.front() >= ' ') {
            EXPECT_THAT(page.cells, Contains(name));
        }
    }
}

TEST(PageTest, AReportOfNothing) {
    EXPECT_EQ(parse(html_page({})).fault, "");
    EXPECT_THAT(markdown_page({}), HasSubstr("# underpass bench"));
}

// A side without a sample, zeros, values that are no numbers, one run.
TEST(PageTest, OddValues) {
    Report report;
    for (const double value : {0.0, -1.0, std::numeric_limits<double>::infinity(), std::nan("")})
        report.add("mac-scale", "macs-256", "tc", "frames", "frames/s", "kernel", value);
    report.add("mac-scale", "macs-0", "tc", "frames", "frames/s", "underpass", 5);
    report.add("mac-scale", "macs-99999999999999999999999999", "tc", "frames", "frames/s", "underpass", 1e300);
    report.add("mac-scale", "macs-", "tc", "frames", "frames/s", "underpass", 0);
    report.add("l2", "zero", "tc", "frames", "frames/s", "kernel", 0);
    report.add("l2", "zero", "tc", "frames", "frames/s", "underpass", 0);
    const std::string text = html_page(report);
    EXPECT_EQ(parse(text).fault, "");
    for (const std::string& attribute : parse(text).attributes)
        for (const char* place : {"cx=", "cy=", "x=", "x1=", "x2=", "y=", "width=", "points="})
            if (attribute.starts_with(place)) {
                EXPECT_EQ(attribute.find("nan"), std::string::npos) << attribute;
                EXPECT_EQ(attribute.find("inf"), std::string::npos) << attribute;
            }
}

TEST(PageTest, ChartsAreWellFormedAlone) {
    const Report report = made_up();
    const std::vector<Row> rows(report.rows.begin(), report.rows.begin() + 1);
    for (const std::string& svg : {ratio_chart(rows, "<a&b>"), run_chart(rows, "<a&b>"), scale_chart(rows, "<a&b>")}) {
        const Document chart = parse(svg);
        EXPECT_EQ(chart.fault, "");
        EXPECT_THAT(chart.attributes, Contains("aria-label=<a&b>"));
    }
    // Three runs of Underpass.
    EXPECT_EQ(parse(ratio_chart(rows, "t")).elements.at("circle"), 3);
    EXPECT_EQ(parse(run_chart(rows, "t")).elements.at("circle"), 9);
}

// Each row of a table has as many cells as its head, whatever the names.
TEST(PageTest, MarkdownTablesHoldTogether) {
    const auto cells_of = [](const std::string& line) {
        int cells = 0;
        for (std::size_t i = 0; i < line.size(); i++)
            if (line[i] == '\\')
                i++;
            else if (line[i] == '|')
                cells++;
        return cells;
    };
    for (const std::string name : kNames) {
        std::istringstream text(markdown_page(hostile(name)));
        int width = 0, rows = 0;
        for (std::string line; std::getline(text, line);) {
            const bool of_table = line.starts_with("|");
            if (of_table && width != 0) {
                EXPECT_EQ(cells_of(line), width) << line;
            }
            width = of_table ? cells_of(line) : 0;
            rows += of_table ? 1 : 0;
        }
        EXPECT_GT(rows, 14) << name;
    }
    const std::string markdown = markdown_page(made_up());
    for (const Row& row : made_up().rows)
        for (const auto& [side, samples] : row.samples) EXPECT_THAT(markdown, HasSubstr(figure(&samples, row.unit)));
}

// What was to be reached is said beside what was, and where it was not.
TEST(PageTest, GoalsAreHeldAgainstTheKernel) {
    Report report = made_up();
    const auto line = [&](const std::string& page) {
        const auto at = page.find("| mac-scale, macs-65536 |");
        return at == std::string::npos ? "none" : page.substr(at, page.find('\n', at) - at);
    };
    EXPECT_EQ(line(markdown_page(report)),
              "| mac-scale, macs-65536 | xdp | frames/s | 572 k | 1.42 M | 2.74 M | 2.48 (2.48..2.48) | 2.4 | "
              "0.52 (0.9 wanted, missed) |");
    for (Row& row : report.rows)
        for (double& sample : row.samples["underpass"]) sample *= 0.9;
    EXPECT_EQ(line(markdown_page(report)),
              "| mac-scale, macs-65536 | xdp | frames/s | 572 k | 1.27 M | 2.74 M | 2.23 (2.23..2.23) | 2.4, missed | "
              "0.47 (0.9 wanted, missed) |");
    EXPECT_TRUE(parse(html_page(report)).cells.contains("2.4, missed"));
    for (Row& row : report.rows)
        for (double& sample : row.samples["underpass"]) sample *= 2;
    EXPECT_THAT(line(markdown_page(report)), HasSubstr("| 2.4 | 0.93 (0.9 wanted) |"));
    std::erase_if(report.rows, [](const Row& row) { return row.scenario == "mac-scale"; });
    EXPECT_EQ(line(markdown_page(report)), "none");
    // Where it is not to be slower, one run that is not is enough: the others may be noise.
    for (const auto& [side, sample] : {std::pair("kernel", 10.0), std::pair("underpass", 9.0)})
        for (int run = 0; run < 3; run++)
            report.add("container-to-uplink", "nat-tcp-rr", "tc", "transactions", "1/s", side, sample);
    EXPECT_THAT(markdown_page(report), HasSubstr("0.9 (0.9..0.9) | 1, missed |"));
    report.add("container-to-uplink", "nat-tcp-rr", "tc", "transactions", "1/s", "kernel", 9);
    report.add("container-to-uplink", "nat-tcp-rr", "tc", "transactions", "1/s", "underpass", 9);
    EXPECT_THAT(markdown_page(report), HasSubstr("0.9 (0.9..1) | 1 |"));
    std::erase_if(report.rows, [](const Row& row) { return row.scenario == "container-to-uplink"; });
    EXPECT_THAT(markdown_page(report), Not(HasSubstr("Goals")));
}

// Of which generator, in the text, on the pages and in what is kept.
TEST(PageTest, TheGeneratorIsTold) {
    Report report = made_up();
    EXPECT_EQ(generators_text(report), "pktgen");
    report.facts.generator = "pktgen";
    report.facts.most_loss = 0.001;
    report.add("vxlan-decap", "summed", "tc", "frames", "frames/s", "kernel", 5, "frames");
    report.add("vxlan-decap", "summed", "xdp", "frames", "frames/s", "kernel", 5, "frames");
    report.add("flow-scale", "flows-256", "xdp", "frames", "frames/s", "kernel", 5, "frames");
    const std::string text = "pktgen (vxlan-decap, flow-scale: live frames)";
    EXPECT_EQ(generators_text(report), text);
    EXPECT_EQ(generators_text({}), "");
    Report talks;
    talks.facts.generator = "sockperf";
    talks.add("nat", "tcp-rr", "tc", "transactions", "1/s", "kernel", 5, "sockperf");
    EXPECT_EQ(generators_text(talks), "sockperf");
    EXPECT_THAT(no_drop_text(report), HasSubstr("at most 0.1 % is lost, within 1 %"));
    EXPECT_EQ(no_drop_text({}), "");
    EXPECT_THAT(parse(html_page(report)).words, Contains(text));
    EXPECT_THAT(markdown_page(report), HasSubstr("- generator: "));
    const Report back = from_json(to_json(report));
    EXPECT_EQ(generators_text(back), text);
    EXPECT_EQ(back.facts.most_loss, 0.001);
}

TEST(PageTest, ABusyMachineIsTold) {
    Report report = made_up();
    report.facts.busy = 0.04;
    EXPECT_THAT(markdown_page(report), Not(HasSubstr("disturbed")));
    report.facts.busy = 0.37;
    EXPECT_THAT(markdown_page(report), HasSubstr("- disturbed: others took 37 %"));
    EXPECT_THAT(parse(html_page(report)).words, Contains(HasSubstr("others took 37 %")));
    EXPECT_EQ(from_json(to_json(report)).facts.busy, 0.37);
}

// Every chart is a table for who hears it, at which the keyboard does not stop; every other one can be scrolled by it.
TEST(PageTest, ChartsAreTables) {
    const std::string page = html_page(made_up());
    const auto count = [&](const std::string& part) {
        int times = 0;
        for (auto at = page.find(part); at != std::string::npos; at = page.find(part, at + 1)) times++;
        return times;
    };
    EXPECT_GT(count("<figure>"), 5);
    EXPECT_EQ(count("<figure>"), count("</svg>\n<div class=\"heard\"><table>"));
    EXPECT_EQ(count("<table>"), count("<div class=\"heard\"><table>") + count("tabindex=\"0\""));
}

// The axis of sizes says what they are of, and keys of sides that are missing leave no gap.
TEST(PageTest, CurvesAreLabelled) {
    std::vector<Row> curve;
    for (const Row& row : made_up().rows)
        if (row.scenario == "mac-scale" && row.hook == "xdp" && row.metric == "CPU per frame") curve.push_back(row);
    const std::string drawn = scale_chart(curve, "t");
    EXPECT_THAT(drawn, HasSubstr(">macs, logarithmic</text>"));
    EXPECT_THAT(drawn, HasSubstr("<text x=\"52.0\" y=\"246.0\" text-anchor=\"start\" class=\"key underpass\">"));
}

TEST(PageTest, OneSideHasNothingBesideIt) {
    const std::string text = table(made_up());
    EXPECT_THAT(text, HasSubstr("devices: frames-60\n"));
    EXPECT_THAT(text.substr(text.find("devices: ")), HasSubstr("unit       device\n"));
    EXPECT_THAT(html_page(made_up()), Not(HasSubstr("devices: throughput as a ratio")));
}

TEST(KeptTest, ComesBackAsItWas) {
    const Report report = made_up();
    const Report back = from_json(to_json(report));
    EXPECT_EQ(to_json(back), to_json(report));
    EXPECT_EQ(html_page(back), html_page(report));
    EXPECT_FALSE(from_json(to_json(hostile("x"))).complete);
}

TEST(KeptTest, WhatIsNoneIsRefused) {
    EXPECT_THROW(from_json(nlohmann::json::array()), std::runtime_error);
    EXPECT_THROW(from_json({{"format", 2}}), std::runtime_error);
    for (const char* key : {"complete", "run", "notes", "results"}) {
        nlohmann::json json = to_json(made_up());
        json.erase(key);
        EXPECT_THROW(from_json(json), std::runtime_error) << key;
        json[key] = "something else";
        EXPECT_THROW(from_json(json), std::runtime_error) << key;
    }
    EXPECT_THROW(read_kept("/nowhere/at/all"), std::runtime_error);
}

}  // namespace
}  // namespace underpass::bench
