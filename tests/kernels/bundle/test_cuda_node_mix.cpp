// SPDX-License-Identifier: MIT
// Node mixes: CUDA kernels against float64 and against the CPU twins.
#include "kernels/bundle/node_mix.h"

#include <memory>

#include "tests/cuda/harness.h"
#include "tests/kernels/bundle/node_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::NodeMix;
using kernels::NodeMixBackwardOf;
using kernels::NodeMixOf;

namespace {

template <class T>
Doubles rounded(Doubles values) {
  for (double& v : values) v = static_cast<float>(T(static_cast<float>(v)));
  return values;
}
template <class T>
std::vector<T> stored(const Doubles& values) {
  std::vector<T> out;
  for (const double v : values) out.push_back(T(static_cast<float>(v)));
  return out;
}
template <class T>
Doubles doubles(const std::vector<T>& values) {
  return Doubles(values.begin(), values.end());
}

/// Keeps arrays in host or device memory and hands out where they are.
template <Device D>
class Keep {
 public:
  template <class U>
  U* operator()(std::vector<U> values) {
    if constexpr (D == Device::cpu) {
      arrays_.push_back(std::make_shared<std::vector<U>>(std::move(values)));
      return static_cast<std::vector<U>*>(arrays_.back().get())->data();
    } else {
      auto array = std::make_shared<DeviceArray<U>>(values);
      arrays_.push_back(array);
      return array->data();
    }
  }

 private:
  std::vector<std::shared_ptr<void>> arrays_;
};

struct View {
  int edges, edge;
};

/// A random mix in float64, of numbers that T holds exactly. Views of z, and which ops are there,
/// are random; two terms share one mixing weight where `shared`.
template <class T>
struct Case {
  MixReference reference;
  std::vector<View> views;
  Doubles dy;

  Case(std::mt19937_64& rng, const Images& g, int terms, int sources, bool shared = false)
      : reference{g, {}, {}, {}} {
    std::uniform_real_distribution<double> uniform(0.1, 1.0);
    for (int i = 0; i < 2 * (terms + sources) + 1; ++i) reference.theta.push_back(uniform(rng));
    for (int t = 0; t < terms; ++t) {
      const double offset = normals(rng, 1)[0];
      MixTerm term{normals(rng, g.pixels() * g.c, uniform(rng)), {}, {}, shared ? t / 2 : 2 * t};
      for (double& z : term.z) z += offset;
      term.z = rounded<T>(term.z);
      const Moments moments(term.z, g.c);
      for (int ch = 0; ch < g.c; ++ch) {
        term.mean.push_back(static_cast<float>(moments.mean[ch]));
        term.inv_std.push_back(static_cast<float>(1.0 / std::sqrt(moments.var[ch] + 1e-5)));
      }
      reference.terms.push_back(std::move(term));
      const int edges = pick(rng, {1, 2, 3});
      views.push_back({edges, static_cast<int>(rng() % edges)});
    }
    for (int s = 0; s < sources; ++s) {
      const int theta = 2 * (terms + s);
      reference.sources.push_back({rounded<T>(normals(rng, g.count())), rng() % 4 ? theta : -1,
                                   rng() % 4 ? theta + 1 : -1});
    }
    dy = rounded<T>(normals(rng, g.count()));
  }

