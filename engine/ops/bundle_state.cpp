// SPDX-License-Identifier: MIT
#include "engine/ops/bundle_state.h"

#include <algorithm>

#include "engine/stream.h"

namespace drnas {
namespace {

/// Copies between the rows of all edges of a size, one after another, and those that run.
void copy_rows(const BundleState& state, int size, const Tensor& all, const Tensor& running,
               bool to_all) {
  const std::vector<std::uint8_t>& present = state.parameters.present;
  kernels::ConvBundle whole = state.shape;
  whole.present[0] =
      present.empty() ? kernels::ConvBundle::every_edge : present[state.size_of[size]];
  const Shape row{1, 1, 1, running.elements() / state.shape.count(size)};
  for (int e = 0; e < whole.edges; ++e) {
    if (!state.shape.has(size, e)) continue;
    const Tensor one = all.slice(row.c * whole.slot(0, e), row),
                 other = running.slice(row.c * state.shape.slot(size, e), row);
    copy(to_all ? other : one, to_all ? one : other);
  }
}

/// Everything that there is, whether it runs or not.
kernels::ConvBundle shape_of(const std::string& name, const Shape& x, const BundleParameters& p) {
  if (p.kernels.size() > kernels::ConvBundle::max_sizes || p.edges > kernels::ConvBundle::max_edges)
    throw Error(name + ": at most " + std::to_string(kernels::ConvBundle::max_sizes) +
                " kernel sizes and " + std::to_string(kernels::ConvBundle::max_edges) +
                " edges fit a bundle");
  if (p.channels < 1 || x.c % p.channels != 0)
    throw Error(name + ": " + std::to_string(p.channels) + " mixed channels do not divide input " +
                to_string(x));
  kernels::ConvBundle b{static_cast<int>(x.n),
                        static_cast<int>(x.h),
                        static_cast<int>(x.w),
                        p.channels,
                        static_cast<int>(x.c),
                        p.edges,
                        static_cast<int>(p.kernels.size()),
                        {}};
  std::copy(p.kernels.begin(), p.kernels.end(), b.kernel);
  std::copy_n(p.present.begin(), std::min(p.present.size(), p.kernels.size()), b.present);
  for (int s = 0; s < b.sizes; ++s)
    if (b.count(s) == 0 || (!p.present.empty() && p.present.size() != p.kernels.size()))
      throw Error(name + ": expected edges for each of its " + std::to_string(b.sizes) +
                  " kernel sizes");
  return b;
}

}  // namespace

std::shared_ptr<BundleState> make_bundle_state(const std::string& name, const Variable& x,
                                               const BundleParameters& parameters, bool training) {
  auto state = std::make_shared<BundleState>();
  state->parameters = parameters;
  state->x = x;
  kernels::ConvBundle whole = shape_of(name, x.value().shape(), parameters);
  whole.apart = x.value().layout() == Layout::apart;
  choose_active(*state, whole);
  state->training = training;
  return state;
}

Tensor raw_outputs(const kernels::ConvBundle& b, int size, Device device, DType storage) {
  return Tensor({b.n, b.h, b.w, b.z_channels(size)}, MemoryTag::activations, device, storage);
}

void check_theta(const std::string& name, const BundleState& state, int edge,
                 const std::vector<int>& conv_theta) {
  if (conv_theta.size() != state.parameters.kernels.size())
    throw Error(name + ": expected a mixing weight or -1 for each of " +
                std::to_string(state.parameters.kernels.size()) + " kernel sizes");
  auto given =
      std::count_if(conv_theta.begin(), conv_theta.end(), [](int theta) { return theta >= 0; });
  for (int s = 0; s < state.shape.sizes; ++s) {
    // Not one expression: GCC 12 at -O1 forgets the weight in `(weight >= 0) != bit`.
    const bool lacks = conv_theta[state.size_of[s]] < 0;
    if (state.shape.has(s, edge) ? lacks : !lacks)
      throw Error(name + ": an edge and its bundle disagree about a convolution");
    if (!lacks) --given;
  }
  if (given != 0) throw Error(name + ": an edge and its bundle disagree about a convolution");
}

bool rebuilds(const BundleState& state, int size) {
  const std::vector<bool>& rebuild = state.parameters.rebuild;
  const int of = state.size_of[size];
  return of < static_cast<int>(rebuild.size()) && rebuild[of];
}

void choose_active(BundleState& state, const kernels::ConvBundle& whole) {
  const std::vector<std::uint8_t>& active = state.parameters.active;
  kernels::ConvBundle& b = state.shape;
  b = whole;
  b.sizes = 0;
  for (int s = 0; s < whole.sizes; ++s) {
    b.kernel[b.sizes] = whole.kernel[s];
    b.present[b.sizes] =
        active.empty() ? whole.present[s] : static_cast<std::uint8_t>(whole.present[s] & active[s]);
    if (b.count(b.sizes) == 0) continue;
    state.size_of.push_back(s);
    ++b.sizes;
  }
  for (int s = 0; s < b.sizes; ++s) {
    Tensor& own = state.gathered.emplace_back();
    if (b.count(s) == whole.count(state.size_of[s])) continue;
    const Tensor& all = state.parameters.weights[state.size_of[s]].value();
    if (all.device() != Device::cpu)
      throw Error("bundle of " + state.x.name() + ": only on the CPU can a part of it run");
    own = Tensor({b.rows(s), all.shape().h, all.shape().w, all.shape().c}, MemoryTag::workspace,
                 all.device());
    copy_rows(state, s, all, own, false);
  }
}

void scatter_rows(const BundleState& state, int size, const Tensor& running, const Tensor& all) {
  copy_rows(state, size, all, running, true);
}

RunningRows::RunningRows(const BundleState& state, int size) : state_(state), size_(size) {
  const int of = state.size_of[size];
  all_[0] = state.parameters.running_mean[of];
  all_[1] = state.parameters.running_var[of];
  for (int k = 0; k < 2; ++k) {
    own_[k] = all_[k];
    if (state.gathered[size].empty()) continue;
    own_[k] = Tensor({1, 1, 1, state.shape.rows(size)}, MemoryTag::workspace, Device::cpu);
    copy_rows(state, size, all_[k], own_[k], false);
  }
}

void RunningRows::finish() const {
  if (state_.gathered[size_].empty()) return;
  for (int k = 0; k < 2; ++k) copy_rows(state_, size_, all_[k], own_[k], true);
}

}  // namespace drnas
