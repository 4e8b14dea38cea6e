// SPDX-License-Identifier: MIT
#include "kernels/augment.h"

#include <cmath>

#include "kernels/augment_math.h"
#include "kernels/launch.h"

namespace drnas::kernels {
namespace {

constexpr unsigned threads = 256;

/// Neighbouring values that are stored at once.
template <class T, int V>
struct alignas(V * sizeof(T)) Pack {
  T value[V];
};

/// Channel c of output pixel (y, x); `image` is [size, size, 3].
__device__ float pixel_value(const std::uint8_t* image, const Normalisation& n,
                             const AugmentPlan& plan, int size, int y, int x, int c) {
  if (y >= plan.cut_top && y < plan.cut_bottom && x >= plan.cut_left && x < plan.cut_right)
    return 0.0f;
  const int from_y = y + plan.shift_y, from_x = source_x(plan, x, size);
  const bool inside = from_y >= 0 && from_y < size && from_x >= 0 && from_x < size;
  const float byte = inside ? image[(from_y * size + from_x) * 3 + c] : 0.0f;
  const float scale = c == 0 ? n.scale[0] : c == 1 ? n.scale[1] : n.scale[2];
  const float shift = c == 0 ? n.shift[0] : c == 1 ? n.shift[1] : n.shift[2];
  return std::fma(byte, scale, shift);
}

/// Blocks (slot of the batch, V * threads values of its image); one thread V values, for which it
/// draws the slot's plan anew.
template <class T, int V>
__global__ void __launch_bounds__(threads) augment_kernel(Augment p, Normalisation n, T* out) {
  const int slot = static_cast<int>(blockIdx.x);
  const int row = 3 * p.size, elements = row * p.size;
  const int first = V * static_cast<int>(blockIdx.y * threads + threadIdx.x);
  if (first >= elements) return;
  const std::int32_t image = image_of(p, slot);
  if (first == 0 && p.labels && p.classes) p.labels[slot] = p.classes[image];
  const AugmentPlan plan = plan_augment(p, slot);
  const std::uint8_t* pixels = p.pixels + std::int64_t{image} * elements;
  int y = first / row, x = first % row / 3, c = first % 3;
  Pack<T, V> values;
  for (int i = 0; i < V; ++i) {
    values.value[i] = static_cast<T>(pixel_value(pixels, n, plan, p.size, y, x, c));
    if (++c < 3) continue;
    c = 0;
    if (++x < p.size) continue;
    x = 0;
    ++y;
  }
  *reinterpret_cast<Pack<T, V>*>(out + std::int64_t{slot} * elements + first) = values;
}

template <class T, int V>
void launch_augment(const Augment& p, T* out, Stream stream) {
  const std::int64_t tiles = blocks_for(std::int64_t{3} * p.size * p.size, V * threads);
  const LaunchShape shape{p.batch, threads, 0, static_cast<unsigned>(tiles)};
  launch("augment", augment_kernel<T, V>, shape, stream, p, normalisation(p), out);
}

}  // namespace

template <>
void augment<Device::cuda>(const Augment& p, Stream stream) {
  // An image of even size has a multiple of four values.
  const bool whole_packs = p.size % 2 == 0 && reinterpret_cast<std::uintptr_t>(p.out) % 16 == 0;
  if (whole_packs)
    launch_augment<float, 4>(p, p.out, stream);
  else
    launch_augment<float, 1>(p, p.out, stream);
}

}  // namespace drnas::kernels
