// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>

#include "cli/lab.h"
#include "cli/output.h"
#include "lab/drawing.h"
#include "lab/graph.h"
#include "lab/svg.h"

namespace underpass {

namespace {

constexpr std::size_t kUsualWidth = 100;

struct LabGraphOptions {
    std::string lab;
    std::string format = "text";
};

std::size_t terminal_width() {
    winsize size{};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsualWidth;
}

// One that is up, by its name, else a file or a model: a picture needs nothing that is built.
lab::Spec spec_for_picture(const std::string& name) {
    // Who is not root cannot see those that are up.
    if (name.empty()) require_root();
    if (name.empty() || lab::read_record(name) || !names_a_text(name)) return spec_of(find_lab(name));
    lab::Record record;
    const LabText text = read_lab_text(name);
    record.source = text.source;
    record.text = text.text;
    return spec_of(record);
}

void lab_graph(const LabGraphOptions& options) {
    const lab::Spec spec = spec_for_picture(options.lab);
    if (options.format == "text")
        fmt::print("{}", lab::text_drawing(spec, terminal_width()));
    else if (options.format == "dot")
        fmt::print("{}", lab::dot_graph(spec));
    else
        fmt::print("{}", lab::render_svg(lab::dot_graph(spec)));
}

}  // namespace

void add_lab_graph(CLI::App& lab) {
    auto options = std::make_shared<LabGraphOptions>();
    CLI::App* command = lab.add_subcommand("graph", "A picture of a lab: one that is up, a file or a model");
    command->add_option("LAB", options->lab, "A lab's name, a file or a model (default: the only one that is up)")
        ->type_name("");
    command
        ->add_option("--format", options->format,
                     "text: for this terminal; svg: by Graphviz, which must be installed; dot: for Graphviz")
        ->check(CLI::IsMember({"text", "svg", "dot"}))
        ->capture_default_str();
    command->footer("Examples:\n  underpass lab graph tunnel\n  underpass lab graph my.yaml --format svg > my.svg");
    command->callback([options] { lab_graph(*options); });
}

}  // namespace underpass
