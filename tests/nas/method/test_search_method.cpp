// SPDX-License-Identifier: MIT
#include "nas/method/search_method.h"

#include <doctest/doctest.h>

#include "tests/support/option_files.h"

using namespace drnas;
using test_files::check_fails;

TEST_CASE("search methods: known by name, others refused") {
  for (const MethodInfo* method : search_methods()) CHECK(&search_method(method->name) == method);
  CHECK(find_search_method("random") == nullptr);
  check_fails([] { search_method("random"); }, {"--method random", "drnas", "darts"});
}

TEST_CASE("search methods: the largest alphas of the kept operations stay") {
  const std::vector<std::vector<double>> alpha{{0.1, 0.5, 0.3, 0.3, -1}, {2, 2, 2, 2, 2}};
  using Mask = std::vector<std::uint8_t>;
  CHECK(keep_largest(alpha, {}, 2) == Mask{0, 1, 1, 0, 0, 1, 1, 0, 0, 0});
  CHECK(keep_largest(alpha, {}, 5) == Mask(10, 1));
  CHECK(keep_largest(alpha, Mask{1, 0, 0, 1, 1, 0, 0, 1, 1, 1}, 2) ==
        Mask{1, 0, 0, 1, 0, 0, 0, 1, 1, 0});
  check_fails(
      [&] {
        keep_largest(alpha, Mask{1, 0, 0, 0, 0, 1, 1, 1, 1, 1}, 2);
      },
      {"1 operations", "2"});
}
