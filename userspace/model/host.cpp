// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/host.h"

namespace underpass {

const char* name(PortState state) {
    switch (state) {
        case PortState::disabled: return "disabled";
        case PortState::listening: return "listening";
        case PortState::learning: return "learning";
        case PortState::forwarding: return "forwarding";
        case PortState::blocking: break;
    }
    return "blocking";
}

}  // namespace underpass
