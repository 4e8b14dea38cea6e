// SPDX-License-Identifier: MIT
// Derivatives of the weights of bypassed channels: the CUDA kernels against their CPU twins, in
// both layouts, and one of them against the sum itself.
#include "kernels/bundle/node_mix.h"
#include "kernels/planes/plane_mix.h"
#include "tests/cases/buffers.h"
#include "tests/cuda/harness.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr int n = 3, h = 5, w = 7, c = 4, channels = 12, sources = 2;

struct BypassCase {
  Doubles dy, x[sources];

  explicit BypassCase(Rng& rng) : dy(normals(rng, n * h * w * channels)) {
    for (Doubles& of : x) of = normals(rng, n * h * w * channels);
  }
  template <Device D>
  Call pixels(Buffers<D>& b) const {
    kernels::NodeMixBackward k{};
    k.mix.n = n, k.mix.h = h, k.mix.w = w, k.mix.c = c, k.mix.channels = channels;
    for (const Doubles& of : x) {
      kernels::NodeMixSource& source = k.mix.source[k.mix.sources];
      source = {b.input(of), -1, -1};
      source.bypass_theta = k.mix.sources++;
    }
    k.mix.theta = b.template input<double>(Doubles{0.5, 2.0});
    k.dy = b.input(dy);
    k.dtheta = b.template output<double>("dtheta", Doubles{1.0, -1.0});
    void* workspace = b.workspace(kernels::node_bypass_workspace<D>(k.mix));
    return b.call(0, [=](kernels::Stream s) { kernels::node_bypass_backward<D>(k, workspace, s); });
  }
  template <Device D>
  Call planes(Buffers<D>& b) const {
    kernels::PlaneMixBackward k{};
    k.mix.n = n, k.mix.pixels = h * w, k.mix.c = c, k.mix.channels = channels;
    for (const Doubles& of : x) {
      kernels::PlaneMixSource& source = k.mix.source[k.mix.sources];
      source.skip_theta = -1;
      source.bypass = b.images(n, Doubles(of.begin(), of.begin() + n * h * w * (channels - c)));
      source.bypass_theta = k.mix.sources++;
    }
    k.mix.theta = b.template input<double>(Doubles{0.5, 2.0});
    k.dy = b.images(n, dy);
    k.dtheta = b.template output<double>("dtheta", Doubles{1.0, -1.0});
    void* workspace = b.workspace(kernels::plane_bypass_workspace<D>(k.mix));
    return b.call(0,
                  [=](kernels::Stream s) { kernels::plane_bypass_backward<D>(k, workspace, s); });
  }
};

}  // namespace

TEST_CASE("cuda: derivatives of bypass weights agree with the CPU's") {
  auto rng = generator(331);
  const BypassCase of(rng);
  const auto check = [](const auto& place) {
    const Doubles expected = OnCpu{}(place).at("dtheta"), got = OnDevice{}(place).at("dtheta");
    CHECK(max_error(got, expected) < 1e-5);
    return expected;
  };
  check([&](auto& b) { return of.planes(b); });
  const Doubles found = check([&](auto& b) { return of.pixels(b); });
  for (int s = 0; s < sources; ++s) {
    double sum = s == 0 ? 1.0 : -1.0;
    for (int i = 0; i < n * h * w; ++i)
      for (int part = 1; part < channels / c; ++part)
        for (int ch = 0; ch < c; ++ch)
          sum += static_cast<double>(static_cast<float>(of.dy[i * channels + ch * 3 + part])) *
                 static_cast<double>(static_cast<float>(of.x[s][i * channels + part * c + ch]));
    CHECK(found[s] == doctest::Approx(sum).epsilon(1e-5));
  }
}
