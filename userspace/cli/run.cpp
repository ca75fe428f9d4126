// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <sys/prctl.h>

#include <filesystem>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/output.h"
#include "sync/daemon.h"

namespace underpass {

namespace {

constexpr const char* kDefaultConfig = "/etc/underpass/config.yaml";

struct RunOptions {
    std::string config;
    std::string hook = "auto";
    bool all = false;
    bool rxvlan_off = false;
    bool background = false;
    int ready_fd = -1;
};

void run(const RunOptions& options) {
    DaemonOptions daemon;
    daemon.background = options.background;
    daemon.ready_fd = options.ready_fd;
    daemon.version = UNDERPASS_VERSION;
    if (options.all) daemon.all = parse_hook_choice(options.hook);
    daemon.rxvlan_off = options.rxvlan_off;
    if (!options.config.empty())
        daemon.config = std::filesystem::absolute(options.config);
    else if (!options.background && std::filesystem::exists(kDefaultConfig))
        daemon.config = kDefaultConfig;
    require_root();
    prctl(PR_SET_NAME, "underpass");  // one that was executed by a descriptor is called after that
    run_daemon(daemon);
}

}  // namespace

void add_run(CLI::App& app) {
    auto options = std::make_shared<RunOptions>();
    CLI::App* command = app.add_subcommand("run", "The daemon in the foreground, as a service manager starts it");
    command
        ->add_option("-c,--config", options->config,
                     std::string("Configuration (default: ") + kDefaultConfig + ", if it is there)")
        ->type_name("FILE");
    auto* all = command->add_flag("--all", options->all,
                                  "Every bridge, and every device that packets are routed by, now and later");
    command->add_option("--hook", options->hook, "With --all: auto, tc or xdp")
        ->needs(all)
        ->check(CLI::IsMember({"auto", "tc", "xdp"}))
        ->capture_default_str();
    command->add_flag("--rxvlan-off", options->rxvlan_off,
                      "Where a NIC strips VLAN tags, turn that off meanwhile, so that XDP sees them");
    command->add_flag("--background", options->background)->group("");
    command->add_option("--ready-fd", options->ready_fd)->group("");
    command->footer(
        "Signals: TERM, INT take everything away and end; HUP reads the configuration and executes the program file "
        "anew\n"
        "(an upgrade without a gap). Killed otherwise, the programs stay and pass every frame to the kernel.\n"
        "Example:\n  underpass run -c /etc/underpass/config.yaml");
    command->callback([options] { run(*options); });
}

}  // namespace underpass
