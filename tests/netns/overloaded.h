// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Overloaded: one visitor out of a lambda for each alternative of a std::variant.
#pragma once

namespace underpass::test {

template <class... Kinds>
struct Overloaded : Kinds... {
    using Kinds::operator()...;
};
template <class... Kinds>
Overloaded(Kinds...) -> Overloaded<Kinds...>;  // clang before 17 wants to be told

}  // namespace underpass::test
