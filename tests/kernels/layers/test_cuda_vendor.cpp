// SPDX-License-Identifier: MIT
// Convolutions and linear layers: the libraries' results on a GPU against the CPU twins. On the
// host executor stand-ins take the libraries' place (tests/simt/vendor_*.cpp).
#include "kernels/layers/conv2d.h"
#include "kernels/layers/linear.h"
#include "tests/cuda/bfloat16.h"
#include "tests/cuda/harness.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Conv2d;
using kernels::ConvMath;
using kernels::ConvPass;
using kernels::Linear;

namespace {

using Floats = std::vector<float>;
using ConvFunction = void (*)(const Conv2d&, const float*, const float*, float*, void*,
                              kernels::Stream);

/// Random tensors of a convolution.
struct ConvCase {
  Conv2d p;
  Floats x, w, dy;

  ConvCase(const Conv2d& shape, std::uint32_t salt) : p(shape) {
    auto engine = random_engine(salt);
    x = normals(engine, std::size_t(p.n) * p.h * p.w * p.c_in);
    w = normals(engine, p.weight_count());
    dy = normals(engine, std::size_t(p.n) * p.out_h() * p.out_w() * p.c_out);
  }
};

/// One pass of a case: inputs, size of the result, products summed for an element of it.
struct PassCase {
  ConvPass pass;
  const Floats &a, &b;
  std::size_t count;
  double terms;
  ConvFunction on_cpu, on_device;
};

std::vector<PassCase> passes(const ConvCase& c) {
  using namespace drnas::kernels;
  const double taps = c.p.kernel * c.p.kernel;
  return {{ConvPass::forward, c.x, c.w, c.dy.size(), taps * c.p.c_in, conv2d_forward<Device::cpu>,
           conv2d_forward<Device::cuda>},
          {ConvPass::backward_data, c.dy, c.w, c.x.size(), taps * c.p.c_out,
           conv2d_backward_data<Device::cpu>, conv2d_backward_data<Device::cuda>},
          {ConvPass::backward_weight, c.x, c.dy, c.w.size(),
           static_cast<double>(c.p.n) * c.p.out_h() * c.p.out_w(),
           conv2d_backward_weight<Device::cpu>, conv2d_backward_weight<Device::cuda>}};
}

Floats on_cpu(const Conv2d& p, const PassCase& c) {
  const std::size_t bytes = kernels::conv2d_workspace<Device::cpu>(p, c.pass);
  Guarded workspace(static_cast<std::int64_t>((bytes + 3) / 4));
  Floats out(c.count);
  c.on_cpu(p, c.a.data(), c.b.data(), out.data(), workspace.data(), nullptr);
  return out;
}

Floats on_device(const Conv2d& p, const PassCase& c) {
  return in_every_order([&] {
    const DeviceArray<float> a(c.a), b(c.b), out(c.count);
    const DeviceBytes workspace(kernels::conv2d_workspace<Device::cuda>(p, c.pass));
    c.on_device(p, a, b, out, workspace.data(), nullptr);
    return out.read();
  });
}

const Conv2d conv_shapes[] = {
    {2, 8, 8, 8, 16, 1, 1, 0},  {3, 7, 9, 16, 8, 3, 1, 1},    {2, 9, 7, 16, 32, 3, 2, 1},
    {2, 8, 8, 16, 32, 1, 2, 0}, {4, 12, 12, 3, 16, 3, 1, 1},  {5, 8, 8, 64, 64, 3, 1, 1},
    {1, 5, 5, 24, 40, 3, 1, 1}, {2, 16, 16, 32, 32, 3, 2, 1}, {64, 4, 4, 64, 128, 1, 2, 0}};

/// Compares every pass of every shape; `tolerance(terms)`.
template <class Tolerance>
void compare_convolutions(const Tolerance& tolerance) {
  std::uint32_t salt = 300;
  for (const Conv2d& p : conv_shapes) {
    const ConvCase c(p, ++salt);
    for (const PassCase& pass : passes(c)) {
      INFO("pass ", static_cast<int>(pass.pass), ", n ", p.n, ", ", p.h, " x ", p.w, ", channels ",
           p.c_in, " -> ", p.c_out, ", kernel ", p.kernel, ", stride ", p.stride);
      CHECK(relative_error(on_device(p, pass), on_cpu(p, pass)) < tolerance(pass.terms));
    }
  }
}

}  // namespace

