// SPDX-License-Identifier: MIT
#include "kernels/bundle/conv_bundle.h"

#include <array>
#include <memory>
#include <optional>

#include "tests/kernels/bundle/node_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::ConvBundle;
using kernels::ConvBundleBackward;
using kernels::ConvBundleForward;

namespace {

constexpr float eps = 1e-5f, momentum = 0.1f;

struct Shape {
  Images g;
  int edges;
  std::vector<int> kernels;
  std::vector<std::uint8_t> present = {};  // per size; empty: every edge has all

  int sizes() const { return static_cast<int>(kernels.size()); }
  /// The edges that have a size, in order: c rows each.
  std::vector<int> edges_with(int size) const {
    std::vector<int> out;
    for (int e = 0; e < edges; ++e)
      if (present.empty() || (present[size] & 1 << e)) out.push_back(e);
    return out;
  }
  int rows(int size) const { return static_cast<int>(edges_with(size).size()) * g.c; }
  ConvBundle bundle() const {
    ConvBundle b{g.n, g.h, g.w, g.c, g.channels, edges, sizes(), {}};
    std::copy(kernels.begin(), kernels.end(), b.kernel);
    std::copy(present.begin(), present.end(), b.present);
    return b;
  }
};

void capture_and(const Shape& s, const std::function<void()>& body) {
  CAPTURE(s.g.n);
  CAPTURE(s.g.h);
  CAPTURE(s.g.w);
  CAPTURE(s.g.c);
  CAPTURE(s.g.parts());
  CAPTURE(s.edges);
  std::string sizes;
  for (int k = 0; k < s.sizes(); ++k)
    sizes += " " + std::to_string(s.kernels[k]) + ":" + std::to_string(s.bundle().present[k]);
  CAPTURE(sizes);
  body();
}

/// Roundings against their number in the direct sum. Winograd's method for 3x3 mixes the elements
/// of a tile (a zero comes out as rounding) and its transforms cost some 10 roundings more.
void check_sum(const Doubles& out, const Bounded& reference, double terms, bool may_mix) {
  if (may_mix)
    CHECK(roundings_of_largest(out, reference) <= terms + 32);
  else
    CHECK(roundings(out, reference) <= terms);
}

struct Inputs {
  Doubles x;
  std::vector<Doubles> weight;

