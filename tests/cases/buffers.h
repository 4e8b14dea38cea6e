// SPDX-License-Identifier: MIT
// The buffers of one kernel call on either device. A case of this folder describes a call (shape,
// options, random inputs on the host) and has functions that place it: they put its inputs and
// outputs into Buffers<D> and return what starts the kernels there. Tests of both twins and the
// benchmarks place the same cases.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/core/bfloat16.h"
#include "kernels/planes/planes.h"
#include "tests/support/guarded_bytes.h"
#include "tests/support/random.h"

namespace drnas::test {

/// A call whose buffers lie where its kernels run.
struct Call {
  std::function<void(kernels::Stream)> run;
  double flops = 0, bytes = 0;  ///< what it must compute, read and write
};

/// What a call left, by the names of its outputs.
using Results = std::map<std::string, Doubles>;

/// How an element enters results.
template <class T>
void append(Doubles& to, const T& value) {
  to.push_back(static_cast<double>(value));
}

/// Images start `shift` elements after an aligned address and lie `gap` elements apart.
struct Layout {
  int shift = 0, gap = 0;
};
/// Asked once for every buffer of images; null: dense.
using Layouts = std::function<Layout()>;

/// Asked once for every array of real inputs, in the order of their placing; may change values.
using Spoil = std::function<void(Doubles&)>;

/// The same alignment for all, strides that differ.
inline Layouts every_image(const Layout& first) {
  return [first, count = 0]() mutable {
    return Layout{first.shift, first.gap + 4 * (count++ % 3)};
  };
}
inline Layouts random_layouts(Rng& rng) {
  return [&rng] { return Layout{pick(rng, {0, 0, 1, 5}), pick(rng, {0, 0, 3, 16})}; };
}

/// The bytes of one buffer on D: data(), write(from), read(to), and intact(): false where something
/// was written beside them.
template <Device D>
class Memory;

template <>
class Memory<Device::cpu> {
 public:
  explicit Memory(std::size_t bytes) : bytes_(bytes), memory_(bytes) {}
  void* data() { return memory_.data(); }
  void write(const void* from) { std::memcpy(memory_.data(), from, bytes_); }
  void read(void* to) { std::memcpy(to, memory_.data(), bytes_); }
  bool intact() const { return memory_.intact(); }

 private:
  std::size_t bytes_;
  GuardedBytes memory_;
};

template <Device D>
class Buffers {
 public:
  explicit Buffers(Layouts layouts = nullptr, Spoil spoil = nullptr)
      : layouts_(std::move(layouts)), spoil_(std::move(spoil)) {}
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  /// A copy of the values as T; null where there are none.
  template <class T = float, class U>
  T* input(const std::vector<U>& values) {
    return place<T>("", 1, values, {}).data;
  }
  /// The same, where the call leaves results (of no interest without a name): in `count` values
  /// that start as NaN patterns, or in those of `start` where it adds to them.
  template <class T = float>
  T* output(const std::string& name, std::int64_t count) {
    return place<T>(name, 1, unwritten<T>(count), {}).data;
  }
  template <class T = float, class U>
  T* output(const std::string& name, const std::vector<U>& start, bool adds = true) {
    return place<T>(name, 1, start, {}, adds).data;
  }
  /// Images in this object's layout, NaN patterns before and between them; outputs likewise.
  template <class T = float>
  kernels::PlanesOf<const T> images(int n, const Doubles& dense) {
    const auto planes = place<T>("", n, dense, layout());
    return {planes.data, planes.stride};
  }
  template <class T = float>
  kernels::PlanesOf<T> output_images(const std::string& name, int n, std::int64_t count) {
    return place<T>(name, n, unwritten<T>(count), layout());
  }
  template <class T = float>
  kernels::PlanesOf<T> output_images(const std::string& name, int n, const Doubles& start,
                                     bool adds) {
    return place<T>(name, n, start, layout(), adds);
  }
  void* workspace(std::size_t bytes) {
    return bytes ? keep(unwritten<unsigned char>(static_cast<std::int64_t>(bytes)))->data()
                 : nullptr;
  }

  /// Of kernels that run on what was placed so far: they read and write every array once.
  template <class Run>
  Call call(double flops, Run run) const {
    return {std::move(run), flops, bytes_};
  }
  Results results() const {
    Results all;
    for (const auto& [name, read] : outputs_) all[name] = read().dense;
    return all;
  }
  /// Buffers and gaps beside which, and in which, nothing was written: one truth value each.
  std::vector<bool> intact() const {
    std::vector<bool> all;
    for (const auto& memory : memories_) all.push_back(memory->intact());
    for (const auto& [name, read] : outputs_) all.push_back(read().gaps_intact);
    return all;
  }

