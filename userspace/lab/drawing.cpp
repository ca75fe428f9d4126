// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/drawing.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "lab/plan.h"

namespace underpass::lab {

namespace {

constexpr std::size_t kLeastWidth = 20;
constexpr std::size_t kNotesColumn = 44;
constexpr std::size_t kLineLength = 6, kShortLine = 2;

bool begins_character(char byte) {
    return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
}

std::size_t columns(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, begins_character));
}

std::string cut(std::string text, std::size_t width) {
    if (columns(text) <= width) return text;
    std::size_t end = 0;
    for (std::size_t seen = 0; end < text.size(); end++)
        if (begins_character(text[end]) && seen++ == width - 1) break;
    return text.substr(0, end) + "…";
}

std::string repeat(std::string_view text, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i < times; i++) all += text;
    return all;
}

// "host ────── far", with what hangs below `host`.
struct Row {
    std::string near;
    std::string line;   // what the line is drawn with; empty: there is none
    std::string label;  // in the line
    std::string far;
    std::vector<Row> below;
};

bool is_link(const Row& row) {
    return row.line == "─" || row.line == "═";
}

// "──────", "─ MTU 1450 ─"
std::size_t usual_length(const Row& row) {
    return row.label.empty() ? kLineLength : columns(row.label) + 4;
}

std::size_t shortest_length(const Row& row) {
    return row.label.empty() ? kShortLine : usual_length(row);
}

std::string draw_line(const Row& row, std::size_t length) {
    if (row.label.empty()) return repeat(row.line, length);
    return fmt::format("{} {} {}", row.line, row.label, repeat(row.line, length - columns(row.label) - 3));
}

class TextWriter {
public:
    TextWriter(const Spec& spec, std::size_t width) : spec_(spec), plan_(spec), width_(std::max(width, kLeastWidth)) {}

    std::string write() {
        for (const Node& node : spec_.nodes)
            if (plan_.is_machine(node.name)) add_tree(node);
        for (const Node& node : spec_.nodes)
            if (!plan_.is_machine(node.name) && !drawn_.contains(node.name)) add_tree(node);
        return text_;
    }

private:
    void add_text(const std::string& line) { text_ += cut(line, width_) + '\n'; }

    void add_tree(const Node& node) {
        if (!text_.empty()) text_ += '\n';
        drawn_.insert(node.name);
        const std::vector<Row> rows = rows_of(node);
        add_head(node, !rows.empty());
        add_rows(rows, "");
    }

    // The notes beside the name if they fit there, else each on a line of its own.
    void add_head(const Node& node, bool has_rows) {
        std::vector<std::string> notes = plan_.host_facts(node);
        for (const auto& more : {plan_.notes(node), plan_.routes(node)})
            notes.insert(notes.end(), more.begin(), more.end());
        const std::string joined = fmt::format("{}", fmt::join(notes, ", "));
        const std::size_t name = columns(node.name), length = columns(joined);
        if (notes.empty()) return add_text(node.name);
        if (name + 2 + length <= width_) {
            const std::size_t column = std::max(name + 2, std::min(kNotesColumn, width_ - length));
            return add_text(node.name + std::string(column - name, ' ') + joined);
        }
        add_text(node.name);
        for (const std::string& note : notes) add_text((has_rows ? "│  " : "   ") + note);
    }

    std::vector<Row> rows_of(const Node& node) {
        std::vector<Row> rows;
        for (const Bridge& bridge : node.bridges) {
            const Endpoint here{node.name, bridge.name};
            std::vector<Endpoint> ports;
            for (const Port& port : bridge.ports) ports.push_back({node.name, port.device});
            Row row = row_of({here});
            std::vector<Row> members = rows_of(ports);
            row.below.insert(row.below.begin(), std::make_move_iterator(members.begin()),
                             std::make_move_iterator(members.end()));
            rows.push_back(std::move(row));
        }
        for (Row& row : rows_of(plan_.loose_devices(node.name))) rows.push_back(std::move(row));
        return rows;
    }

    std::vector<Row> rows_of(const std::vector<Endpoint>& devices) {
        std::vector<Row> rows;
        for (const Plan::Bundle& bundle : plan_.bundles(devices)) rows.push_back(row_of(bundle));
        return rows;
    }

    Row row_of(const Plan::Bundle& bundle) {
        const Endpoint& first = bundle.front();
        Row row;
        row.near = near_text(bundle);
        if (const Plan::Cable* cable = plan_.cable(first)) {
            row.line = cable->link->wire ? "═" : "─";
            row.label = plan_.mtu(*cable->link).value_or("");
            std::vector<Endpoint> ends;
            for (const Endpoint& each : bundle) ends.push_back(plan_.cable(each)->far);
            row.far = far_text(ends);
        } else if (plan_.vxlan(first) != nullptr) {
            row.far = tunnel_text(first);
            if (!row.far.empty()) row.line = "╌";
        }
        for (const Plan::Bundle& uppers : plan_.bundles(plan_.macvlans_on(first)))
            if (uppers.front().node != first.node) row.below.push_back({.near = far_text(uppers)});
        return row;
    }