  Inputs(std::mt19937_64& rng, const Shape& s) : x(normals_and_zeros(rng, s.g.count())) {
    for (int size = 0; size < s.sizes(); ++size) {
      const std::int64_t taps = s.kernels[size] * s.kernels[size];
      weight.push_back(normals(rng, s.rows(size) * taps * s.g.c));
    }
  }
};

/// Everything that one kernel size gives in forward.
struct SizeResult {
  std::vector<float> z, mean, inv_std, running_mean, running_var;
  bool operator==(const SizeResult&) const = default;
};

enum class Running { none, start };

std::vector<SizeResult> forward(const Shape& s, const Inputs& in, bool training, Running running) {
  ConvBundleForward f{};
  f.bundle = s.bundle();
  Guarded x(in.x);
  f.x = x;
  std::vector<std::unique_ptr<Guarded>> keep;
  const auto buffer = [&](auto&& from) {
    return keep.emplace_back(std::make_unique<Guarded>(from))->data();
  };
  for (int k = 0; k < f.bundle.sizes; ++k) {
    f.weight[k] = buffer(in.weight[k]);
    f.z[k] = buffer(f.bundle.pixels() * ((s.rows(k) + 7) / 8 * 8));
    f.mean[k] = buffer(std::int64_t{s.rows(k)});
    f.inv_std[k] = buffer(std::int64_t{s.rows(k)});
    if (running == Running::none) continue;
    f.running_mean[k] = buffer(Doubles(s.rows(k), 0.5));
    f.running_var[k] = buffer(Doubles(s.rows(k), 2.0));
  }
  f.training = training;
  f.eps = eps;
  f.momentum = momentum;
  Guarded scratch(exact_floats(kernels::conv_bundle_forward_workspace<Device::cpu>(f.bundle)));
  kernels::conv_bundle_forward<Device::cpu>(f, scratch.data(), nullptr);
  std::vector<SizeResult> out;
  const int buffers = running == Running::none ? 4 : 6;
  for (int k = 0; k < f.bundle.sizes; ++k) {
    const auto* b = &keep[k * buffers];
    out.push_back({b[1]->floats(), b[2]->floats(), b[3]->floats(), {}, {}});
    if (running == Running::start) out.back().running_mean = b[4]->floats();
    if (running == Running::start) out.back().running_var = b[5]->floats();
  }
  return out;
}

/// The raw outputs without the padding, which must be zero.
Doubles unpadded(const Shape& s, int size, const std::vector<float>& z) {
  const int stride = s.bundle().z_channels(size);
  Doubles out;
  bool padding_is_zero = true;
  for (std::size_t i = 0; i < z.size(); ++i)
    if (static_cast<int>(i % stride) < s.rows(size))
      out.push_back(z[i]);
    else
      padding_is_zero = padding_is_zero && z[i] == 0.0f;
  CHECK(padding_is_zero);
  return out;
}

/// Statistics of a channel against those of its own raw outputs. They are float32 within an image:
/// a mean is off by at most (hw + 2) u E|z|, a variance by 4 (hw + 8) u E[z^2].
void check_statistics(const Shape& s, int size, const SizeResult& r, const Doubles& z) {
  const Moments moments(z, s.rows(size));
  const double m = static_cast<double>(s.g.pixels()), u = 0x1p-24, length = s.g.h * s.g.w + 8.0;
  for (int ch = 0; ch < s.rows(size); ++ch) {
    const double mean = moments.mean[ch], var = moments.var[ch], power = var + mean * mean + 1e-30;
    const double mean_bound = length * u * std::sqrt(power), var_bound = 4 * length * u * power;
    CHECK(std::abs(r.mean[ch] - mean) <= mean_bound);
    CHECK(std::abs(r.inv_std[ch] * std::sqrt(var + eps) - 1) <=
          0.5 * var_bound / (var + eps) + 2 * u);
    if (r.running_mean.empty()) continue;
    CHECK(std::abs(r.running_mean[ch] - (0.9 * 0.5 + 0.1 * mean)) <= mean_bound + 2 * u);
    const double unbiased = s.g.pixels() > 1 ? var * m / (m - 1) : 0.0;
    CHECK(std::abs(r.running_var[ch] - (0.9 * 2.0 + 0.1 * unbiased)) <=
          var_bound + 4 * u * (2.0 + unbiased));
  }
}

void check_forward(const Shape& s, const Inputs& in) {
  const std::vector<SizeResult> r = forward(s, in, true, Running::start);
  for (int k = 0; k < s.sizes(); ++k) {
    const Doubles z = unpadded(s, k, r[k].z);
    const int terms = s.kernels[k] * s.kernels[k] * s.g.c;
    check_sum(z, convolve(s.g, in.x, in.weight[k], s.rows(k), s.kernels[k]), terms + 1,
              s.kernels[k] == 3);
    check_statistics(s, k, r[k], z);
  }
  const std::vector<SizeResult> still = forward(s, in, true, Running::none);
  const std::vector<SizeResult> evaluation = forward(s, in, false, Running::start);
  for (int k = 0; k < s.sizes(); ++k) {
    CHECK(still[k].z == r[k].z);
    CHECK(still[k].mean == r[k].mean);
    CHECK(still[k].inv_std == r[k].inv_std);
    CHECK(evaluation[k].z == r[k].z);
    const auto all = [&](float value) { return std::vector<float>(s.rows(k), value); };
    CHECK(evaluation[k].mean == all(0.5f));
    CHECK(evaluation[k].running_mean == all(0.5f));
    CHECK(evaluation[k].running_var == all(2.0f));
    CHECK(evaluation[k].inv_std == all(static_cast<float>(1.0 / std::sqrt(2.0 + double{eps}))));
  }
}

/// Random gradients of the destinations and coefficients.
struct Upstream {
  std::vector<Doubles> dy, z;                      // per edge; per size, unpadded
  std::vector<std::vector<Doubles>> coefficients;  // per edge and size [3, c]
  std::vector<std::optional<double>> skip, pool;   // per edge

  Upstream(std::mt19937_64& rng, const Shape& s) : coefficients(s.edges) {
    for (int k = 0; k < s.sizes(); ++k) z.push_back(normals(rng, s.g.pixels() * s.rows(k)));
    for (int e = 0; e < s.edges; ++e) {
      dy.push_back(normals(rng, s.g.count()));
      for (int k = 0; k < s.sizes(); ++k) coefficients[e].push_back(normals(rng, 3 * s.g.c));
      const auto weight = [&] {
        return rng() % 4 ? std::optional(normals(rng, 1)[0] + 0.1) : std::nullopt;
      };
      skip.push_back(weight());
      pool.push_back(weight());
    }
  }

