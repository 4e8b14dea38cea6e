// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "nas/diagnostics/hessian.h"

namespace drnas {

/// Reads "every=K[,step=H][,samples=N]"; empty: none. Throws Error naming what is wrong.
HessianOptions parse_hessian(const std::string& text);

}  // namespace drnas
