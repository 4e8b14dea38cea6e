// SPDX-License-Identifier: MIT
// Random calls of the separable convolutions and their runs on the CPU.
#pragma once

#include <memory>

#include "tests/kernels/planes/separable_reference.h"

namespace drnas::test::separable {

using kernels::Separable;
using kernels::SeparableBackward;
using kernels::SeparableForward;

inline constexpr float eps = 1e-5f, momentum = 0.1f;

/// A call: filters by group of shared inputs.
struct Call {
  Separable shape;
  std::vector<Filter> filter;
  std::vector<int> input;  ///< of each filter: which x it reads

  std::int64_t x_count() const { return std::int64_t{shape.n} * shape.c * shape.h * shape.w; }
  bool normalised(int f) const { return !filter[f].mean.empty(); }
};

/// Values whose rectifier does not change sign by rounding.
inline void avoid_zero(const Separable& s, Filter& f) {
  const Doubles u = normalised(s, f);
  for (std::size_t i = 0; i < f.x.size(); ++i)
    if (std::abs(u[i]) < 1e-3) f.x[i] += 0.25;
}

inline Call random_call(std::mt19937_64& rng, const Separable& shape, bool own_inputs) {
  Call call{shape, {}, {}};
  for (int f = 0; f < shape.filters; ++f) {
    const bool shared = f > 0 && !own_inputs && rng() % 3;
    Filter filter = shared ? call.filter.back() : Filter{};
    filter.kernel = pick(rng, {3, 5, 7, 3, 5});
    filter.dilation = pick(rng, {1, 2});
    if (!shared) {
      filter.x = normals(rng, call.x_count());
      for (double& v : filter.x)
        if (rng() % 8 == 0) v = 0;
      if (own_inputs || rng() % 3 == 0) {
        filter.mean = normals(rng, shape.c, 0.3);
        filter.inv_std = normals(rng, shape.c);
        for (double& v : filter.inv_std) v = static_cast<float>(0.5 + std::abs(v));
        if (rng() % 2) filter.gamma = normals(rng, shape.c);
        if (rng() % 2) filter.beta = normals(rng, shape.c);
        avoid_zero(shape, filter);
      }
    }
    filter.depthwise = normals(rng, std::int64_t{shape.c} * filter.kernel * filter.kernel);
    filter.pointwise = normals(rng, std::int64_t{shape.c} * shape.c_out);
    call.input.push_back(shared ? call.input.back() : f);
    call.filter.push_back(filter);
  }
  return call;
}

/// Buffers of one call, each between guard zones.
class Buffers {
 public:
  float* add(const Doubles& values) { return keep(std::make_unique<Guarded>(values)); }
  float* add_or_null(const Doubles& values) { return values.empty() ? nullptr : add(values); }
  float* output(std::int64_t count) { return keep(std::make_unique<Guarded>(count)); }
  /// Images of `count` elements, `stride` apart; NaN between them.
  float* images(const Doubles& dense, int n, std::int64_t stride) {
    float* data = output((n - 1) * stride + static_cast<std::int64_t>(dense.size()) / n);
    const std::size_t count = dense.size() / n;
    for (std::size_t i = 0; i < dense.size(); ++i)
      data[i / count * stride + i % count] = static_cast<float>(dense[i]);
    return data;
  }

 private:
  float* keep(std::unique_ptr<Guarded> buffer) {
    buffers_.push_back(std::move(buffer));
    return buffers_.back()->data();
  }
  std::vector<std::unique_ptr<Guarded>> buffers_;
};

/// Dense images again; what lies between them must still be NaN.
inline Doubles dense(const float* data, int n, std::int64_t count, std::int64_t stride) {
  Doubles out;
  bool gaps = true;
  for (int i = 0; i < n; ++i) {
    out.insert(out.end(), data + i * stride, data + i * stride + count);
    for (std::int64_t k = count; k < stride && i + 1 < n; ++k)
      gaps = gaps && std::isnan(data[i * stride + k]);
  }
  CHECK_MESSAGE(gaps, "written between images");
  return out;
}

inline std::int64_t floats(std::size_t bytes) { return static_cast<std::int64_t>((bytes + 3) / 4); }

/// The call's filters in memory, images `gap` elements apart from each other.
inline void place_filters(const Call& call, Buffers& b, std::int64_t gap,
                          kernels::SeparableFilter* to) {
  const std::int64_t stride = call.x_count() / call.shape.n + gap;
  for (int f = 0; f < call.shape.filters; ++f) {
    const Filter& from = call.filter[f];
    to[f].kernel = from.kernel;
    to[f].dilation = from.dilation;
    to[f].depthwise = b.add(from.depthwise);
    to[f].pointwise = b.add(from.pointwise);
    if (call.input[f] != f) {
      to[f].in = to[f - 1].in;
      continue;
    }
    to[f].in.x = {b.images(from.x, call.shape.n, stride), stride};
    to[f].in.mean = b.add_or_null(from.mean);
    to[f].in.inv_std = b.add_or_null(from.inv_std);
    to[f].in.gamma = b.add_or_null(from.gamma);
    to[f].in.beta = b.add_or_null(from.beta);
  }
}

struct ForwardResult {
  std::vector<Doubles> z, mean, inv_std, running_mean, running_var;
};

inline ForwardResult run_forward(const Call& call, bool training, std::int64_t gap,
                                 bool running = true) {
  const Separable& s = call.shape;
  Buffers b;
  SeparableForward p{};
  p.shape = s;
  place_filters(call, b, gap, p.filter);
  const std::int64_t count = static_cast<std::int64_t>(z_count(s)) / s.n;
  for (int f = 0; f < s.filters; ++f) {
    p.z[f] = {b.images(Doubles(z_count(s), NAN), s.n, count + gap), count + gap};
    p.statistics[f] = {b.output(s.c_out), b.output(s.c_out), nullptr, nullptr};
    if (!running) continue;
    p.statistics[f].running_mean = b.add(Doubles(s.c_out, 0.5));
    p.statistics[f].running_var = b.add(Doubles(s.c_out, 2.0));
  }
  p.mode = {training, eps, momentum};
  Guarded workspace(floats(kernels::separable_forward_workspace<Device::cpu>(s)));
  kernels::separable_forward<Device::cpu>(p, workspace.data(), nullptr);
  ForwardResult out;
  const auto read = [&](const float* from) {
    return from ? Doubles(from, from + s.c_out) : Doubles();
  };
  for (int f = 0; f < s.filters; ++f) {
    out.z.push_back(dense(p.z[f].data, s.n, count, count + gap));
    out.mean.push_back(read(p.statistics[f].mean));
    out.inv_std.push_back(read(p.statistics[f].inv_std));
    out.running_mean.push_back(read(p.statistics[f].running_mean));
    out.running_var.push_back(read(p.statistics[f].running_var));
  }
  return out;
}

/// Gradients that come from behind: of each filter, dense.
struct Upstream {
  struct Of {
    int step;
    Doubles g, z, coefficients;  // g [n, c_out*step, pixels]; coefficients empty: dz = g
  };
  std::vector<Of> of;
  std::vector<bool> shares_dx;  // with the filter before
  Doubles start;                // what dx holds before an accumulating call

