// SPDX-License-Identifier: MIT
// Batch normalisation: CUDA sources against the CPU twin and float64 statistics, with tensors
// stored as T: float or bfloat16.
#include "kernels/layers/batch_norm.h"
#include "tests/cuda/bfloat16.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;
using kernels::BatchNorm;

namespace {

constexpr float eps = 1e-5f, momentum = 0.1f;
constexpr double float_epsilon = 0x1p-23;

struct Options {
  bool relu = false, affine = true, running = true, accumulate = false, leaves = true;
  int shift = 0;  ///< elements before the tensors, which spoil their alignment
};

template <class T>
struct Case {
  std::int64_t pixels;
  int channels;
  Options options;
  std::vector<float> x, dy, dx, gamma, beta, running_mean, running_var;

  Case(std::mt19937& engine, std::int64_t pixels, int channels, Options options)
      : pixels(pixels), channels(channels), options(options) {
    x = normals(engine, pixels * channels, 2);
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] += 0.5f * static_cast<float>(i % channels % 7);  // a mean to lose digits on
    dy = normals(engine, x.size());
    dx = normals(engine, x.size());
    for (auto* tensor : {&x, &dy, &dx}) *tensor = rounded<T>(*tensor);
    gamma = normals(engine, channels);
    beta = normals(engine, channels);
    running_mean = normals(engine, channels);
    running_var = normals(engine, channels);
    for (float& v : running_var) v = 0.5f + v * v;
    if (options.relu) keep_off_kinks();
  }
  /// No gradient where ReLU's argument is so small that rounding decides on its sign.
  void keep_off_kinks() {
    for (int c = 0; c < channels; ++c) {
      double mean, var;
      statistics(c, mean, var);
      for (std::int64_t i = c; i < pixels * channels; i += channels) {
        const double hat = (x[i] - mean) / std::sqrt(var + eps);
        const double value = options.affine ? gamma[c] * hat + beta[c] : hat;
        if (std::abs(value) < 128 * float_epsilon * condition(mean, var)) dy[i] = 0;
      }
    }
  }
  /// By how much x loses digits against its mean.
  static double condition(double mean, double var) {
    return 1 + std::abs(mean) / std::sqrt(var + eps);
  }
  void statistics(int c, double& mean, double& var) const {
    mean = var = 0;
    for (std::int64_t i = c; i < pixels * channels; i += channels) mean += x[i];
    mean /= static_cast<double>(pixels);
    for (std::int64_t i = c; i < pixels * channels; i += channels) var += std::pow(x[i] - mean, 2);
    var /= static_cast<double>(pixels);
  }
};

/// What a pass wrote.
struct Result {
  std::vector<float> y, mean, inv_std, running_mean, running_var, evaluated, dx, dgamma, dbeta;

  std::vector<float> all() const {
    std::vector<float> joined;
    for (const auto* part :
         {&y, &mean, &inv_std, &running_mean, &running_var, &evaluated, &dx, &dgamma, &dbeta})
      joined.insert(joined.end(), part->begin(), part->end());
    return joined;
  }
};

template <class T>
Result split(const std::vector<float>& joined, const Case<T>& k) {
  Result r;
  std::size_t at = 0;
  const auto take = [&](std::vector<float>& part, std::size_t count) {
    part.assign(joined.begin() + at, joined.begin() + at + count);
    at += count;
  };
  const std::size_t c = k.channels, all = k.x.size();
  take(r.y, all);
  for (auto* part : {&r.mean, &r.inv_std, &r.running_mean, &r.running_var}) take(*part, c);
  take(r.evaluated, all);
  take(r.dx, all);
  take(r.dgamma, c);
  take(r.dbeta, c);
  return r;
}