    static void append(std::string& text, const std::vector<std::string>& words, const char* separator) {
        if (!words.empty()) text += fmt::format(" {}", fmt::join(words, separator));
    }

    // "eth0.10 (VLAN 10 on eth0) 10.0.0.1/24 pvid 20"
    std::string near_text(const Plan::Bundle& bundle) const {
        const Endpoint& first = bundle.front();
        std::vector<std::string> names;
        for (const Endpoint& each : bundle) names.push_back(each.device);
        std::string text = range(names);
        const std::vector<std::string> facts = plan_.facts(first);
        if (!facts.empty()) text += fmt::format(" ({})", fmt::join(facts, ", "));
        if (bundle.size() == 1) append(text, plan_.addresses(first), " ");
        append(text, plan_.port_facts(first), ", ");
        if (const auto mtu = plan_.mtu(first)) text += ' ' + *mtu;
        return text;
    }

    // "a:eth0 10.0.0.1/24", for a machine's end or a host; "h1 … h500: 500 hosts, 10.1.0.1/16 … 10.1.1.244/16"
    std::string far_text(const std::vector<Endpoint>& ends) {
        std::vector<std::string> names;
        std::vector<const Node*> hosts;
        for (const Endpoint& each : ends) {
            if (!plan_.is_machine(each.node)) drawn_.insert(each.node);
            names.push_back(each.node);
            hosts.push_back(&plan_.node(each.node));
        }
        if (ends.size() > 1) return range(names) + ": " + plan_.crowd(hosts);
        const Endpoint& end = ends.front();
        std::string text = end.text();
        append(text, plan_.addresses(end), " ");
        std::vector<std::string> facts = plan_.host_facts(*hosts.front());
        if (const MacvlanDevice* macvlan = plan_.macvlan(end); macvlan != nullptr) facts = macvlan_facts(end);
        if (!facts.empty()) text += fmt::format(" ({})", fmt::join(facts, ", "));
        return text;
    }

    // Without its lower device, below which it is drawn.
    std::vector<std::string> macvlan_facts(const Endpoint& macvlan) const {
        std::vector<std::string> facts = plan_.facts(macvlan);
        facts.front() = "macvlan";
        return facts;
    }

    std::string tunnel_text(const Endpoint& here) const {
        std::vector<std::string> ends;
        for (const IpAddress& remote : plan_.vxlan(here)->remotes) {
            const auto there = plan_.tunnel_end(here, remote);
            ends.push_back(there ? there->text() : remote.text());
        }
        return fmt::format("{}", fmt::join(ends, ", "));
    }

    // The links of neighbours reach equally far, where the width allows it.
    std::size_t common_end(const std::vector<Row>& rows, std::size_t start) const {
        std::size_t shortest = 0, usual = 0, most = width_;  // from where the line begins
        for (const Row& row : rows) {
            if (!is_link(row)) continue;
            const std::size_t used = start + columns(row.near) + 1, rest = 1 + columns(row.far);
            shortest = std::max(shortest, used + shortest_length(row));
            usual = std::max(usual, used + usual_length(row));
            most = std::min(most, width_ > rest ? width_ - rest : 0);
        }
        return std::max(shortest, std::min(usual, most));
    }

    void add_rows(const std::vector<Row>& rows, const std::string& indent) {
        const std::size_t end = common_end(rows, columns(indent) + 3);
        for (std::size_t i = 0; i < rows.size(); i++) {
            const bool last = i + 1 == rows.size();
            add_row(rows[i], indent + (last ? "└─ " : "├─ ") + rows[i].near, end);
            add_rows(rows[i].below, indent + (last ? "   " : "│  "));
        }
    }

    void add_row(const Row& row, const std::string& start, std::size_t end) {
        if (row.line.empty()) return add_text(start);
        const std::size_t used = columns(start) + 1, rest = 1 + columns(row.far);
        std::size_t length = is_link(row) ? end - used : usual_length(row);
        if (used + length + rest > width_)
            length = std::max(shortest_length(row), width_ > used + rest ? width_ - used - rest : 0);
        add_text(start + ' ' + draw_line(row, length) + ' ' + row.far);
    }

    const Spec& spec_;
    const Plan plan_;
    std::size_t width_;
    std::string text_;
    std::set<std::string> drawn_;
};

}  // namespace

std::string text_drawing(const Spec& spec, std::size_t width) {
    return TextWriter(spec, width).write();
}

}  // namespace underpass::lab
