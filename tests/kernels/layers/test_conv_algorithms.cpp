// SPDX-License-Identifier: MIT
// What a plan keeps of the algorithms that the vendor's library offers, and what a refusal says.
#include <doctest/doctest.h>

#include "kernels/layers/vendor_conv2d.h"

using namespace drnas;
using namespace drnas::kernels;

namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

std::vector<int> kept(const std::vector<std::size_t>& mebibytes) {
  std::vector<ConvAlgorithm> list;
  for (const std::size_t size : mebibytes)
    list.push_back({static_cast<int>(list.size()), 0, size * mebibyte});
  std::vector<int> indices;
  for (const ConvAlgorithm& algorithm : choose_algorithms(list)) indices.push_back(algorithm.index);
  return indices;
}

}  // namespace

TEST_CASE("conv algorithms: those of at most 8 MiB in their order, else the smallest allowed") {
  CHECK(kept({}).empty());
  CHECK(kept({0, 200, 8, 4}) == std::vector{0, 2, 3});
  CHECK(kept({256, 9, 8}) == std::vector{2});
  CHECK(kept({256, 9, 12}) == std::vector{1});
  CHECK(kept({257, 256}) == std::vector{1});
  CHECK(kept({257, 1000}).empty());
}

TEST_CASE("conv algorithms: a refusal names shape, precision and the option that may help") {
  const Conv2d shape{64, 32, 30, 16, 48, 3, 2, 1};
  CHECK_THROWS_WITH_AS(
      refuse({shape, ConvPass::backward_weight, ConvNumbers::fp32}, "no algorithm"),
      "conv2d backward_weight, fp32, x [64, 32, 30, 16], weights [48, 3, 3, 16], stride 2, "
      "padding 1: no algorithm; --precision tf32 may have one, --conv own needs none",
      Error);
  const auto advice = [&](ConvNumbers numbers) {
    try {
      refuse({shape, ConvPass::forward, numbers}, "none");
    } catch (const Error& error) {
      const std::string text = error.what();
      return text.substr(text.find(": none"));
    }
  };
  CHECK(advice(ConvNumbers::tf32) ==
        ": none; --precision fp32 may have one, --conv own needs none");
  CHECK(advice(ConvNumbers::bf16) ==
        ": none; --precision tf32 may have one, --conv own needs none");
}
