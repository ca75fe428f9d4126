// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/state.h"

#include <net/if.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "loader/error.h"
#include "loader/pin.h"
#include "netlink/ethtool.h"
#include "sync/survey.h"

namespace underpass {

namespace {

using Json = nlohmann::json;

HookChoice hook_choice(const Json& value) {
    if (const auto choice = parse_hook_choice(value.get<std::string>())) return *choice;
    throw std::runtime_error("unknown hook " + value.dump());
}

TcMethod tc_method(const Json& value) {
    for (const TcMethod method : {TcMethod::tcx, TcMethod::clsact})
        if (value == name(method)) return method;
    throw std::runtime_error("unknown way to attach a TC program " + value.dump());
}

Json to_json(const State& state) {
    Json json;
    json["bridges"] = Json::object();
    for (const auto& [bridge, choice] : state.selection.bridges) json["bridges"][bridge] = name(choice);
    if (state.selection.all) json["all"] = name(*state.selection.all);
    json["except"] = state.selection.except;
    if (state.selection.rxvlan_off) json["rxvlan_off"] = true;
    json["attached"] = Json::array();
    for (const auto& [device, attached] : state.attached) {
        Json entry = {{"ifindex", number(device)}};
        if (attached.tc) entry["tc"] = name(*attached.tc);
        if (attached.witness) entry["witness"] = name(*attached.witness);
        if (attached.xdp) entry["xdp"] = name(*attached.xdp);
        if (!attached.features_off.empty()) entry["features_off"] = attached.features_off;
        json["attached"].push_back(std::move(entry));
    }
    return json;
}

State from_json(const Json& json) {
    State state;
    for (const auto& [bridge, choice] : json.at("bridges").get<std::map<std::string, Json>>())
        state.selection.bridges[bridge] = hook_choice(choice);
    if (json.contains("all")) state.selection.all = hook_choice(json.at("all"));
    state.selection.except = json.at("except").get<std::set<std::string>>();
    if (json.contains("rxvlan_off")) state.selection.rxvlan_off = json.at("rxvlan_off").get<bool>();
    for (const Json& entry : json.at("attached")) {
        Attached attached;
        // Neither is there while the device is only told to leave its tags, or where the kernel refused the program.
        if (entry.contains("tc")) attached.tc = tc_method(entry.at("tc"));
        if (entry.contains("witness")) attached.witness = tc_method(entry.at("witness"));
        if (entry.contains("xdp"))
            attached.xdp = entry.at("xdp") == name(XdpMethod::single) ? XdpMethod::single : XdpMethod::dispatcher;
        if (entry.contains("features_off"))
            attached.features_off = entry.at("features_off").get<std::set<std::string>>();
        state.attached[Ifindex{entry.at("ifindex").get<std::uint32_t>()}] = attached;
    }
    return state;
}

}  // namespace

RunDirectory RunDirectory::of_this_namespace() {
    return {std::filesystem::path("/run/underpass") / std::to_string(network_namespace_inode())};
}

void RunDirectory::remove() const {
    for (const auto& file : {socket(), lock(), log(), state(), fresh_state()}) unlink(file.c_str());
    rmdir(path.c_str());
    rmdir(path.parent_path().c_str());  // stays while another namespace has a daemon
}

std::optional<State> read_state(const RunDirectory& directory) {
    std::ifstream file(directory.state());
    if (!file) return std::nullopt;
    try {
        return from_json(Json::parse(file));
    } catch (const std::exception& error) {
        throw std::runtime_error("cannot understand " + directory.state().string() + ": " + error.what() +
                                 "; `underpass down` removes it, and all that it is about");
    }
}

void write_state(const RunDirectory& directory, const State& state) {
    const auto fresh = directory.fresh_state();
    std::ofstream file(fresh, std::ios::trunc);
    file << to_json(state).dump(2) << '\n';
    file.close();
    if (!file || rename(fresh.c_str(), directory.state().c_str()) != 0)
        throw_errno(errno, "write " + directory.state().string());
}

void require_device(const std::string& name) {
    if (if_nametoindex(name.c_str()) == 0) throw std::runtime_error(no_such_device(name));
}

bool is_alone(const Host& host, Ifindex device) {
    const auto control = host.traffic_control.find(device);
    return control == host.traffic_control.end() ||
           (!control->second.foreign_ingress && !control->second.foreign_egress);
}

void restore_features(const std::string& device, const std::set<std::string>& features) {
    if (features.empty()) return;
    try {
        Ethtool(device).switch_features(features, true);
    } catch (const std::system_error& error) {
        if (error.code() != std::errc::no_such_device) throw;
    }
}

void clean_up(const PinDirectory& pins, const State& state) {
    // Whatever the file says, no device of the namespace keeps a program of ours.
    std::set<Ifindex> devices;
    for (const auto& [device, attached] : state.attached) devices.insert(device);
    for (const TcPoint point : {TcPoint::ingress, TcPoint::egress})
        for (const std::uint32_t ifindex : pinned_tc_devices(pins, point)) devices.insert(Ifindex{ifindex});
    std::map<Ifindex, std::string> names;
    Host host;
    Survey survey;
    survey.dump([&devices, &names](const Event& event) {
        const auto* link = std::get_if<LinkChanged>(&event);
        if (link == nullptr) return;
        devices.insert(link->link.index);
        names[link->link.index] = link->link.name;
    });
    survey.read_traffic_control(host, devices);
    for (const Ifindex device : devices) {
        detach_xdp(number(device));
        detach_tc(pins, number(device), TcPoint::egress, is_alone(host, device));
        detach_tc(pins, number(device), TcPoint::ingress, is_alone(host, device));
    }
    pins.remove();
    for (const auto& [device, attached] : state.attached)
        if (const auto name = names.find(device); name != names.end())
            restore_features(name->second, attached.features_off);
}

}  // namespace underpass
