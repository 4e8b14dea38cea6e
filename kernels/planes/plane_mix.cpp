// SPDX-License-Identifier: MIT
#include "kernels/planes/plane_mix.h"

#include <numeric>

#include "kernels/planes/skip_dropout_loops.h"

namespace drnas::kernels {
namespace {

static_assert(PlaneMix::max_terms + PlaneMix::max_sources <= WeightedPlanes::capacity);

/// One plane of mixed channels. Every term enters as scale z with scale rounded to float32, and the
/// means are taken off with that same scale. Identities that are dropped come last.
void mix_plane(const PlaneMix& p, std::int64_t image, int ch, float* out) {
  WeightedPlanes sum;
  for (int t = 0; t < p.terms; ++t) {
    const PlaneMixTerm& term = p.term[t];
    const float scale = static_cast<float>(p.theta[term.theta] * term.inv_std[ch]);
    sum.add(plane_of(term.z, p.pixels, image, ch), scale);
    sum.start -= static_cast<double>(scale) * term.mean[ch];
  }
  for (int s = 0; s < p.sources; ++s) {
    const PlaneMixSource& source = p.source[s];
    if (source.skip_theta >= 0 && !p.dropout.active())
      sum.add(plane_of(source.x, p.pixels, image, ch), p.theta[source.skip_theta]);
  }
  sum.write_plane(p.pixels, out, false);
  if (!p.dropout.active()) return;
  const SkipFactors factors(p.dropout);
  for (int s = 0; s < p.sources; ++s)
    if (const PlaneMixSource& source = p.source[s]; source.skip_theta >= 0)
      add_dropped_plane(factors, source.skip, image * p.c + ch, p.pixels,
                        p.theta[source.skip_theta], plane_of(source.x, p.pixels, image, ch), out);
}

void add_bypasses(const PlaneMix& p, std::int64_t image, int channel, float* out) {
  WeightedPlanes sum;
  for (int s = 0; s < p.sources; ++s)
    sum.add(plane_of(p.source[s].bypass, p.pixels, image, channel),
            p.source[s].bypass_theta < 0 ? 1.0 : p.theta[p.source[s].bypass_theta]);
  sum.write_plane(p.pixels, out, false);
}

/// Sums of one image, or of all, [c] each: of dy (z_t - mean_t), of dy, of dy x_s.
struct Sums {
  double* first;
  int c, terms;

  static std::int64_t count(const PlaneMix& p) {
    return (std::int64_t{p.terms} + 1 + p.sources) * p.c;
  }
  Sums(const PlaneMix& p, double* memory) : first(memory), c(p.c), terms(p.terms) {}
  double* term(int t) const { return first + std::int64_t{t} * c; }
  double* dy() const { return term(terms); }
  double* source(int s) const { return term(terms + 1 + s); }
};

/// Products of one plane of dy with planes that have something taken off.
struct Products {
  static constexpr int capacity = PlaneMix::max_terms + PlaneMix::max_sources;
  const float* dy;
  const float* from[capacity];
  float centre[capacity];
  double* to[capacity];
  int count = 0;

