// SPDX-License-Identifier: MIT
// What one row, set or entry of mixing.h needs, shared by the CPU loops and the CUDA kernels. Each
// piece is a functor of its number.
#pragma once

#include <cmath>

#include "kernels/alpha/mixing.h"
#include "kernels/core/error.h"
#include "kernels/core/host_device.h"

namespace drnas::kernels::mixing {

/// Throws Error for extents that are no table's.
inline void check_table(const char* name, int edges, int ops) {
  if (edges < 0 || ops < 1 || ops > max_columns)
    throw Error(std::string(name) + ": " + std::to_string(edges) + " rows of " +
                std::to_string(ops) + " operations, expected 1 to " + std::to_string(max_columns));
}

DRNAS_HD inline bool is_kept(const std::uint8_t* kept, int i) { return !kept || kept[i] != 0; }

/// out = softmax(in) over the kept of n entries `stride` apart; `in` and `out` may be the same.
DRNAS_HD inline void softmax(const double* in, const std::uint8_t* kept, int n, int stride,
                             double* out) {
  double largest = -INFINITY, sum = 0;
  for (int i = 0; i < n; ++i)
    if (is_kept(kept, i * stride) && !(in[i * stride] <= largest)) largest = in[i * stride];
  for (int i = 0; i < n; ++i) {
    const double share = is_kept(kept, i * stride) ? std::exp(in[i * stride] - largest) : 0.0;
    out[i * stride] = share;
    sum += share;
  }
  for (int i = 0; i < n; ++i) out[i * stride] /= sum;
}

struct DrawRow {
  GumbelDraw p;

  DRNAS_HD void operator()(int row) const {
    const int first = row * p.ops;
    const RandomStream stream(p.seed, Purpose::mixing);
    double* soft = p.soft + first;
    for (int o = 0; o < p.ops; ++o) {
      const PhiloxWords w = stream.words(*p.step, static_cast<std::uint32_t>(first + o));
      const double gumbel = -std::log(-std::log(uniform_double(w.word[0], w.word[1])));
      soft[o] = (p.alpha[first + o] + gumbel) / *p.temperature;
    }
    const std::uint8_t* kept = p.kept ? p.kept + first : nullptr;
    int chosen = -1;
    for (int o = 0; o < p.ops; ++o)
      if (is_kept(kept, o) && (chosen < 0 || soft[o] > soft[chosen])) chosen = o;
    int second = -1;
    for (int o = 0; o < p.ops && p.samples == 2; ++o)
      if (is_kept(kept, o) && o != chosen && (second < 0 || soft[o] > soft[second])) second = o;
    softmax(soft, kept, p.ops, 1, soft);
    for (int o = 0; o < p.ops; ++o)
      p.theta[first + o] = p.samples == 0 ? soft[o] : o == chosen ? 1.0 : 0.0;
    if (second < 0) return;
    const PhiloxWords w = stream.words(*p.step, static_cast<std::uint32_t>(first), 1);
    const double share = 1.0 / (1.0 + std::exp(p.alpha[first + second] - p.alpha[first + chosen]));
    const bool keeps = uniform_double(w.word[0], w.word[1]) < share;
    p.theta[first + (keeps ? second : chosen)] = faint_weight;
    p.theta[first + (keeps ? chosen : second)] = 1.0;
  }
};

/// The largest alpha of a row among entries of theta that are not zero.
DRNAS_HD inline double largest_there(const double* alpha, const double* theta, int ops) {
  double largest = -INFINITY;
  for (int o = 0; o < ops; ++o)
    if (theta[o] != 0.0) largest = std::fmax(largest, alpha[o]);
  return largest;
}

struct PairBackwardRow {
  int ops;
  const double *alpha, *theta, *dtheta;
  double* dalpha;

  DRNAS_HD void operator()(int row) const {
    const int first = row * ops;
    const double largest = largest_there(alpha + first, theta + first, ops);
    double sum = 0, mean = 0;
    for (int i = first; i < first + ops; ++i) {
      dalpha[i] = theta[i] != 0.0 ? std::exp(alpha[i] - largest) : 0.0;
      sum += dalpha[i];
    }
    for (int i = first; i < first + ops; ++i) {
      dalpha[i] /= sum;
      if (theta[i] != 0.0) mean += dalpha[i] * dtheta[i];
    }
    for (int i = first; i < first + ops; ++i)
      dalpha[i] = theta[i] != 0.0 ? dalpha[i] * (dtheta[i] - mean) : 0.0;
  }
};

struct KeepMassRow {
  int ops;
  const double *theta, *before;
  double* alpha;

  DRNAS_HD void operator()(int row) const {
    const int first = row * ops;
    const double largest = std::fmax(largest_there(alpha + first, theta + first, ops),
                                     largest_there(before + first, theta + first, ops));
    double now = 0, then = 0;
    for (int i = first; i < first + ops; ++i) {
      if (theta[i] == 0.0) continue;
      now += std::exp(alpha[i] - largest);
      then += std::exp(before[i] - largest);
    }
    for (int i = first; i < first + ops; ++i)
      if (theta[i] != 0.0) alpha[i] -= std::log(now / then);
  }
};

struct GumbelBackwardRow {
  int ops;
  const double *soft, *temperature, *dtheta;
  double* dalpha;

