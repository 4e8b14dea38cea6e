// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>

namespace drnas {

/// The one exception of the project: a single line that names the thing that is wrong (file,
/// option, tensor) and what was expected. Programs print it after "error: " and exit with code 2.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace drnas
