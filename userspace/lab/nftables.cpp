// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/nftables.h"

#include <fmt/format.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <new>
#include <stdexcept>
#include <string_view>

#include "loader/error.h"
#include "loader/fd.h"
#include "netlink/socket.h"

namespace underpass::lab {

namespace {

struct FreeContext {
    void operator()(nft_ctx* context) const noexcept { nft_ctx_free(context); }
};

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view kBlank = " \t\r";
    const std::size_t begin = text.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// nft prints "FILE:LINE:COLUMNS: Error: WHAT", that line, and a mark below it.
std::string sentence_of(std::string_view complaint, std::string_view file) {
    constexpr std::string_view kWord = "Error: ";
    std::string_view number;
    if (complaint.starts_with(file)) {
        number = complaint.substr(file.size() + 1);
        number = number.substr(0, number.find(':'));
    }
    if (const auto word = complaint.find(kWord); word != std::string_view::npos)
        complaint.remove_prefix(word + kWord.size());
    const std::size_t end = complaint.find('\n');
    const std::string_view what = trimmed(complaint.substr(0, end));
    if (what.empty()) return "nft gives no reason";
    if (number.empty() || end == std::string_view::npos) return std::string(what);
    complaint.remove_prefix(end + 1);
    return fmt::format("{}, in line {}: {}", what, number, trimmed(complaint.substr(0, complaint.find('\n'))));
}

// In memory. From a buffer, nft would show the first line whatever it complains of.
Fd file_of(std::string_view text) {
    Fd file(::memfd_create("nftables rules", MFD_CLOEXEC));
    if (!file) throw_errno(errno, "make a file of nftables rules");
    while (!text.empty()) {
        const ssize_t size = ::write(file.get(), text.data(), text.size());
        if (size < 0) throw_errno(errno, "write a file of nftables rules");
        text.remove_prefix(static_cast<std::size_t>(size));
    }
    return file;
}

std::string quoted(const std::string& device) {
    if (device.find_first_of("\"\\") != std::string::npos)
        throw std::invalid_argument("nft cannot name the device " + device + ": give it a name without \" and \\");
    // An asterisk at the end would stand for any device whose name begins so.
    if (device.ends_with('*')) return fmt::format("\"{}\\*\"", std::string_view(device).substr(0, device.size() - 1));
    return fmt::format("\"{}\"", device);
}

const IpAddress& translated(const NatRule& rule) {
    if (!rule.to) throw std::invalid_argument("a rule for snat or dnat needs the address that is put in");
    return *rule.to;
}

bool is_for(const NatRule& rule, bool v6) {
    if (rule.kind != NatRule::Kind::masquerade) return translated(rule).v6 == v6;
    return !rule.from || rule.from->address.v6 == v6;
}

std::string source_rule(const NatRule& rule) {
    std::string text;
    if (rule.from) text += fmt::format("{} saddr {} ", rule.from->address.v6 ? "ip6" : "ip", rule.from->text());
    if (rule.out) text += fmt::format("oifname {} ", quoted(*rule.out));
    if (rule.kind == NatRule::Kind::masquerade) return text + "masquerade";
    return text + "snat to " + translated(rule).text();
}

std::string destination_rule(const NatRule& rule) {
    std::string text;
    if (rule.in) text += fmt::format("iifname {} ", quoted(*rule.in));
    text += fmt::format("{} dport {} dnat to ", rule.protocol, rule.port);
    const IpAddress& to = translated(rule);
    if (rule.to_port == 0) return text + to.text();
    return text +
           (to.v6 ? fmt::format("[{}]:{}", to.text(), rule.to_port) : fmt::format("{}:{}", to.text(), rule.to_port));
}

std::string chain(const char* name, const char* priority, const std::string& rules) {
    if (rules.empty()) return {};
    return fmt::format("    chain {0} {{\n        type nat hook {0} priority {1}\n{2}    }}\n", name, priority, rules);
}

std::string table(const std::vector<NatRule>& rules, bool v6) {
    std::string prerouting, postrouting;
    for (const NatRule& rule : rules) {
        if (!is_for(rule, v6)) continue;
        const bool destination = rule.kind == NatRule::Kind::dnat;
        (destination ? prerouting : postrouting) +=
            fmt::format("        {}\n", destination ? destination_rule(rule) : source_rule(rule));
    }
    const std::string chains = chain("prerouting", "dstnat", prerouting) + chain("postrouting", "srcnat", postrouting);
    return chains.empty() ? chains : fmt::format("table {} lab {{\n{}}}\n", v6 ? "ip6" : "ip", chains);
}

}  // namespace

void load_rules(const std::string& rules) {
    // Where there is no netfilter, libnftables would end the process.
    { const NetlinkSocket probe(NETLINK_NETFILTER); }
    const std::unique_ptr<nft_ctx, FreeContext> context(nft_ctx_new(NFT_CTX_DEFAULT));
    if (!context) throw std::bad_alloc();
    if (nft_ctx_buffer_output(context.get()) != 0 || nft_ctx_buffer_error(context.get()) != 0) throw std::bad_alloc();
    // Its grammar wants each rule ended, the last one too.
    const Fd file = file_of(rules + '\n');
    const std::string path = fmt::format("/proc/self/fd/{}", file.get());
    if (nft_run_cmd_from_filename(context.get(), path.c_str()) == 0) return;
    const char* complaint = nft_ctx_get_error_buffer(context.get());
    throw std::runtime_error("load nftables rules: " + sentence_of(complaint != nullptr ? complaint : "", path));
}

std::string nat_rules(const std::vector<NatRule>& rules) {
    return table(rules, false) + table(rules, true);
}

}  // namespace underpass::lab