TEST_CASE("cuda: the three passes of convolutions in float32") {
  REQUIRE(kernels::conv_math() == ConvMath::fp32);
  // Both sides round; TF32 would be off by some 3e-4.
  compare_convolutions([](double terms) { return 2 * sum_tolerance(terms); });
}

TEST_CASE("cuda: convolutions in TF32 are close") {
  kernels::set_conv_math(ConvMath::tf32);
  CHECK(kernels::conv_math() == ConvMath::tf32);
  // Each product is off by up to 2^-10 of itself; the errors of a sum grow as its values do.
  compare_convolutions([](double) { return 0x1p-9; });
  kernels::set_conv_math(ConvMath::fp32);
}

namespace {

/// Where a linear layer and its gradients go: y, dx, dW, db.
struct LinearOut {
  float *y, *dx, *dw, *db;
};

template <Device D>
void run_linear(const Linear& p, const float* x, const float* w, const float* b, const float* dy,
                const LinearOut& out, bool accumulate, kernels::Stream stream) {
  kernels::linear_forward<D>(p, x, w, b, out.y, stream);
  kernels::linear_backward_data<D>(p, dy, w, out.dx, accumulate, stream);
  kernels::linear_backward_weight<D>(p, x, dy, out.dw, out.db, stream);
}

/// Random tensors of a linear layer, and what dx holds before.
struct LinearCase {
  Linear p;
  Floats x, w, b, dy, dx;

  explicit LinearCase(const Linear& shape) : p(shape) {
    auto engine = random_engine(static_cast<std::uint32_t>(400 + p.n + 7 * p.in + 11 * p.out));
    x = normals(engine, std::size_t(p.n) * p.in);
    w = normals(engine, std::size_t(p.out) * p.in);
    b = normals(engine, p.out);
    dy = normals(engine, std::size_t(p.n) * p.out);
    dx = normals(engine, x.size());
  }
};

/// The results on the device, one after the other; without bias there is no db either.
Floats on_device(const LinearCase& c, bool with_bias, bool accumulate) {
  return in_every_order([&] {
    const DeviceArray<float> x(c.x), w(c.w), b(c.b), dy(c.dy);
    const DeviceArray<float> y(c.dy.size()), dx(c.dx), dw(c.w.size()), db(c.b);
    run_linear<Device::cuda>(c.p, x, w, with_bias ? b.data() : nullptr, dy,
                             {y, dx, dw, with_bias ? db.data() : nullptr}, accumulate, nullptr);
    Floats all;
    for (const DeviceArray<float>* part : {&y, &dx, &dw, &db})
      for (const float value : part->read()) all.push_back(value);
    return all;
  });
}

const Linear linear_shapes[] = {{64, 64, 10}, {1, 8, 4},     {7, 1, 5},     {65, 3, 1},
                                {5, 7, 3},    {40, 64, 100}, {33, 17, 130}, {128, 256, 257}};

}  // namespace

TEST_CASE("cuda: linear layers, with and without bias, gradients overwritten and added to") {
  for (const Linear& p : linear_shapes)
    for (const bool with_bias : {true, false})
      for (const bool accumulate : {true, false}) {
        INFO(p.n, " x ", p.in, " -> ", p.out, ", bias ", with_bias, ", accumulate ", accumulate);
        const LinearCase c(p);
        Floats y(c.dy.size()), dx = c.dx, dw(c.w.size()), db = c.b;
        run_linear<Device::cpu>(
            p, c.x.data(), c.w.data(), with_bias ? c.b.data() : nullptr, c.dy.data(),
            {y.data(), dx.data(), dw.data(), with_bias ? db.data() : nullptr}, accumulate, nullptr);
        const Floats got = on_device(c, with_bias, accumulate);
        auto begin = got.begin();
        const auto compare = [&](const char* name, const Floats& expected, double terms) {
          CAPTURE(name);
          const auto end = begin + static_cast<std::ptrdiff_t>(expected.size());
          // Against the size of such sums, where a single one happens to be small.
          const double error = max_error(
              Doubles(begin, end), Doubles(expected.begin(), expected.end()), std::sqrt(terms));
          CHECK(error < 2 * sum_tolerance(terms));
          begin = end;
        };
        compare("y", y, p.in + 1);
        compare("dx", dx, p.out + 1);
        compare("dW", dw, p.n);
        compare("db", db, p.n);
      }
}