  /// dz = A dy + B z + C of one kernel size [pixels, rows].
  Bounded dz(const Shape& s, int size) const {
    const std::vector<int> edges = s.edges_with(size);
    const int rows = s.rows(size);
    Bounded out(s.g.pixels() * rows);
    for (std::int64_t i = 0; i < s.g.pixels() * rows; ++i) {
      const int e = edges[i % rows / s.g.c], ch = static_cast<int>(i % s.g.c);
      const Doubles& a = coefficients[e][size];
      out.add(i, a[ch] * dy[e][i / rows * s.g.channels + s.g.shuffled(ch)]);
      out.add(i, a[s.g.c + ch] * z[size][i]);
      out.add(i, a[2 * s.g.c + ch]);
    }
    return out;
  }
};

struct Wanted {
  bool dx = true;
  std::array<bool, 2> dweight{true, true};
};

struct Gradients {
  std::vector<float> dx;
  std::array<std::vector<float>, 2> dweight;
  bool operator==(const Gradients&) const = default;
};

Gradients backward(const Shape& s, const Inputs& in, const Upstream& up,
                   const Wanted& wanted = {}) {
  ConvBundleBackward b{};
  b.bundle = s.bundle();
  Guarded x(in.x), dx(s.g.count());
  b.x = x;
  if (wanted.dx) b.dx = dx;
  std::vector<std::unique_ptr<Guarded>> keep;
  const auto buffer = [&](auto&& from) {
    return keep.emplace_back(std::make_unique<Guarded>(from))->data();
  };
  std::array<Guarded*, 2> dweight{};
  for (int k = 0; k < b.bundle.sizes; ++k) {
    const int stride = b.bundle.z_channels(k), rows = s.rows(k);
    Doubles z(s.g.pixels() * stride, 0.0);
    for (std::size_t i = 0; i < up.z[k].size(); ++i) z[i / rows * stride + i % rows] = up.z[k][i];
    b.weight[k] = buffer(in.weight[k]);
    b.z[k] = buffer(z);
    if (!wanted.dweight[k]) continue;
    b.dweight[k] = buffer(static_cast<std::int64_t>(in.weight[k].size()));
    dweight[k] = keep.back().get();
  }
  for (int e = 0; e < s.edges; ++e) {
    b.edge[e].dy = buffer(up.dy[e]);
    for (int k = 0; k < b.bundle.sizes; ++k)
      if (b.bundle.has(k, e)) b.edge[e].coefficients[k] = buffer(up.coefficients[e][k]);
    if (up.skip[e]) b.edge[e].skip_weight = &*up.skip[e];
    if (up.pool[e]) b.edge[e].pool_weight = &*up.pool[e];
  }
  Guarded scratch(exact_floats(kernels::conv_bundle_backward_workspace<Device::cpu>(b.bundle)));
  kernels::conv_bundle_backward<Device::cpu>(b, scratch.data(), nullptr);
  Gradients out;
  if (wanted.dx) out.dx = dx.floats();
  for (int k = 0; k < 2; ++k)
    if (dweight[k]) out.dweight[k] = dweight[k]->floats();
  return out;
}

void check_backward(const Shape& s, const Inputs& in, const Upstream& up) {
  const Gradients got = backward(s, in, up);
  Bounded dx(s.g.count());
  const int sizes = s.sizes();
  int products = 0;
  bool may_mix = false;
  for (int k = 0; k < sizes; ++k) {
    const int size = s.kernels[k];
    const Bounded dweight =
        convolve_adjoint(s.g, in.x, in.weight[k], s.rows(k), size, up.dz(s, k), dx);
    const std::vector<float>& d = got.dweight[k];
    check_sum(Doubles(d.begin(), d.end()), dweight, static_cast<double>(s.g.pixels()) + 4,
              size == 3);
    products += size * size * s.rows(k);
    may_mix = may_mix || size == 3;
  }
  for (int e = 0; e < s.edges; ++e)
    add_pass_through(s.g, up.dy[e], up.skip[e].value_or(0), up.pool[e].value_or(0), dx);
  // dz takes 3 roundings, the pool 8 and one an edge; then one addition a product.
  check_sum(Doubles(got.dx.begin(), got.dx.end()), dx, products + 2 * s.edges + 14, may_mix);
  // Whatever is left out, the rest keeps its bits.
  for (const Wanted& wanted :
       {Wanted{false}, Wanted{true, {false, false}}, Wanted{true, {true, false}},
        Wanted{false, {false, true}}, Wanted{false, {false, false}}}) {
    const Gradients part = backward(s, in, up, wanted);
    if (wanted.dx) CHECK(part.dx == got.dx);
    for (int k = 0; k < sizes; ++k)
      if (wanted.dweight[k]) CHECK(part.dweight[k] == got.dweight[k]);
  }
}

Shape random_shape(std::mt19937_64& rng, int parts, int c) {
  static const std::vector<int> sizes[] = {{1, 3}, {3, 1}, {1, 3}, {3}, {1}};
  return {{pick(rng, {1, 2, 3, 5}), pick(rng, {1, 2, 3, 5, 7}), pick(rng, {1, 2, 3, 5, 8}), c,
           c * parts},
          pick(rng, {1, 2, 3}),
          sizes[rng() % 5]};
}

/// The same with up to eight edges, each of which lacks sizes by chance: one size or none at all
/// among them.
Shape ragged_shape(std::mt19937_64& rng, int parts, int c) {
  Shape s = random_shape(rng, parts, c);
  s.edges = pick(rng, {1, 2, 3, 8});
  std::vector<int> candidates;
  s.kernels.swap(candidates);
  for (const int k : candidates) {
    const unsigned all = (1u << s.edges) - 1, mask = rng() & all;
    const unsigned behind = rng() & 0xff & ~all;  // means nothing
    if (mask == 0) continue;
    s.kernels.push_back(k);
    s.present.push_back(static_cast<std::uint8_t>(mask | behind));
  }
  return s;
}

/// Shapes with several images a chunk and several chunks a thread.
const Shape large_shapes[] = {{{12, 9, 9, 16, 16}, 3, {1, 3}},
                              {{8, 16, 16, 8, 32}, 2, {1, 3}},
                              {{12, 5, 7, 3, 6}, 1, {3}},
                              {{6, 16, 16, 16, 16}, 3, {3, 1}}};

}  // namespace