template <Device D, class T, class Stored>
void run_kernels(const Case<T>& k, const Stored* x, const Stored* dy, const float* gamma,
                 const float* beta, float* running_mean, float* running_var, Stored* y,
                 Stored* evaluated, float* mean, float* inv_std, Stored* dx, float* dgamma,
                 float* dbeta, void* workspace) {
  const Options& o = k.options;
  BatchNorm p{k.pixels,
              k.channels,
              o.relu,
              eps,
              momentum,
              o.affine ? gamma : nullptr,
              o.affine ? beta : nullptr,
              o.running ? running_mean : nullptr,
              o.running ? running_var : nullptr};
  kernels::batch_norm_forward<D>(p, x, y, mean, inv_std, workspace, nullptr);
  kernels::batch_norm_backward<D>(p, x, dy, mean, inv_std, dx, o.accumulate,
                                  o.leaves ? dgamma : nullptr, o.leaves ? dbeta : nullptr,
                                  workspace, nullptr);
  p.running_mean = running_mean;
  p.running_var = running_var;
  kernels::batch_norm_inference<D>(p, x, evaluated, workspace, nullptr);
}

template <class T>
Result run_cpu(const Case<T>& k) {
  Result r;
  r.y.resize(k.x.size());
  r.evaluated = r.y;
  r.dx = k.dx;
  r.running_mean = k.running_mean;
  r.running_var = k.running_var;
  for (auto* part : {&r.mean, &r.inv_std, &r.dgamma, &r.dbeta}) part->resize(k.channels);
  const BatchNorm p{k.pixels, k.channels, false, eps, momentum, nullptr, nullptr, nullptr, nullptr};
  std::vector<unsigned char> workspace(kernels::batch_norm_workspace<Device::cpu>(p));
  run_kernels<Device::cpu, T, float>(
      k, k.x.data(), k.dy.data(), k.gamma.data(), k.beta.data(), r.running_mean.data(),
      r.running_var.data(), r.y.data(), r.evaluated.data(), r.mean.data(), r.inv_std.data(),
      r.dx.data(), r.dgamma.data(), r.dbeta.data(), workspace.data());
  return r;
}

/// An array on the device behind `shift` other elements.
template <class T>
struct Shifted {
  DeviceArray<T> array;
  int shift;

  Shifted(std::vector<float> values, int shift)
      : array(stored<T>(padded(std::move(values), shift))), shift(shift) {}
  static std::vector<float> padded(std::vector<float> values, int shift) {
    values.insert(values.begin(), shift, 0.0f);
    return values;
  }
  operator T*() const { return array.data() + shift; }
  std::vector<float> read() const {
    const std::vector<float> values = widened(array.read());
    return {values.begin() + shift, values.end()};
  }
};

template <class T>
Result run_device(const Case<T>& k) {
  const auto joined = in_every_order([&] {
    const int shift = k.options.shift;
    const std::vector<float> nothing(k.x.size(), NAN);
    const Shifted<T> x(k.x, shift), dy(k.dy, shift), y(nothing, shift), evaluated(nothing, shift),
        dx(k.options.accumulate ? k.dx : nothing, shift);
    const DeviceArray<float> gamma(k.gamma), beta(k.beta), running_mean(k.running_mean),
        running_var(k.running_var), mean(k.channels), inv_std(k.channels),
        dgamma(std::vector<float>(k.channels, 0.0f)), dbeta(std::vector<float>(k.channels, 0.0f));
    const BatchNorm p{k.pixels, k.channels, false,   eps,    momentum,
                      nullptr,  nullptr,    nullptr, nullptr};
    const DeviceBytes workspace(kernels::batch_norm_workspace<Device::cuda>(p));
    run_kernels<Device::cuda, T, T>(k, x, dy, gamma, beta, running_mean, running_var, y, evaluated,
                                    mean, inv_std, dx, dgamma, dbeta, workspace.data());
    return Result{y.read(),           mean.read(),      inv_std.read(), running_mean.read(),
                  running_var.read(), evaluated.read(), dx.read(),      dgamma.read(),
                  dbeta.read()}
        .all();
  });
  return split(joined, k);
}

/// Statistics against float64: means to a few roundings of the values, deviations by Chan merging
/// to a few roundings of themselves.
template <class T>
void check_statistics(const Case<T>& k, const Result& r) {
  for (int c = 0; c < k.channels; ++c) {
    double mean, var;
    k.statistics(c, mean, var);
    CHECK(std::abs(r.mean[c] - mean) < 4 * float_epsilon * (std::abs(mean) + std::sqrt(var)));
    CHECK(std::abs(r.inv_std[c] * std::sqrt(var + eps) - 1) < 16 * float_epsilon);
    const double m = static_cast<double>(k.pixels), unbiased = var * m / std::max(1.0, m - 1);
    const double moved_mean =
        k.options.running ? 0.9 * k.running_mean[c] + 0.1 * mean : k.running_mean[c];
    const double moved_var =
        k.options.running ? 0.9 * k.running_var[c] + 0.1 * unbiased : k.running_var[c];
    CHECK(std::abs(r.running_mean[c] - moved_mean) < 16 * float_epsilon * (1 + std::abs(mean)));
    CHECK(std::abs(r.running_var[c] / moved_var - 1) < 16 * float_epsilon);
  }
}