 private:
  struct Output {
    Doubles dense;
    bool gaps_intact = true;
  };

  Layout layout() const { return layouts_ ? layouts_() : Layout{}; }

  template <class T>
  static std::vector<T> unwritten(std::int64_t count) {
    std::vector<T> values(static_cast<std::size_t>(count));
    if (count) std::memset(static_cast<void*>(values.data()), 0xff, values.size() * sizeof(T));
    return values;
  }

  template <class T, class U>
  static T stored(const U& value) {
    if constexpr (std::is_same_v<T, U>)
      return value;
    else
      return T(static_cast<float>(value));
  }

  template <class T>
  std::shared_ptr<Memory<D>> keep(const std::vector<T>& values) {
    auto memory = std::make_shared<Memory<D>>(values.size() * sizeof(T));
    memory->write(values.data());
    memories_.push_back(memory);
    return memory;
  }

  template <class T, class U>
  kernels::PlanesOf<T> place(const std::string& name, int n, const std::vector<U>& dense,
                             Layout layout, bool filled = true) {
    if constexpr (std::is_same_v<U, double>)
      if (filled && spoil_ && !dense.empty()) {
        Doubles spoiled = dense;
        spoil_(spoiled);
        return put<T>(name, n, spoiled, layout, true);
      }
    return put<T>(name, n, dense, layout, filled);
  }
  template <class T, class U>
  kernels::PlanesOf<T> put(const std::string& name, int n, const std::vector<U>& dense,
                           Layout layout, bool filled) {
    if (dense.empty() && !name.empty()) outputs_.emplace_back(name, [] { return Output{}; });
    if (dense.empty()) return {};
    const std::int64_t size = static_cast<std::int64_t>(dense.size()) / n,
                       stride = size + layout.gap;
    std::vector<T> all = unwritten<T>(layout.shift + (n - 1) * stride + size);
    for (int image = 0; image < n && filled; ++image)
      std::transform(dense.begin() + image * size, dense.begin() + (image + 1) * size,
                     all.begin() + layout.shift + image * stride, stored<T, U>);
    bytes_ += static_cast<double>(dense.size() * sizeof(T));
    const auto memory = keep(all);
    if (!name.empty())
      outputs_.emplace_back(name, [=, count = all.size()] {
        return read<T>(*memory, count, size, {layout.shift, layout.gap});
      });
    return {static_cast<T*>(memory->data()) + layout.shift, stride};
  }

  template <class T>
  static Output read(Memory<D>& memory, std::size_t count, std::int64_t size, Layout layout) {
    std::vector<T> all(count);
    memory.read(all.data());
    const std::vector<T> gap = unwritten<T>(1);
    const std::int64_t end = static_cast<std::int64_t>(count), stride = size + layout.gap;
    const auto check_gap = [&](std::int64_t from, std::int64_t to) {
      return std::all_of(all.begin() + from, all.begin() + to, [&](const T& value) {
        return std::memcmp(&value, gap.data(), sizeof(T)) == 0;
      });
    };
    Output out;
    out.gaps_intact = check_gap(0, layout.shift);
    for (std::int64_t image = layout.shift; image < end; image += stride) {
      for (std::int64_t i = image; i < image + size; ++i) append(out.dense, all[i]);
      if (image + stride < end)
        out.gaps_intact = out.gaps_intact && check_gap(image + size, image + stride);
    }
    return out;
  }

  Layouts layouts_;
  Spoil spoil_;
  double bytes_ = 0;
  std::vector<std::shared_ptr<Memory<D>>> memories_;
  std::vector<std::pair<std::string, std::function<Output()>>> outputs_;
};

/// Statistics of c channels as outputs: mean and inv_std, and running ones that start at 0.5 and 2.
template <Device D>
kernels::PlaneStatistics output_statistics(Buffers<D>& b, int c, bool running = true,
                                           const std::string& of = "") {
  kernels::PlaneStatistics s{b.output(of + "mean", c), b.output(of + "inv_std", c)};
  if (running) {
    s.running_mean = b.output(of + "running_mean", Doubles(c, 0.5));
    s.running_var = b.output(of + "running_var", Doubles(c, 2.0));
  }
  return s;
}

}  // namespace drnas::test