TEST_CASE("conv bundle: forward against float64") {
  auto rng = generator(61);
  for (const int parts : {1, 2, 4, 8})
    for (const int c : {2, 3, 4, 6, 8, 16})
      for (int trial = 0; trial < 3; ++trial) {
        const Shape s = random_shape(rng, parts, c);
        const Inputs in(rng, s);
        capture_and(s, [&] { check_forward(s, in); });
      }
  for (const Shape& s : large_shapes) {
    const Inputs in(rng, s);
    capture_and(s, [&] { check_forward(s, in); });
  }
}

TEST_CASE("conv bundle: backward against float64") {
  auto rng = generator(62);
  for (const int parts : {1, 2, 4, 8})
    for (const int c : {2, 3, 4, 6, 8, 16})
      for (int trial = 0; trial < 3; ++trial) {
        const Shape s = random_shape(rng, parts, c);
        const Inputs in(rng, s);
        const Upstream up(rng, s);
        capture_and(s, [&] { check_backward(s, in, up); });
      }
  for (const Shape& s : large_shapes) {
    const Inputs in(rng, s);
    const Upstream up(rng, s);
    capture_and(s, [&] { check_backward(s, in, up); });
  }
}

TEST_CASE("conv bundle: edges without some sizes, and nodes without any, against float64") {
  auto rng = generator(64);
  const auto check = [&](const Shape& s) {
    const Inputs in(rng, s);
    const Upstream up(rng, s);
    capture_and(s, [&] {
      check_forward(s, in);
      check_backward(s, in, up);
    });
  };
  for (const int parts : {1, 2, 4, 8})
    for (const int c : {2, 3, 4, 6, 8, 16})
      for (int trial = 0; trial < 3; ++trial) check(ragged_shape(rng, parts, c));
  for (Shape s : large_shapes) {
    s.present = {1, 2};
    check(s);
  }
  check({{2, 5, 3, 4, 8}, 2, {}});
}

TEST_CASE("conv bundle: repeats bit by bit; only weight gradients may depend on the thread count") {
  auto rng = generator(63);
  for (const Shape& s : {large_shapes[0], large_shapes[2], Shape{{5, 7, 5, 8, 16}, 2, {1, 3}}}) {
    const Inputs in(rng, s);
    const Upstream up(rng, s);
    std::vector<SizeResult> f;
    Gradients b;
    {
      const Threads one(1);
      f = forward(s, in, true, Running::start);
      b = backward(s, in, up);
    }
    for (int threads = 1; threads <= 3; ++threads) {
      const Threads more(threads);
      CHECK(forward(s, in, true, Running::start) == f);
      const Gradients again = backward(s, in, up);
      CHECK(again == backward(s, in, up));
      CHECK(again.dx == b.dx);
    }
  }
}
