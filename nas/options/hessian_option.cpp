// SPDX-License-Identifier: MIT
#include "nas/options/hessian_option.h"

#include <algorithm>

#include "kernels/core/error.h"
#include "nas/options/option_values.h"

namespace drnas {
namespace {

[[noreturn]] void fail(const std::string& text) {
  throw Error("--hessian " + text +
              ": expected every=K, and if wanted step=H and samples=N, as in " +
              "every=5,step=0.05,samples=32 (K and N at least 1, H from 1e-6 to 1)");
}

}  // namespace

HessianOptions parse_hessian(const std::string& text) {
  HessianOptions options;
  if (text.empty()) return options;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    begin = end + 1;
    const std::size_t equals = part.find('=');
    if (equals == part.npos) fail(text);
    const std::string key = part.substr(0, equals), value = part.substr(equals + 1);
    const ValueSource place{"--hessian " + text + ", " + key, false};
    if (key == "every")
      read_value(value, place, options.every);
    else if (key == "step")
      read_value(value, place, options.step);
    else if (key == "samples")
      read_value(value, place, options.samples);
    else
      fail(text);
  }
  if (options.every < 1 || options.samples < 1 || !(options.step >= 1e-6 && options.step <= 1))
    fail(text);
  return options;
}

}  // namespace drnas