  Upstream(std::mt19937_64& rng, const Call& call) : start(normals(rng, call.x_count())) {
    const std::int64_t count = static_cast<std::int64_t>(z_count(call.shape));
    for (int f = 0; f < call.shape.filters; ++f) {
      const int step = pick(rng, {1, 1, 2, 3});
      of.push_back({step, normals(rng, count * step), normals(rng, count),
                    rng() % 4 ? normals(rng, 3 * call.shape.c_out) : Doubles()});
      shares_dx.push_back(call.input[f] != f && rng() % 4);
    }
  }

  Doubles dz(const Separable& s, int f) const {
    const Of& from = of[f];
    const std::size_t pixels = static_cast<std::size_t>(s.out_h()) * s.out_w(), c_out = s.c_out;
    Doubles out(from.z.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::size_t plane = i / pixels, o = plane % c_out;
      const double g = from.g[(plane / c_out * c_out + o) * from.step * pixels + i % pixels];
      out[i] = from.coefficients.empty()
                   ? g
                   : from.coefficients[o] * g + from.coefficients[c_out + o] * from.z[i] +
                         from.coefficients[2 * c_out + o];
    }
    return out;
  }
};

struct Wanted {
  bool dx = true, weights = true, accumulate = false;
};

struct BackwardResult {
  std::vector<Doubles> dx, depthwise, pointwise, coefficients, dgamma, dbeta;
  bool operator==(const BackwardResult&) const = default;
};

inline BackwardResult run_backward(const Call& call, const Upstream& up, const Wanted& wanted,
                                   std::int64_t gap) {
  const Separable& s = call.shape;
  Buffers b;
  SeparableBackward p{};
  p.shape = s;
  p.accumulate = wanted.accumulate;
  place_filters(call, b, gap, p.filter);
  const std::int64_t count = static_cast<std::int64_t>(z_count(s)) / s.n,
                     x_count = call.x_count() / s.n;
  for (int f = 0; f < s.filters; ++f) {
    const Upstream::Of& from = up.of[f];
    p.gradient[f] = {{b.images(from.g, s.n, count * from.step + gap), count * from.step + gap},
                     from.step,
                     b.add_or_null(from.coefficients)};
    if (!from.coefficients.empty()) p.z[f] = {b.images(from.z, s.n, count + gap), count + gap};
    if (wanted.weights) {
      p.ddepthwise[f] = b.output(static_cast<std::int64_t>(call.filter[f].depthwise.size()));
      p.dpointwise[f] = b.output(static_cast<std::int64_t>(call.filter[f].pointwise.size()));
    }
    if (!wanted.dx) continue;
    p.dx[f] = {
        b.images(wanted.accumulate ? up.start : Doubles(up.start.size(), NAN), s.n, x_count + gap),
        x_count + gap};
    if (up.shares_dx[f]) p.dx[f] = p.dx[f - 1];
    if (!call.normalised(f)) continue;
    p.input_coefficients[f] = b.output(3 * s.c);
    p.dgamma[f] = f % 3 ? b.output(s.c) : nullptr;
    p.dbeta[f] = f % 3 ? b.output(s.c) : nullptr;
  }
  Guarded workspace(floats(kernels::separable_backward_workspace<Device::cpu>(s)));
  kernels::separable_backward<Device::cpu>(p, workspace.data(), nullptr);
  BackwardResult out;
  const auto read = [](const float* from, std::size_t n) {
    return from ? Doubles(from, from + n) : Doubles();
  };
  for (int f = 0; f < s.filters; ++f) {
    out.dx.push_back(p.dx[f].data ? dense(p.dx[f].data, s.n, x_count, x_count + gap) : Doubles());
    out.depthwise.push_back(read(p.ddepthwise[f], call.filter[f].depthwise.size()));
    out.pointwise.push_back(read(p.dpointwise[f], call.filter[f].pointwise.size()));
    out.coefficients.push_back(read(p.input_coefficients[f], 3 * s.c));
    out.dgamma.push_back(read(p.dgamma[f], s.c));
    out.dbeta.push_back(read(p.dbeta[f], s.c));
  }
  return out;
}

}  // namespace drnas::test::separable
