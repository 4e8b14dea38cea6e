// SPDX-License-Identifier: MIT
// The methods that there are, each defined in the file of its name.
#pragma once

#include "nas/method/search_method.h"

namespace drnas {

extern const MethodInfo drnas_method, darts_method;

}  // namespace drnas
