// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>

#include "cli/client.h"
#include "cli/lab.h"
#include "cli/output.h"
#include "lab/check.h"
#include "lab/guest.h"
#include "lab/interrupt.h"
#include "lab/link.h"
#include "lab/network.h"
#include "lab/plan.h"
#include "yaml/reader.h"

namespace underpass {

namespace {

using Clock = std::chrono::steady_clock;

struct LabUpOptions {
    std::string lab;
    std::string name;
    std::string accelerate;
    bool quiet = false;
    bool json = false;
};

constexpr std::size_t kMany = 50;           // objects, from which on each is told
constexpr std::chrono::seconds kBoot(180);  // of a guest, where nothing but emulation is there

// A line per object: on a terminal the last one only.
class Progress {
public:
    Progress(std::size_t all, bool quiet)
        : all_(all), quiet_(quiet || all < kMany), terminal_(isatty(STDERR_FILENO) != 0) {}
    ~Progress() {
        if (!quiet_ && terminal_ && done_ > 0) fmt::print(stderr, "\r\x1b[K");
    }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void step(const std::string& object) {
        lab::throw_if_interrupted();
        done_++;
        if (quiet_) return;
        fmt::print(stderr, "{}[{}/{}] {}{}", terminal_ ? "\r\x1b[K" : "", done_, all_, object, terminal_ ? "" : "\n");
        std::fflush(stderr);
    }

private:
    std::size_t all_, done_ = 0;
    bool quiet_, terminal_;
};

// A namespace is a descriptor, and a process is given few of these to begin with.
void allow_many_descriptors() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

struct GuestLink {
    const lab::Link& link;
    const lab::Endpoint& tap;  // at the other end
};

GuestLink link_of(const lab::Spec& spec, const lab::Node& guest) {
    for (const lab::Link& link : spec.links)
        for (std::size_t i = 0; i < link.ends.size(); i++)
            if (link.ends.at(i).node == guest.name) return {link, link.ends.at(1 - i)};
    throw std::logic_error("a guest without a link");
}

// The same in every run: neighbours need not learn it anew. Locally administered.
MacAddr mac_for(const lab::Spec& spec, const lab::Node& guest) {
    MacAddr mac;
    std::uint64_t hash = std::hash<std::string>{}(lab::namespace_name(spec.name, guest.name));
    for (std::uint8_t& byte : mac.bytes) {
        byte = static_cast<std::uint8_t>(hash);
        hash >>= 8;
    }
    mac.bytes[0] = 2;
    return mac;
}

lab::GuestOptions guest_options(const lab::Spec& spec, const lab::Node& guest) {
    const GuestLink cable = link_of(spec, guest);
    lab::GuestOptions options = {.name = guest.name,
                                 .memory_mib = guest.guest.memory_mib,
                                 .tap = cable.tap.device,
                                 .mac = mac_for(spec, guest),
                                 .addresses = {},
                                 .routes = guest.routes,
                                 .mtu = cable.link.mtu};
    for (const lab::Interface& interface : guest.interfaces) {
        options.addresses = interface.addresses;
        if (interface.mac) options.mac = *interface.mac;
        if (interface.mtu) options.mtu = interface.mtu;
    }
    return options;
}

void start_guests(const lab::Spec& spec, const lab::Network& network, const lab::LabDirectory& directory,
                  Progress& progress) {
    std::vector<std::string> started;
    for (const lab::Node& node : spec.nodes) {
        if (node.kind != lab::NodeKind::guest) continue;
        const lab::GuestKernel kernel = lab::find_guest_kernel();
        progress.step("guest " + node.name);
        const lab::Endpoint& tap = link_of(spec, node).tap;
        network.space(tap.node).run([&] { lab::start_guest(kernel, guest_options(spec, node), directory.path()); });
        started.push_back(node.name);
    }
    for (const std::string& guest : started) lab::wait_for_guest(directory.path(), guest, kBoot);
}

nlohmann::json accelerate(const lab::Spec& spec, const lab::Network& network, Progress& progress) {
    nlohmann::json answers = nlohmann::json::object();
    for (const lab::Node& node : spec.nodes) {
        if (!lab::is_accelerated(node)) continue;
        progress.step("underpass in " + node.name);
        answers[node.name] =
            network.space(node.name).run([&] { return bring_up({}, true, name(*node.accelerate)).at("bridges"); });
    }
    return answers;
}

// What is missing of a node; empty: nothing.
std::string missing_in(const lab::Spec& spec, const lab::Node& node, const lab::Namespace& space) {
    std::set<std::string> devices;
    for (const lab::Interface* each : lab::interfaces_of(node)) devices.insert(each->name);
    for (const lab::Link& link : spec.links)
        for (const lab::Endpoint& end : link.ends)
            if (end.node == node.name) devices.insert(end.device);
    for (const std::string& device : devices)
        if (!space.run([&device] { return lab::find_ifindex(device); }))
            return fmt::format("device {} of node {} is gone", device, node.name);
    if (lab::is_accelerated(node) && !status_in(space)) return fmt::format("no daemon runs in {} any more", node.name);
    return {};
}

// What is missing of a lab that was up; empty: nothing. A namespace first: what is at its links goes with it.
std::string missing_of(const lab::Record& record, const lab::Spec& spec) {
    for (const auto& space : record.spaces) {
        try {
            if (lab::identity_of(lab::Namespace::open(space.name)) == space.identity) continue;
        } catch (const std::system_error&) {
            // Told below.
        }
        return fmt::format("its namespace {} is gone", space.name);
    }
    for (const lab::Node& node : spec.nodes) {
        if (node.kind != lab::NodeKind::space) continue;
        const auto space = lab::Namespace::open(lab::namespace_name(spec.name, node.name));
        if (auto missing = missing_in(spec, node, space); !missing.empty()) return missing;
    }
    return {};
}

void require_whole(const lab::Record& record, const lab::Spec& spec) {
    const std::string missing = missing_of(record, spec);
    if (missing.empty()) return;
    throw std::runtime_error(
        fmt::format("the lab {} is up but not whole: {}; `underpass lab down {}` and build it again", record.lab,
                    missing, record.lab));
}

// True: it is up, as this record says. Throws if it is up otherwise, or half.
bool is_up(const lab::LabDirectory& directory, const lab::Record& wanted, const lab::Spec& spec) {
    const auto found = directory.read();
    if (!found || !found->this_boot) return false;
    if (!found->complete)
        throw std::runtime_error(
            fmt::format("the lab {} was never finished: `underpass lab down {}` takes away what there is of it",
                        spec.name, spec.name));
    if (!found->same_as(wanted)) {
        const std::string of = found->source != wanted.source ? found->source
                               : found->text != wanted.text   ? found->source + " as it was then"
                                                              : found->source + " with other options";
        const std::string what = fmt::format(
            "a lab {} is up already, of {}: `underpass lab down {}`, or give this one another name (--name)", spec.name,
            of, spec.name);
        // The name stands in the file, unless it was given beside it.
        if (!wanted.name_override.empty()) throw std::runtime_error(what);
        throw FileError(wanted.source, spec.mark.line, spec.mark.column, what);
    }
    require_whole(*found, spec);
    return true;
}

nlohmann::json build_lab(const lab::LabDirectory& directory, const lab::Record& record, const lab::Spec& spec,
                         bool quiet) {
    const auto machines = std::ranges::count(spec.nodes, lab::NodeKind::guest, &lab::Node::kind);
    Progress progress(lab::steps_of(spec) +
                          static_cast<std::size_t>(machines + std::ranges::count_if(spec.nodes, lab::is_accelerated)),
                      quiet);
    try {
        if (machines > 0) {  // what is missing is said before anything is made
            lab::find_guest_kernel();
            lab::check_guest_programs();
        }
        directory.begin(record);
        lab::Network network =
            lab::build(spec, {.step = [&progress](const std::string& object) { progress.step(object); },
                              .making = [&directory](const std::string& space) { directory.making(space); },
                              .made = [&directory](const lab::Namespace& space) { directory.made(space); }});
        // From here on the record is what takes it away.
        network.keep();
        start_guests(spec, network, directory, progress);
        auto answers = accelerate(spec, network, progress);
        lab::throw_if_interrupted();
        directory.complete();
        return answers;
    } catch (...) {
        if (const auto made = directory.read())
            take_away(directory, *made);
        else
            directory.remove();
        lab::throw_if_interrupted();  // whatever it was that the signal broke off
        throw;
    }
}

void print_up(const lab::Spec& spec, const nlohmann::json& accelerated, double seconds) {
    const std::size_t objects = lab::steps_of(spec);
    fmt::print("{}: up in {:.1f} s: {} nodes, {} links{}\n", spec.name, seconds, spec.nodes.size(), spec.links.size(),
               objects < kMany ? ""
                               : fmt::format(" ({:.1f} ms for each of {} objects)",
                                             seconds * 1000 / static_cast<double>(objects), objects));
    for (const auto& [node, bridges] : accelerated.items())
        for (const auto& bridge : bridges) {
            const bool fast = bridge.at("state") == "fast";
            fmt::print("  {}:{} {}\n", node, bridge.at("name").get<std::string>(),
                       fast ? "is fast" : "is left to the kernel: " + bridge.at("why").get<std::string>());
        }
    if (!spec.expectations.empty()) fmt::print("  next: underpass lab test {}\n", spec.name);
}

void lab_up(const LabUpOptions& options) {
    require_root();
    lab::watch_for_interrupts();
    allow_many_descriptors();
    const LabText text = read_lab_text(options.lab);
    lab::Record record;
    record.source = text.source;
    record.text = text.text;
    record.name_override = options.name;
    record.accelerate_override = options.accelerate;
    const lab::Spec spec = spec_of(record);
    record.lab = spec.name;
    const lab::LabDirectory directory(spec.name);
    const auto start = Clock::now();
    const bool already = is_up(directory, record, spec);
    const nlohmann::json accelerated =
        already ? nlohmann::json::object() : build_lab(directory, record, spec, options.quiet);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (options.json)
        fmt::print("{}\n", nlohmann::json{{"ok", true},
                                          {"lab", spec.name},
                                          {"changed", !already},
                                          {"seconds", seconds},
                                          {"nodes", spec.nodes.size()},
                                          {"links", spec.links.size()},
                                          {"accelerated", accelerated}}
                               .dump(2));
    else if (already)
        fmt::print("{}: is up already, just so; nothing was changed\n", spec.name);
    else
        print_up(spec, accelerated, seconds);
}

}  // namespace

void add_lab_up(CLI::App& lab) {
    auto options = std::make_shared<LabUpOptions>();
    CLI::App* command = lab.add_subcommand("up", "Build a lab from its file, or one of the models");
    command->add_option("LAB", options->lab, "A YAML file (by a path, or a name that ends in .yaml), or a model")
        ->required()
        ->type_name("");
    command
        ->add_option("--name", options->name,
                     "The lab's name, in place of the file's: letters, digits, '-' and '_', 32 at most")
        ->check([](const std::string& name) {
            return lab::is_name(name) ? std::string() : "'" + name + "' is no name: letters, digits, '-' and '_'";
        })
        ->type_name("NAME");
    command
        ->add_option("--accelerate", options->accelerate,
                     "For all nodes, in place of what the file says; auto: by what each device is")
        ->check(CLI::IsMember({"auto", "xdp", "tc", "false"}))
        ->type_name("HOW");
    command->add_flag("--quiet", options->quiet, "No progress");
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "A lab that is up just so is left as it is. What fails, or is interrupted, is taken back.\n\n"
        "Examples:\n  underpass lab up nat\n  underpass lab up my.yaml --accelerate tc --name mine");
    command->callback([options] { lab_up(*options); });
}

}  // namespace underpass
