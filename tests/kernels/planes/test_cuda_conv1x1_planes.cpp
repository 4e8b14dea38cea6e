// SPDX-License-Identifier: MIT
// 1x1 convolutions on planes: the device's results against the CPU twin's.
#include <memory>

#include "kernels/layers/batched_product.h"
#include "kernels/layers/conv2d.h"
#include "tests/cuda/harness.h"
#include "tests/kernels/planes/conv1x1_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Conv1x1Planes;

namespace {

using Floats = std::vector<float>;
constexpr int max_outputs = Conv1x1Planes::max_outputs;

Floats floats(const Doubles& values) { return Floats(values.begin(), values.end()); }

/// Memory of device D that holds the values.
template <Device D>
class Memory {
 public:
  explicit Memory(const Floats& values) {
    if constexpr (D == Device::cpu)
      values_ = values;
    else
      array_ = std::make_unique<DeviceArray<float>>(values);
  }
  float* data() { return array_ ? array_->data() : values_.data(); }
  Floats read() const { return array_ ? array_->read() : values_; }

 private:
  Floats values_;
  std::unique_ptr<DeviceArray<float>> array_;
};

/// What the call leaves out or adds to.
struct Wanted {
  bool dx = true, accumulate = false;
  unsigned dweight = ~0u;  ///< a bit an output
};

template <Device D>
void* workspace(std::size_t bytes, std::unique_ptr<DeviceBytes>& device, Floats& host) {
  if constexpr (D == Device::cuda) {
    device = std::make_unique<DeviceBytes>(bytes);
    return device->data();
  }
  host.assign(bytes / sizeof(float) + 64, NAN);
  return host.data();
}

/// Every tensor that a forward and a backward pass write, gaps included: y of every output, dx,
/// dweight of every output.
template <Device D>
std::vector<Floats> run(const Conv1x1Case& c, const Wanted& wanted) {
  using Array = std::unique_ptr<Memory<D>>;
  Memory<D> x(floats(c.x)), dx(floats(c.dx));
  Array weight[max_outputs], dy[max_outputs], y[max_outputs], dweight[max_outputs];
  kernels::Conv1x1Forward f{};
  kernels::Conv1x1Backward b{};
  f.shape = b.shape = c.p;
  f.x = b.x = {x.data(), c.x_stride()};
  b.accumulate = wanted.accumulate;
  if (wanted.dx) b.dx = {dx.data(), c.x_stride()};
  for (int o = 0; o < c.p.outputs; ++o) {
    weight[o] = std::make_unique<Memory<D>>(floats(c.weight[o]));
    dy[o] = std::make_unique<Memory<D>>(floats(c.dy[o]));
    y[o] = std::make_unique<Memory<D>>(Floats(c.dy[o].size(), -7.0f));
    dweight[o] = std::make_unique<Memory<D>>(Floats(c.weight[o].size(), -7.0f));
    f.weight[o] = b.weight[o] = weight[o]->data();
    f.y[o] = {y[o]->data(), c.y_stride(o)};
    b.dy[o] = {dy[o]->data(), c.y_stride(o)};
    b.dweight[o] = wanted.dweight >> o & 1u ? dweight[o]->data() : nullptr;
  }
  std::unique_ptr<DeviceBytes> device;
  Floats host;
  kernels::conv1x1_forward<D>(
      f, workspace<D>(kernels::conv1x1_forward_workspace<D>(c.p), device, host), nullptr);
  std::vector<Floats> results;
  for (int o = 0; o < c.p.outputs; ++o) results.push_back(y[o]->read());
  kernels::conv1x1_backward<D>(
      b, workspace<D>(kernels::conv1x1_backward_workspace<D>(c.p), device, host), nullptr);
  results.push_back(dx.read());
  for (int o = 0; o < c.p.outputs; ++o) results.push_back(dweight[o]->read());
  return results;
}

Floats joined(const std::vector<Floats>& parts) {
  Floats all;
  for (const Floats& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// Compares both twins; `tolerance(terms)` bounds the error of a sum against its usual size.
template <class Tolerance>
void compare(const Conv1x1Case& c, const Wanted& wanted, const Tolerance& tolerance) {
  INFO(c.text(), "; dx ", wanted.dx, ", accumulate ", wanted.accumulate, ", dweight ",
       wanted.dweight);
  const std::vector<Floats> expected = run<Device::cpu>(c, wanted);
  const Floats got = in_every_order([&] { return joined(run<Device::cuda>(c, wanted)); });
  auto begin = got.begin();
  for (std::size_t part = 0; part < expected.size(); ++part) {
    CAPTURE(part);
    const std::size_t outputs = static_cast<std::size_t>(c.p.outputs);
    const double terms = part < outputs    ? c.p.c_in
                         : part == outputs ? c.data_terms()
                                           : static_cast<double>(c.p.n * c.pixels());
    const auto end = begin + static_cast<std::ptrdiff_t>(expected[part].size());
    CHECK(max_error(Doubles(begin, end), Doubles(expected[part].begin(), expected[part].end()),
                    std::sqrt(terms)) < tolerance(terms));
    begin = end;
  }
}

/// Both sides round.
double float_tolerance(double terms) { return 2 * sum_tolerance(terms); }

const Conv1x1Planes shapes[] = {
    {1, 1, 1, 1, true, 1, 1, {1}, {0}},
    {2, 12, 8, 8, true, 1, 2, {6, 12}, {0, 0}},
    {3, 9, 7, 7, true, 1, 3, {2, 3, 5}, {0, 0, 0}},
    {17, 4, 3, 2, true, 1, 1, {9}, {0}},
    {2, 16, 5, 6, false, 1, 4, {1, 4, 6, 18}, {0, 0, 0, 0}},
    {2, 12, 8, 8, true, 2, 2, {6, 6}, {0, 1}},
    {3, 3, 6, 10, true, 2, 3, {4, 2, 5}, {1, 0, 1}},
    {9, 2, 4, 2, false, 2, 1, {3}, {1}},
    {2, 6, 2, 14, true, 2, 1, {2}, {0}},
    {11, 64, 4, 4, true, 1, 1, {36}, {0}},
};

}  // namespace

TEST_CASE("cuda: pointwise planes, every product") {
  std::uint64_t seed = 1000;
  for (const Conv1x1Planes& p : shapes)
    for (const std::int64_t gap : {0, 2, 3, 8})
      compare(Conv1x1Case(p, gap, ++seed), {true, seed % 2 == 0}, float_tolerance);
}

TEST_CASE("cuda: pointwise planes, gradients overwritten, added to and left out") {
  for (const Conv1x1Planes& p : {shapes[1], shapes[4], shapes[6], shapes[8]}) {
    const Conv1x1Case c(p, 4, 1050);
    for (const bool accumulate : {false, true}) compare(c, {true, accumulate}, float_tolerance);
    compare(c, {false, false, 1u}, float_tolerance);
    compare(c, {true, false, 0u}, float_tolerance);
    compare(c, {true, true, 2u}, float_tolerance);
  }
}

TEST_CASE("cuda: pointwise planes, random shapes") {
  auto rng = generator(1060);
  for (int round = 0; round < 30; ++round) {
    Conv1x1Planes p{};
    p.n = pick(rng, {1, 2, 3, 9, 20});
    p.c_in = pick(rng, {1, 2, 3, 4, 6, 9, 12, 16, 18});
    p.stride = pick(rng, {1, 2});
    p.h = pick(rng, {1, 2, 3, 4}) * p.stride;
    p.w = pick(rng, {1, 2, 5, 7}) * p.stride;
    p.relu = pick(rng, {0, 1}) != 0;
    p.outputs = pick(rng, {1, 2, 3, 4});
    for (int o = 0; o < p.outputs; ++o) {
      p.c_out[o] = pick(rng, {1, 2, 3, 6, 9, 16, 18});
      p.offset[o] = p.stride == 1 ? 0 : pick(rng, {0, 1});
    }
    compare(Conv1x1Case(p, pick(rng, {0, 1, 4, 6}), rng()), {true, pick(rng, {0, 1}) != 0},
            float_tolerance);
  }
}

TEST_CASE("cuda: pointwise planes in TF32 are close") {
  kernels::set_conv_math(kernels::ConvMath::tf32);
  // Each product is off by up to 2^-10 of itself; the errors of a sum grow as its values do.
  for (const Conv1x1Planes& p : {shapes[1], shapes[5], shapes[9]})
    compare(Conv1x1Case(p, 0, 1070), {}, [](double) { return 0x1p-9; });
  kernels::set_conv_math(kernels::ConvMath::fp32);
}

TEST_CASE("cuda: batched products, each side as it lies or transposed") {
  for (const bool left : {false, true})
    for (const bool right : {false, true})
      for (const bool accumulate : {false, true}) {
        CAPTURE(left);
        CAPTURE(right);
        CAPTURE(accumulate);
        constexpr int batch = 3, rows = 5, columns = 7, depth = 4, gap = 2;
        auto rng = generator(1080);
        const Doubles a = normals(rng, batch * (rows * depth + gap)),
                      b = normals(rng, depth * columns),
                      before = normals(rng, batch * (rows * columns + gap));
        const auto got = in_every_order([&] {
          const DeviceArray<float> l(floats(a)), r(floats(b)), out(floats(before));
          kernels::batched_product("test",
                                   {.batch = batch,
                                    .rows = rows,
                                    .columns = columns,
                                    .depth = depth,
                                    .left = {l, left ? rows : depth, rows * depth + gap, left},
                                    .right = {r, right ? depth : columns, 0, right},
                                    .out = out,
                                    .out_stride = rows * columns + gap,
                                    .accumulate = accumulate},
                                   nullptr);
          return out.read();
        });
        Doubles expected = before;
        for (int i = 0; i < batch; ++i)
          for (int row = 0; row < rows; ++row)
            for (int column = 0; column < columns; ++column) {
              double sum = 0;
              for (int k = 0; k < depth; ++k)
                sum += a[i * (rows * depth + gap) + (left ? k * rows + row : row * depth + k)] *
                       b[right ? column * depth + k : k * columns + column];
              double& e = expected[i * (rows * columns + gap) + row * columns + column];
              e = accumulate ? e + sum : sum;
            }
        CHECK(max_error(Doubles(got.begin(), got.end()), expected) < sum_tolerance(depth + 1));
      }
}