  void add(const float* plane, float taken_off, double* sum) {
    from[count] = plane;
    centre[count] = taken_off;
    to[count++] = sum;
  }
  template <int N>
  void add_block(int k, std::int64_t first, std::int64_t pixels) const {
    double sums[N] = {};
    const float* d = dy + first;
    const float* z[N];
    float middle[N];
    for (int j = 0; j < N; ++j) {
      z[j] = from[k + j] + first;
      middle[j] = centre[k + j];
    }
    sum_block<N>(
        pixels,
        [&]<int V>(std::int64_t i, int j) {
          return load<V>(d + i) * (load<V>(z[j] + i) - middle[j]);
        },
        sums);
    for (int j = 0; j < N; ++j) *to[k + j] += sums[j];
  }
};

/// Products of a plane of dy with identities whose values are dropped.
void reduce_dropped(const PlaneMixBackward& b, std::int64_t image, int ch, const float* dy,
                    const Sums& sums) {
  const PlaneMix& p = b.mix;
  const SkipFactors factors(p.dropout);
  for (int s = 0; s < p.sources; ++s) {
    const PlaneMixSource& source = p.source[s];
    if (source.skip_theta < 0) continue;
    const float* x = plane_of(source.x, p.pixels, image, ch);
    each_dropped_block(factors, source.skip, image * p.c + ch, p.pixels,
                       [&](std::int64_t first, std::int64_t count, const float* factor) {
                         sum_block<1>(
                             count,
                             [&]<int V>(std::int64_t i, int) {
                               return load<V>(dy + first + i) *
                                      (load<V>(factor + i) * load<V>(x + first + i));
                             },
                             sums.source(s) + ch);
                       });
  }
}

void reduce_plane(const PlaneMixBackward& b, std::int64_t image, int ch, const Sums& sums) {
  const PlaneMix& p = b.mix;
  Products products;
  products.dy = plane_of(b.dy, p.pixels, image, std::int64_t{ch} * p.parts());
  for (int t = 0; t < p.terms; ++t)
    products.add(plane_of(p.term[t].z, p.pixels, image, ch), p.term[t].mean[ch], sums.term(t) + ch);
  const bool drops = p.dropout.active();
  for (int s = 0; s < p.sources && b.dtheta && !drops; ++s)
    if (p.source[s].skip_theta >= 0)
      products.add(plane_of(p.source[s].x, p.pixels, image, ch), 0.0f, sums.source(s) + ch);
  each_block(p.pixels, [&](std::int64_t first, std::int64_t pixels) {
    const float* d = products.dy + first;
    sum_block<1>(
        pixels, [&]<int V>(std::int64_t i, int) { return load<V>(d + i); }, sums.dy() + ch);
    int k = 0;
    for (; k + 4 <= products.count; k += 4) products.add_block<4>(k, first, pixels);
    for (; k < products.count; ++k) products.add_block<1>(k, first, pixels);
  });
  if (drops && b.dtheta) reduce_dropped(b, image, ch, products.dy, sums);
}

/// From complete sums: gradient of the mixing weights and coefficients of dz.
void finish(const PlaneMixBackward& b, const Sums& sums) {
  const PlaneMix& p = b.mix;
  const double m = b.count();
  const auto counts = [&](int theta) { return b.dtheta && p.gates.runs(p.theta, theta); };
  for (int t = 0; t < p.terms; ++t) {
    const PlaneMixTerm& term = p.term[t];
    double dtheta = 0;
    for (int ch = 0; ch < p.c; ++ch) {
      dtheta += sums.term(t)[ch] * term.inv_std[ch];
      finish_gradient(p.theta[term.theta], term.mean[ch], term.inv_std[ch], sums.dy()[ch],
                      sums.term(t)[ch], m, b.coefficients[t], p.c, ch);
    }
    if (counts(term.theta)) b.dtheta[term.theta] += dtheta;
  }
  for (int s = 0; s < p.sources && b.dtheta; ++s) {
    if (p.source[s].skip_theta < 0 || !counts(p.source[s].skip_theta)) continue;
    double dtheta = 0;
    for (int ch = 0; ch < p.c; ++ch) dtheta += sums.source(s)[ch];
    b.dtheta[p.source[s].skip_theta] += dtheta;
  }
  if (!b.dtheta || !p.gates.adds) return;
  const double dy = std::accumulate(sums.dy(), sums.dy() + p.c, 0.0);
  for (int i = 0; i < p.gates.entries(); ++i)
    if (p.theta[p.gates.index(i)] == 0.0) b.dtheta[p.gates.index(i)] += dy;
}

}  // namespace

template <>
void plane_mix_forward<Device::cpu>(const PlaneMix& p, Planes y, Stream) {
  // In the order in which terms and bypasses are read.
  each_plane(p.n, p.channels, [&](std::int64_t image, int channel) {
    const int ch = channel % p.c, part = channel / p.c;
    float* out = plane_of(y, p.pixels, image, std::int64_t{ch} * p.parts() + part);
    if (part == 0)
      mix_plane(p, image, ch, out);
    else
      add_bypasses(p, image, channel - p.c, out);
  });
}

template <>
std::size_t plane_mix_backward_workspace<Device::cpu>(const PlaneMix& p) {
  return sizeof(double) * static_cast<std::size_t>(p.n * Sums::count(p));
}

template <>
void plane_mix_backward<Device::cpu>(const PlaneMixBackward& b, void* workspace, Stream) {
  const PlaneMix& p = b.mix;
  double* memory = static_cast<double*>(workspace);
  const std::int64_t count = Sums::count(p);
  std::fill_n(memory, p.n * count, 0.0);
  each_plane(p.n, p.c, [&](std::int64_t image, int ch) {
    reduce_plane(b, image, ch, Sums(p, memory + image * count));
  });
  add_images(p.n, count, memory);
  finish(b, Sums(p, memory));
}

template <>
void plane_source_gradient<Device::cpu>(const PlaneSourceGradient& p, Stream) {
  const int parts = p.channels / p.c;
  // In the order in which gradients are read.
  each_plane(p.n, p.channels, [&](std::int64_t image, int channel) {
    const int ch = channel / parts, part = channel % parts;
    const Planes& to = part == 0 ? p.dx : p.dbypass;
    if (!to.data) return;
    WeightedPlanes sum;
    const bool drops = part == 0 && p.dropout.active();
    for (int e = 0; e < p.edges && !drops; ++e) {
      if (part == 0 && p.skip_theta[e] < 0) continue;
      sum.add(plane_of(p.dy[e], p.pixels, image, channel), part == 0 ? p.theta[p.skip_theta[e]]
                                                           : p.bypass_theta[e] < 0
                                                               ? 1.0
                                                               : p.theta[p.bypass_theta[e]]);
    }
    float* out = plane_of(to, p.pixels, image, part == 0 ? ch : (part - 1) * p.c + ch);
    sum.write_plane(p.pixels, out, part == 0 ? p.accumulate_x : p.accumulate_bypass);
    if (!drops) return;
    const SkipFactors factors(p.dropout);
    for (int e = 0; e < p.edges; ++e)
      if (p.skip_theta[e] >= 0)
        add_dropped_plane(factors, p.skip[e], image * p.c + ch, p.pixels, p.theta[p.skip_theta[e]],
                          plane_of(p.dy[e], p.pixels, image, channel), out);
  });
}

}  // namespace drnas::kernels
