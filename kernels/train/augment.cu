// SPDX-License-Identifier: MIT
#include "kernels/train/augment.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/cuda_vector.h"
#include "kernels/core/unroll.h"
#include "kernels/train/augment_math.h"

namespace drnas::kernels {
namespace {

constexpr unsigned threads = 256;
/// Values that a block makes, about.
constexpr int tile_values = 2048;

/// Source bytes that are loaded at once: a warp asks for four lines of 128.
using Word = uint4;
constexpr int word_bytes = sizeof(Word);

/// Copies the words that hold the `count` bytes from `from` on, each read once, to `shared`
/// (aligned to a word) and returns where the first byte lies there. The set may lie in the host's
/// memory, which nothing caches here.
__device__ const std::uint8_t* load_bytes(const std::uint8_t* from, int count,
                                          std::uint8_t* shared) {
  const int skipped = static_cast<int>(reinterpret_cast<std::uintptr_t>(from) % word_bytes);
  const auto* const words = reinterpret_cast<const Word*>(from - skipped);
  const int end = (skipped + count + word_bytes - 1) / word_bytes;
  // It runs once or twice.
  DRNAS_ROLLED
  for (int i = static_cast<int>(threadIdx.x); i < end; i += static_cast<int>(threads))
    store_packed(reinterpret_cast<Word*>(shared) + i, load_packed(words + i));
  return shared + skipped;
}

/// Rows of the source, [begin, end), that output rows [first, last) show.
struct Rows {
  int begin, end;
};
__device__ Rows source_rows(const AugmentPlan& plan, int first, int last, int size) {
  const int begin = first + plan.shift_y, end = last + plan.shift_y;
  return {begin < 0 ? 0 : begin, end > size ? size : end};
}

/// Channel c of output pixel (y, x); `pixels` are the rows of the source from `rows.begin` on.
__device__ float pixel_value(const std::uint8_t* pixels, const Rows& rows, const Normalisation& n,
                             const AugmentPlan& plan, int size, int y, int x, int c) {
  if (y >= plan.cut_top && y < plan.cut_bottom && x >= plan.cut_left && x < plan.cut_right)
    return 0.0f;
  const int from_y = y + plan.shift_y, from_x = source_x(plan, x, size);
  const bool inside = from_y >= rows.begin && from_y < rows.end && from_x >= 0 && from_x < size;
  const float byte = inside ? pixels[((from_y - rows.begin) * size + from_x) * 3 + c] : 0.0f;
  const float scale = c == 0 ? n.scale[0] : c == 1 ? n.scale[1] : n.scale[2];
  const float shift = c == 0 ? n.shift[0] : c == 1 ? n.shift[1] : n.shift[2];
  return std::fma(byte, scale, shift);
}

/// Blocks (slot of the batch, tile of `tile` rows of its image). A block reads the rows that its
/// tile shows, whole and once, then each thread makes packs of V values. Every thread draws the
/// slot's plan.
template <class T, int V>
__global__ void __launch_bounds__(threads)
    augment_kernel(Augment p, Normalisation n, int tile, T* out) {
  const int slot = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const int row = 3 * p.size, first = static_cast<int>(blockIdx.y) * tile;
  const int last = first + tile < p.size ? first + tile : p.size;
  const std::int32_t image = image_of(p, slot);
  if (first == 0 && thread == 0 && p.labels && p.classes) p.labels[slot] = p.classes[image];
  const AugmentPlan plan = plan_augment(p, slot);
  const Rows rows = source_rows(plan, first, last, p.size);
  const std::uint8_t* pixels = nullptr;
  if (rows.begin < rows.end)
    pixels = load_bytes(p.pixels + (std::int64_t{image} * p.size + rows.begin) * row,
                        (rows.end - rows.begin) * row, static_cast<std::uint8_t*>(shared_memory()));
  __syncthreads();
  T* const to = out + (std::int64_t{slot} * p.size + first) * row;
  const int values = (last - first) * row;
  for (int at = V * thread; at < values; at += V * static_cast<int>(threads)) {
    int y = first + at / row, x = at % row / 3, c = at % 3;
    Vector<T, V> pack;
    for (int i = 0; i < V; ++i) {
      pack.element[i] = static_cast<T>(pixel_value(pixels, rows, n, plan, p.size, y, x, c));
      if (++c < 3) continue;
      c = 0;
      if (++x < p.size) continue;
      x = 0;
      ++y;
    }
    store_packed(reinterpret_cast<Vector<T, V>*>(to + at), pack);
  }
}

/// Rows of a tile: tiles of about one size, even where packs must not cross its end.
int tile_rows(int size, int multiple) {
  const int most = std::clamp(tile_values / (3 * size), 1, size);
  const auto tiles = static_cast<int>(blocks_for(size, most));
  const auto rows = static_cast<int>(blocks_for(size, tiles));
  return (rows + multiple - 1) / multiple * multiple;
}

template <class T, int V>
void launch_augment(const Augment& p, T* out, Stream stream) {
  // Rows of an even size have a multiple of two values.
  const int tile = tile_rows(p.size, V == 1 ? 1 : 2);
  const auto tiles = static_cast<unsigned>(blocks_for(p.size, tile));
  const std::size_t bytes = static_cast<std::size_t>(3 * p.size * tile + 2 * word_bytes);
  launch("augment", augment_kernel<T, V>, LaunchShape{p.batch, threads, bytes, tiles}, stream, p,
         normalisation(p), tile, out);
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
