// SPDX-License-Identifier: MIT
#include "engine/parameters/widening.h"

#include <map>

#include "engine/stream.h"
#include "kernels/random/philox.h"

namespace drnas {
namespace {

/// FNV-1a: a number for a name that no declaration order can change.
std::uint32_t number_of(const std::string& name) {
  std::uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

/// The map of one extent of a slice; equal extents stay as they are.
std::vector<std::int32_t> extent_map(const NamedSlice& slice, const std::string& axis,
                                     std::int64_t before, std::int64_t after, std::uint64_t seed,
                                     std::uint32_t stage) {
  if (before != after && axis.empty())
    throw Error("widening: " + slice.name + " grows from " + std::to_string(before) + " to " +
                std::to_string(after) + " channels where none was expected");
  return widening_map(axis, before, after, seed, stage);
}

/// Copies slices of one pair of buffers; both lists of slices name the same things.
class Copier {
 public:
  Copier(const std::vector<NamedSlice>& from, const std::vector<NamedSlice>& to, std::uint64_t seed,
         std::uint32_t stage)
      : to_(to), seed_(seed), stage_(stage) {
    for (const NamedSlice& slice : from) {
      from_.emplace(slice.name, &slice);
      for (const std::string& alias : slice.aliases) from_.emplace(alias, &slice);
    }
  }

  /// The destination's values.
  std::vector<float> copied(const std::vector<float>& old, const Tensor& destination) const {
    std::vector<float> fresh = download<float>(destination);
    for (const NamedSlice& slice : to_) {
      const auto found = from_.find(slice.name);
      if (found == from_.end()) throw Error("widening: the narrower network has no " + slice.name);
      copy_slice(*found->second, old.data() + found->second->offset, slice,
                 fresh.data() + slice.offset);
    }
    return fresh;
  }

 private:
  void copy_slice(const NamedSlice& before, const float* from, const NamedSlice& after,
                  float* to) const {
    const Shape &b = before.shape, &a = after.shape;
    if (b.h != a.h || b.w != a.w)
      throw Error("widening: " + after.name + " changes from " + to_string(b) + " to " +
                  to_string(a));
    // Statistics are one row: their axis is the last extent.
    const bool row = a.n == 1 && after.axes.in.empty();
    const auto out = extent_map(after, row ? "" : after.axes.out, b.n, a.n, seed_, stage_);
    const auto in =
        extent_map(after, row ? after.axes.out : after.axes.in, b.c, a.c, seed_, stage_);
    const std::int64_t taps = a.h * a.w;
    for (std::int64_t o = 0; o < a.n; ++o)
      for (std::int64_t t = 0; t < taps; ++t)
        for (std::int64_t i = 0; i < a.c; ++i) *to++ = from[(out[o] * taps + t) * b.c + in[i]];
  }

  std::map<std::string, const NamedSlice*> from_;
  const std::vector<NamedSlice>& to_;
  std::uint64_t seed_;
  std::uint32_t stage_;
};

}  // namespace

std::vector<std::int32_t> widening_map(const std::string& axis, std::int64_t before,
                                       std::int64_t after, std::uint64_t seed,
                                       std::uint32_t stage) {
  if (after < before)
    throw Error("widening: axis " + axis + " shrinks from " + std::to_string(before) + " to " +
                std::to_string(after));
  if (const std::size_t bar = axis.find('|'); bar != std::string::npos) {
    auto map = widening_map(axis.substr(0, bar), before / 2, after / 2, seed, stage);
    for (const std::int32_t i :
         widening_map(axis.substr(bar + 1), before / 2, after / 2, seed, stage))
      map.push_back(static_cast<std::int32_t>(before / 2) + i);
    return map;
  }
  const kernels::RandomStream stream(seed, kernels::Purpose::widening);
  std::vector<std::int32_t> map(static_cast<std::size_t>(after));
  for (std::int64_t i = 0; i < after; ++i) {
    const auto channel = static_cast<std::uint32_t>(i);
    const kernels::PhiloxWords w = stream.words(stage, number_of(axis), channel);
    map[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(
        i < before
            ? channel
            : kernels::uniform_below(static_cast<std::uint32_t>(before), w.word[0], w.word[1]));
  }
  return map;
}

StoredParameters::StoredParameters(const ParameterStore& store)
    : parameters(store.parameters()),
      statistics(store.statistics()),
      weights(download<float>(store.weights())),
      velocity(download<float>(store.velocity())),
      statistic_values(download<float>(store.statistics_buffer())) {}

void widen(const StoredParameters& from, const ParameterStore& to, std::uint64_t seed,
           std::uint32_t stage) {
  const Copier parameters(from.parameters, to.parameters(), seed, stage);
  to.set_weights(parameters.copied(from.weights, to.weights()));
  upload<float>(parameters.copied(from.velocity, to.velocity()), to.velocity());
  const Copier statistics(from.statistics, to.statistics(), seed, stage);
  upload<float>(statistics.copied(from.statistic_values, to.statistics_buffer()),
                to.statistics_buffer());
}

}  // namespace drnas
