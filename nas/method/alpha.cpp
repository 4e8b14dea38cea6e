// SPDX-License-Identifier: MIT
#include "nas/method/alpha.h"

#include "engine/stream.h"
#include "kernels/random/philox.h"

namespace drnas {
namespace {

constexpr double initial_deviation = 1e-3;
/// Of the mixing stream: draws count up from zero and never reach it.
constexpr std::uint32_t initial_step = 0xffffffffu;

}  // namespace

Alpha::Alpha(int edges, int ops, std::uint64_t seed, Device device) : edges(edges), ops(ops) {
  for (Tensor* t : {&values, &gradient})
    *t = Tensor::zeros({1, 1, edges, ops}, MemoryTag::optimizer, device, DType::f64);
  const kernels::RandomStream stream{seed, kernels::Purpose::mixing};
  std::vector<double> initial(static_cast<std::size_t>(edges * ops));
  for (int i = 0; i < edges * ops; ++i)
    initial[static_cast<std::size_t>(i)] = initial_deviation * stream.normal(initial_step, i);
  upload<double>(initial, values);
}

void Alpha::prune(const std::vector<std::uint8_t>& now_kept) {
  if (static_cast<std::int64_t>(now_kept.size()) != values.elements())
    throw Error("alpha: what is kept has " + std::to_string(now_kept.size()) +
                " entries, expected " + std::to_string(values.elements()));
  kept = Tensor(values.shape(), MemoryTag::optimizer, values.device(), DType::u8);
  upload<std::uint8_t>(now_kept, kept);
  zero_pruned(now_kept, values);
}

std::vector<std::uint8_t> Alpha::kept_entries() const {
  if (kept.empty())
    return std::vector<std::uint8_t>(static_cast<std::size_t>(values.elements()), std::uint8_t{1});
  return download<std::uint8_t>(kept);
}

Tensor Alpha::make_table() const {
  return Tensor::zeros(values.shape(), MemoryTag::optimizer, values.device(), DType::f64);
}

std::vector<std::vector<double>> Alpha::rows(const Tensor& table) const {
  std::vector<std::vector<double>> all(static_cast<std::size_t>(edges));
  const std::vector<double> entries = download<double>(table);
  auto entry = entries.begin();
  for (std::vector<double>& row : all) {
    row.assign(entry, entry + ops);
    entry += ops;
  }
  return all;
}

void Alpha::start_uniform(const std::vector<kernels::EntrySet>& sets) {
  std::vector<double> uniform(static_cast<std::size_t>(values.elements()));
  for (const kernels::EntrySet& set : sets)
    for (int k = 0; k < set.count; ++k)
      uniform[static_cast<std::size_t>(set.first + k * set.stride)] = 1.0 / set.count;
  upload<double>(uniform, values);
}

Tensor upload_sets(const std::vector<kernels::EntrySet>& sets, Device device) {
  std::vector<std::int32_t> numbers;
  for (const kernels::EntrySet& set : sets)
    numbers.insert(numbers.end(), {set.first, set.count, set.stride});
  const Tensor uploaded({1, 1, static_cast<std::int64_t>(sets.size()), 3}, MemoryTag::optimizer,
                        device, DType::i32);
  upload<std::int32_t>(numbers, uploaded);
  return uploaded;
}

kernels::EntrySets entry_sets(const Tensor& uploaded) {
  static_assert(sizeof(kernels::EntrySet) == 3 * sizeof(std::int32_t));
  return {static_cast<int>(uploaded.shape().w),
          reinterpret_cast<const kernels::EntrySet*>(uploaded.data<std::int32_t>())};
}

void zero_pruned(const std::vector<std::uint8_t>& kept, const Tensor& table) {
  std::vector<double> values = download<double>(table);
  for (std::size_t i = 0; i < kept.size(); ++i)
    if (kept[i] == 0) values[i] = 0;
  upload<double>(values, table);
}

}  // namespace drnas