  /// What a kernel on D reads.
  template <class U = T, Device D>
  NodeMixOf<U> mix(Keep<D>& keep) const {
    const Images& g = reference.g;
    NodeMixOf<U> p{};
    p.n = g.n, p.h = g.h, p.w = g.w, p.c = g.c, p.channels = g.channels;
    for (const MixTerm& term : reference.terms) {
      const View& v = views[p.terms];
      const int stride = (v.edges * g.c + 7) / 8 * 8;
      Doubles view(g.pixels() * stride, NAN);
      for (std::int64_t i = 0; i < g.pixels() * g.c; ++i)
        view[i / g.c * stride + v.edge * g.c + i % g.c] = term.z[i];
      p.term[p.terms++] = {keep(stored<U>(view)) + v.edge * g.c, stride,
                           keep(stored<float>(term.mean)), keep(stored<float>(term.inv_std)),
                           term.theta};
    }
    for (const MixSource& source : reference.sources)
      p.source[p.sources++] = {keep(stored<U>(source.x)), source.skip_theta, source.pool_theta};
    p.theta = keep(reference.theta);
    return p;
  }
};

template <class T>
std::vector<T> device_forward(const Case<T>& c) {
  return in_every_order([&] {
    Keep<Device::cuda> keep;
    const NodeMixOf<T> p = c.mix(keep);
    const DeviceArray<T> y(static_cast<std::size_t>(c.reference.g.count()));
    const DeviceBytes scratch(kernels::node_mix_workspace<Device::cuda>(p) + 1);
    kernels::node_mix_forward<Device::cuda>(p, y, scratch, nullptr);
    return y.read();
  });
}

struct Gradients {
  std::vector<float> coefficients;  ///< [terms, 3, c]
  Doubles dtheta;                   ///< what was added
};
constexpr double dtheta_start = 0.25;

template <class T>
Gradients device_backward(const Case<T>& c, bool want_theta) {
  const std::size_t size = 3 * c.reference.g.c, count = size * c.reference.terms.size();
  const Doubles all = in_every_order([&] {
    Keep<Device::cuda> keep;
    NodeMixBackwardOf<T> b{c.mix(keep), keep(stored<T>(c.dy)), {}, nullptr};
    const DeviceArray<double> dtheta(Doubles(c.reference.theta.size(), dtheta_start));
    if (want_theta) b.dtheta = dtheta;
    const DeviceArray<float> coefficients(count + 1);
    for (int t = 0; t < b.mix.terms; ++t) b.coefficients[t] = coefficients + t * size;
    const DeviceBytes scratch(kernels::node_mix_backward_workspace<Device::cuda>(b.mix));
    kernels::node_mix_backward<Device::cuda>(b, scratch, nullptr);
    Doubles out = doubles(coefficients.read());
    out.pop_back();
    for (const double d : dtheta.read()) out.push_back(d - dtheta_start);
    return out;
  });
  return {stored<float>(Doubles(all.begin(), all.begin() + count)),
          Doubles(all.begin() + count, all.end())};
}

/// The CPU twins, which store float32.
template <class T>
std::vector<float> cpu_forward(const Case<T>& c) {
  Keep<Device::cpu> keep;
  const NodeMix p = c.template mix<float>(keep);
  std::vector<float> y(c.reference.g.count());
  std::vector<char> scratch(kernels::node_mix_workspace<Device::cpu>(p));
  kernels::node_mix_forward<Device::cpu>(p, y.data(), scratch.data(), nullptr);
  return y;
}
template <class T>
Gradients cpu_backward(const Case<T>& c) {
  Keep<Device::cpu> keep;
  const std::size_t size = 3 * c.reference.g.c;
  Gradients out{std::vector<float>(size * c.reference.terms.size()),
                Doubles(c.reference.theta.size(), 0.0)};
  kernels::NodeMixBackward b{
      c.template mix<float>(keep), keep(stored<float>(c.dy)), {}, out.dtheta.data()};
  for (int t = 0; t < b.mix.terms; ++t) b.coefficients[t] = out.coefficients.data() + t * size;
  std::vector<char> scratch(kernels::node_mix_backward_workspace<Device::cpu>(b.mix));
  kernels::node_mix_backward<Device::cpu>(b, scratch.data(), nullptr);
  return out;
}

/// dz = A dy + B z + C in float64 from the coefficients of one term.
template <class T>
Doubles assemble(const Case<T>& c, const float* a, const MixTerm& term) {
  const Images& g = c.reference.g;
  Doubles dz(g.pixels() * g.c);
  for (std::int64_t i = 0; i < g.pixels() * g.c; ++i) {
    const int ch = static_cast<int>(i % g.c);
    dz[i] = double{a[ch]} * c.dy[i / g.c * g.channels + g.shuffled(ch)] +
            double{a[g.c + ch]} * term.z[i] + a[2 * g.c + ch];
  }
  return dz;
}

/// Sums in float32: of at most 16 numbers a thread, five steps of a warp or 16 threads; each of
/// them from up to 12 roundings.
constexpr int sum_roundings = 12 + 16 + 16;

template <class T>
void check(const Case<T>& c) {
  const Images& g = c.reference.g;
  CAPTURE(g.n);
  CAPTURE(g.h);
  CAPTURE(g.w);
  CAPTURE(g.c);
  CAPTURE(g.parts());
  const int terms = static_cast<int>(c.reference.terms.size()),
            sources = static_cast<int>(c.reference.sources.size());
  CAPTURE(terms);
  CAPTURE(sources);
  // Offset and weights take 4 roundings a term, the pool 14 more, then one addition a summand; a
  // rounding to bfloat16 is worth 2^16 of float32.
  const int store = sizeof(T) == 2 ? 1 << 16 : 0;
  CHECK(roundings(doubles(device_forward(c)), c.reference.forward()) <=
        store + 20 + 2 * terms + 2 * sources);

  const MixReference::Gradients d = c.reference.backward(c.dy);
  const Gradients got = device_backward(c, true);
  CHECK(roundings(got.dtheta, d.theta) <= sum_roundings);
  for (int t = 0; t < terms; ++t)
    CHECK(roundings(assemble(c, got.coefficients.data() + 3 * t * g.c, c.reference.terms[t]),
                    d.z[t]) <= sum_roundings);
  const Gradients alone = device_backward(c, false);
  CHECK(same_bits(alone.coefficients, got.coefficients));
  CHECK(alone.dtheta == Doubles(got.dtheta.size(), 0.0));
}

}  // namespace