template <class T>
void check(const Case<T>& k) {
  CAPTURE(k.pixels);
  CAPTURE(k.channels);
  const Result cpu = run_cpu(k), device = run_device(k);
  check_statistics(k, device);
  double condition = 0, gradient = 0;  // gradients are differences of terms of this size
  for (int c = 0; c < k.channels; ++c) {
    double mean, var;
    k.statistics(c, mean, var);
    condition = std::max(condition, k.condition(mean, var));
    gradient = std::max(gradient, (k.options.affine ? std::abs(k.gamma[c]) : 1) *
                                      k.condition(mean, var) / std::sqrt(var + eps));
  }
  const double tolerance = 16 * float_epsilon;  // sums of up to 64 values, in order, on the CPU
  const double store = storage_rounding<T>;
  check_each(device.y, cpu.y, store, tolerance * condition * largest(cpu.y));
  check_each(device.evaluated, cpu.evaluated, store, tolerance * largest(cpu.evaluated));
  const double sums = tolerance * std::sqrt(static_cast<double>(k.pixels));  // of values around one
  for (int c = 0; c < k.channels; ++c) {
    CHECK(std::abs(device.dgamma[c] - cpu.dgamma[c]) < sums * condition);
    CHECK(std::abs(device.dbeta[c] - cpu.dbeta[c]) < sums);
  }
  check_each(device.dx, cpu.dx, store + tolerance, tolerance * gradient);
}

}  // namespace

TEST_CASE_TEMPLATE("cuda: batch_norm, all passes and options, whatever the shape", T, float,
                   bfloat16) {
  auto engine = random_engine(21);
  const int pixels[] = {2, 3, 64, 65, 257, 1000, 2049, 5003};
  const int channels[] = {1, 2, 3, 4, 6, 9, 12, 16, 18, 36, 64, 67};
  for (int i = 0; i < 24; ++i) {
    const int c = channels[i % 12];
    std::int64_t m = pixels[engine() % 8];
    if (m * c > 40000) m = 129;
    Options o{engine() % 2 == 0, engine() % 3 != 0, engine() % 3 != 0, engine() % 2 == 0,
              engine() % 3 != 0};
    if (i % 5 == 0) o.shift = 1 + static_cast<int>(engine() % 3);
    check(Case<T>(engine, m, c, o));
  }
}

TEST_CASE_TEMPLATE("cuda: batch_norm of more channels than a tile holds", T, float, bfloat16) {
  auto engine = random_engine(22);
  check(Case<T>(engine, 37, 258, {true, true, true, true, true, 0}));
  check(Case<T>(engine, 35, 131, {false, true, true, false, true, 0}));
}

TEST_CASE_TEMPLATE("cuda: batch_norm of more pixels than one round of threads", T, float,
                   bfloat16) {
  auto engine = random_engine(23);
  check(Case<T>(engine, 300007, 1, {true, true, true, false, true, 0}));
}

TEST_CASE_TEMPLATE("cuda: batch_norm keeps its digits far from zero, is finite without variance", T,
                   float, bfloat16) {
  auto engine = random_engine(24);
  Case<T> far(engine, 3001, 4, {});
  for (float& v : far.x) v = 1000.0f + std::round(64 * v) / 64;  // exact
  far.x = rounded<T>(far.x);
  check_statistics(far, run_device(far));
  Case<T> flat(engine, 7, 3, {});
  flat.x.assign(flat.x.size(), 2.5f);
  for (const float v : run_device(flat).all()) CHECK(std::isfinite(v));
  for (const float v : run_device(Case<T>(engine, 1, 4, {})).all()) CHECK(std::isfinite(v));
}
