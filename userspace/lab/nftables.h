// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rules of nftables, in nft's own language: the text for a node's NAT, and what loads any such text.
//
// libnftables is not made for several threads at a time: one loads rules, the others wait.
#pragma once

#include <string>
#include <vector>

#include "lab/spec.h"

namespace underpass::lab {

// All of a rule set or none of it, into the calling thread's network namespace. Throws std::runtime_error with the
// first of nft's complaints and the line that it is about.
void load_rules(const std::string& rules);

// Table `lab`, of `ip` or `ip6` as the addresses are; a masquerade of any source is in both. Pure. Throws
// std::invalid_argument for a device whose name nft cannot say, or a rule without the address that it needs.
std::string nat_rules(const std::vector<NatRule>& rules);

}  // namespace underpass::lab