TEST_CASE("cuda: convolutions and linear layers can be captured and replayed") {
  const ConvCase conv({4, 8, 8, 16, 16, 3, 1, 1}, 500);
  const PassCase pass = passes(conv)[0];
  const LinearCase linear({64, 64, 10});
  const DeviceArray<float> a(pass.a), b(pass.b), conv_now(pass.count), conv_later(pass.count);
  const DeviceBytes workspace(kernels::conv2d_workspace<Device::cuda>(conv.p, pass.pass));
  const DeviceArray<float> x(linear.x), w(linear.w), bias(linear.b), dy(linear.dy);
  const DeviceArray<float> y(linear.dy.size()), dx(linear.x.size()), dw(linear.w.size()),
      db(linear.b.size());
  cudaStream_t stream = nullptr;
  kernels::require_cuda(cudaStreamCreate(&stream), "create a stream");
  const auto run = [&](float* conv_out) {
    pass.on_device(conv.p, a, b, conv_out, workspace.data(), stream);
    run_linear<Device::cuda>(linear.p, x, w, bias, dy, {y, dx, dw, db}, false, stream);
  };
  run(conv_now);
  const Floats y_now = y.read(), db_now = db.read();
  kernels::require_cuda(cudaMemset(y, 0xff, y_now.size() * sizeof(float)), "forget");
  kernels::require_cuda(cudaMemset(db, 0xff, db_now.size() * sizeof(float)), "forget");
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  kernels::require_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "begin");
  run(conv_later);
  kernels::require_cuda(cudaStreamEndCapture(stream, &graph), "end");
  CHECK_FALSE(same_bits(y.read(), y_now));  // nothing has run yet
  kernels::require_cuda(cudaGraphInstantiate(&exec, graph, 0), "instantiate");
  kernels::require_cuda(cudaGraphLaunch(exec, stream), "launch");
  CHECK(same_bits(conv_later.read(), conv_now.read()));
  CHECK(same_bits(y.read(), y_now));
  CHECK(same_bits(db.read(), db_now));
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

TEST_CASE("cuda: the three passes of convolutions in bfloat16") {
  using BfloatFunction =
      void (*)(const Conv2d&, const bfloat16*, const bfloat16*, bfloat16*, void*, kernels::Stream);
  const BfloatFunction functions[] = {kernels::conv2d_forward, kernels::conv2d_backward_data,
                                      kernels::conv2d_backward_weight};
  std::uint32_t salt = 600;
  for (const Conv2d& p : conv_shapes) {
    ConvCase c(p, ++salt);
    for (Floats* values : {&c.x, &c.w, &c.dy}) *values = rounded<bfloat16>(*values);
    for (const PassCase& pass : passes(c)) {
      INFO("pass ", static_cast<int>(pass.pass), ", channels ", p.c_in, " -> ", p.c_out);
      const auto got = in_every_order([&] {
        const DeviceArray<bfloat16> a(stored<bfloat16>(pass.a)), b(stored<bfloat16>(pass.b)),
            out(pass.count);
        const DeviceBytes workspace(kernels::conv2d_workspace_bfloat16(p, pass.pass));
        functions[static_cast<int>(pass.pass)](p, a, b, out, workspace.data(), nullptr);
        return out.read();
      });
      // The result is rounded to 8 bits, the sums are float32.
      CHECK(relative_error(widened(got), on_cpu(p, pass)) < 0x1p-8);
    }
  }
}
