// SPDX-License-Identifier: MIT
#include <cmath>

#include "kernels/alpha/dirichlet_math.h"
#include "tests/parity/golden.h"
#include "tests/parity/parity.h"

namespace drnas::parity {

Errors replay_beta(const std::filesystem::path& file) {
  const test::NumberTable table = test::read_number_table(file);
  const std::size_t x_at = table.column("x"), a_at = table.column("a"), b_at = table.column("b"),
                    derivative_at = table.column("dx_da");
  if (table.rows.empty()) throw Error(file.string() + ": expected rows below its column names");
  double worst = 0;
  for (const auto& row : table.rows) {
    const double x = row[x_at],
                 found = (1.0 - x) * kernels::dirichlet_derivative(x, 1.0 - x, std::log(x),
                                                                   row[a_at], row[b_at]);
    keep_worst(worst, std::abs(found - row[derivative_at]) / std::abs(row[derivative_at]));
  }
  return {{"dx_da", worst}};
}

}  // namespace drnas::parity