TEST_CASE("cuda: node mix against float64") {
  auto rng = generator(71);
  for (const int parts : {1, 2, 3, 4, 8})
    for (const int channels : {1, 2, 3, 4, 6, 9, 12, 16, 18}) {
      const Images g{pick(rng, {1, 2, 3}), pick(rng, {1, 2, 3, 5, 7}), pick(rng, {1, 2, 3, 5, 8}),
                     channels, channels * parts};
      check(Case<float>(rng, g, static_cast<int>(rng() % 7), 1 + static_cast<int>(rng() % 3)));
    }
}

TEST_CASE("cuda: node mix of many terms, many channels, large and small images") {
  auto rng = generator(72);
  for (const Images& g :
       {Images{1, 1, 1, 3, 3}, Images{1, 1, 1, 8, 16}, Images{1, 9, 35, 4, 8},
        Images{1, 17, 32, 16, 16}, Images{2, 8, 8, 64, 64}, Images{1, 3, 5, 36, 72},
        Images{1, 5, 4, 37, 37}, Images{1, 8, 67, 2, 4}, Images{1, 4, 32, 32, 64}}) {
    check(Case<float>(rng, g, 3, 2));
    if (g.pixels() * g.c < 1000)
      check(Case<float>(rng, g, NodeMix::max_terms, NodeMix::max_sources));
    check(Case<float>(rng, g, 0, 1));
    check(Case<float>(rng, g, 1, 0));
  }
}

TEST_CASE("cuda: node mix with more tiles than blocks, and weights that terms share") {
  auto rng = generator(73);
  check(Case<float>(rng, {300, 2, 1, 3, 6}, 3, 1));
  check(Case<float>(rng, {270, 1, 3, 4, 4}, 5, 2, true));
}

TEST_CASE("cuda: node mix of bfloat16 against float64 and the float32 twin") {
  auto rng = generator(74);
  for (const int parts : {1, 2, 4})
    for (const int channels : {1, 2, 3, 4, 6, 8, 16, 18, 40}) {
      const Images g{pick(rng, {1, 2}), pick(rng, {1, 3, 5, 7}), pick(rng, {1, 2, 5, 8}), channels,
                     channels * parts};
      const Case<bfloat16> c(rng, g, static_cast<int>(rng() % 5), 1 + static_cast<int>(rng() % 3));
      check(c);
      // Half a unit in the last of eight binary places, and what float32 loses.
      CHECK(relative_error(device_forward(c), cpu_forward(c)) <= 0x1p-8 + 0x1p-18);
      const Gradients got = device_backward(c, true), twin = cpu_backward(c);
      CHECK(relative_error(got.coefficients, twin.coefficients) <= 1e-5);
      CHECK(relative_error(got.dtheta, twin.dtheta) <= 1e-5);
    }
}
