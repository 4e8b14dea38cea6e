// SPDX-License-Identifier: MIT
// Batches of matrix products against float64, by our own tiles and by the vendor's library.
#include "kernels/layers/batched_product.h"
#include "tests/cuda/conv_source.h"
#include "tests/cuda/harness.h"
#include "tests/cuda/tf32.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::BatchedProduct;

namespace {

struct ProductShape {
  int batch, rows, columns, depth;
};

/// Operands with `gap` values after each matrix, and what a product leaves.
struct ProductCase {
  ProductShape p;
  bool left, right, accumulate;  ///< transposed sides; added to what is there
  int gap;
  Doubles a, b, before;

  ProductCase(Rng& rng, const ProductShape& shape, bool left_, bool right_, bool add, int gap_)
      : p(shape),
        left(left_),
        right(right_),
        accumulate(add),
        gap(gap_),
        a(normals(rng, p.batch * a_stride())),
        b(normals(rng, std::int64_t{p.depth} * p.columns)),
        before(normals(rng, p.batch * out_stride())) {}
  std::int64_t a_stride() const { return std::int64_t{p.rows} * p.depth + gap; }
  std::int64_t out_stride() const { return std::int64_t{p.rows} * p.columns + gap; }

  Call call(Buffers<Device::cuda>& buffers) const {
    const BatchedProduct product{
        .batch = p.batch,
        .rows = p.rows,
        .columns = p.columns,
        .depth = p.depth,
        .left = {buffers.input(a), left ? p.rows : p.depth, a_stride(), left},
        .right = {buffers.input(b), right ? p.depth : p.columns, 0, right},
        .out = buffers.output("out", before),
        .out_stride = out_stride(),
        .accumulate = accumulate};
    return buffers.call(0,
                        [=](kernels::Stream s) { kernels::batched_product("test", product, s); });
  }
  /// `round` is what a product makes of its operands.
  template <class Round>
  Bounded expected(const Round& round) const {
    Bounded out(static_cast<std::int64_t>(before.size()));
    for (std::size_t i = 0; i < before.size(); ++i)
      if (accumulate || static_cast<std::int64_t>(i) % out_stride() >= out_stride() - gap)
        out.add(i, before[i]);
    for (int i = 0; i < p.batch; ++i)
      for (int row = 0; row < p.rows; ++row)
        for (int column = 0; column < p.columns; ++column)
          for (int k = 0; k < p.depth; ++k)
            out.add(
                static_cast<std::size_t>(i * out_stride() + std::int64_t{row} * p.columns + column),
                round(a[i * a_stride() + (left ? k * p.rows + row : row * p.depth + k)]) *
                    round(b[right ? column * p.depth + k : k * p.columns + column]));
    return out;
  }
};

const ProductShape product_shapes[] = {{3, 5, 7, 4},    {1, 1, 1, 1},    {2, 64, 8, 32},
                                       {1, 65, 9, 33},  {2, 130, 17, 5}, {1, 36, 70, 68},
                                       {1, 10, 64, 40}, {4, 3, 32, 64},  {1, 20, 33, 0}};

template <class Round>
void check_products(const Round& round) {
  auto rng = generator(1080);
  for (const ProductShape& p : product_shapes)
    for (const bool left : {false, true})
      for (const bool right : {false, true})
        for (const bool accumulate : {false, true}) {
          INFO(p.batch, " x [", p.rows, ", ", p.depth, "] [", p.depth, ", ", p.columns, "]");
          CAPTURE(left);
          CAPTURE(right);
          CAPTURE(accumulate);
          const ProductCase c(rng, p, left, right, accumulate, static_cast<int>(rng() % 3) * 2);
          const Doubles got = OnDevice{}([&](auto& b) { return c.call(b); }).at("out");
          CHECK(roundings(got, c.expected(round)) <= 2 * (p.depth + 2));
        }
}

}  // namespace

TEST_CASE("cuda: batched products, each side as it lies or transposed") {
  each_source([] { check_products([](double v) { return v; }); });
}

TEST_CASE("cuda: batched products of our own in TF32") {
  kernels::set_conv_math(kernels::ConvMath::tf32);
  kernels::set_conv_source(kernels::ConvSource::own);
  check_products(nearest_tf32);
  kernels::set_conv_source(kernels::ConvSource::automatic);
  kernels::set_conv_math(kernels::ConvMath::fp32);
}