  DRNAS_HD void operator()(int row) const {
    double mean = 0;
    for (int i = row * ops; i < (row + 1) * ops; ++i) mean += soft[i] * dtheta[i];
    for (int i = row * ops; i < (row + 1) * ops; ++i)
      dalpha[i] = soft[i] * (dtheta[i] - mean) / *temperature;
  }
};

struct ScoreBackwardRow {
  int ops;
  const double* alpha;
  const std::uint8_t* kept;
  const double *theta, *dtheta;
  double* dalpha;

  DRNAS_HD void operator()(int row) const {
    const int first = row * ops;
    int chosen = -1;
    for (int o = 0; o < ops; ++o)
      if (theta[first + o] != 0.0) chosen = o;
    const double credit = chosen < 0 ? 0.0 : dtheta[first + chosen];
    softmax(alpha + first, kept ? kept + first : nullptr, ops, 1, dalpha + first);
    for (int o = 0; o < ops; ++o)
      dalpha[first + o] = credit * ((o == chosen ? 1.0 : 0.0) - dalpha[first + o]);
  }
};

struct SoftmaxSet {
  EntrySets sets;
  const double* alpha;
  double* p;

  DRNAS_HD void operator()(int i) const {
    const EntrySet s = sets.set[i];
    softmax(alpha + s.first, nullptr, s.count, s.stride, p + s.first);
  }
};

struct SoftmaxBackwardSet {
  EntrySets sets;
  const double *p, *g;
  double* dalpha;

  DRNAS_HD void operator()(int i) const {
    const EntrySet s = sets.set[i];
    const auto at = [&s](int k) { return s.first + k * s.stride; };
    double mean = 0;
    for (int k = 0; k < s.count; ++k) mean += p[at(k)] * g[at(k)];
    for (int k = 0; k < s.count; ++k) dalpha[at(k)] = p[at(k)] * (g[at(k)] - mean);
  }
};

struct WeighEdge {
  int ops;
  const double* p;
  double* theta;

  DRNAS_HD void operator()(int edge) const {
    const int first = edge * (ops + 1);
    const double weight = p[first + ops];
    for (int o = 0; o < ops; ++o) theta[first + o] = p[first + o] * weight;
    theta[first + ops] = weight;
  }
};

struct WeighEdgeBackward {
  int ops;
  const double *p, *g;
  double* dp;

  DRNAS_HD void operator()(int edge) const {
    const int first = edge * (ops + 1);
    double of_weight = g[first + ops];
    for (int o = 0; o < ops; ++o) {
      of_weight += p[first + o] * g[first + o];
      dp[first + o] = p[first + ops] * g[first + o];
    }
    dp[first + ops] = of_weight;
  }
};

/// Sum of squares, in order.
DRNAS_HD inline double squared_sum(const double* g, int entries) {
  double sum = 0;
  for (int i = 0; i < entries; ++i) sum += g[i] * g[i];
  return sum;
}

struct ExponentiateSet {
  ExponentiatedStep p;

  DRNAS_HD void operator()(int i) const {
    const EntrySet s = p.sets.set[i];
    const auto at = [&s](int k) { return s.first + k * s.stride; };
    constexpr double furthest = 500;  // of an exponent, where a gradient has run away
    double sum = 0;
    for (int k = 0; k < s.count; ++k) {
      double& w = p.weights[at(k)];
      const double power = std::fmax(-furthest, std::fmin(furthest, -p.rate * p.gradient[at(k)]));
      w = std::fmax(w * std::exp(power), p.floor);
      sum += w;
    }
    for (int k = 0; k < s.count; ++k) p.weights[at(k)] /= sum;
  }
};

struct PerturbRow {
  int ops;
  const double* p;
  double *delta, *theta;

  DRNAS_HD void operator()(int row) const {
    const int first = row * ops;
    int largest = first;
    double sum = 0;
    for (int i = first; i < first + ops; ++i) {
      if (p[i] + delta[i] > p[largest] + delta[largest]) largest = i;
      theta[i] = std::fmin(1.0, std::fmax(0.0, p[i] + delta[i]));
      sum += theta[i];
    }
    if (sum == 0.0) sum = theta[largest] = 1.0;
    for (int i = first; i < first + ops; ++i) {
      theta[i] /= sum;
      delta[i] = theta[i] - p[i];
    }
  }
};

struct NoiseEntry {
  std::uint64_t seed;
  const std::uint32_t* step;
  const double* radius;
  double* delta;

  DRNAS_HD void operator()(int i) const {
    const RandomStream stream(seed, Purpose::perturbation);
    const PhiloxWords w = stream.words(*step, static_cast<std::uint32_t>(i));
    delta[i] = *radius * (2.0 * uniform_double(w.word[0], w.word[1]) - 1.0);
  }
};

struct AscendEntry {
  const double* g;
  double share;
  const double* radius;
  double* delta;

  DRNAS_HD void operator()(int i) const {
    const double moved = delta[i] + share * *radius * (g[i] > 0.0 ? 1.0 : g[i] < 0.0 ? -1.0 : 0.0);
    delta[i] = std::fmin(*radius, std::fmax(-*radius, moved));
  }
};

}  // namespace drnas::kernels::mixing
