// SPDX-License-Identifier: MIT
#include "engine/ops/bundle_state.h"

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

}  // namespace

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
