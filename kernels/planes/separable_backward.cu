// SPDX-License-Identifier: MIT
// Three kernels: dd (to the workspace) and the 1x1 filters' gradients from dz; the depthwise
// filters' gradients from dd and the input; the input's gradient from dd. Blocks of the last one
// add up, in order, what the blocks of the first two left of the filters' gradients.
#include "kernels/planes/separable_backward_input.h"

namespace drnas::kernels {
namespace {

/// How threads share left x right^T over the pixels of a tile: blocks of 4 x 3 elements, each for
/// 2^bits threads that take every 2^bits-th vector of four pixels.
struct ProductBlocks {
  int across, count, bits;

  DRNAS_HD ProductBlocks(int rows, int columns)
      : across((columns + 2) / 3), count((rows + 3) / 4 * across), bits(0) {
    while (bits < 5 && count << (bits + 1) <= static_cast<int>(separable_threads)) ++bits;
  }
};

/// Places in a block's shared memory, in floats.
struct PointwiseShared {
  int pitch;  ///< of planes of d and dz
  int dz, weights, floats;

  /// d comes first; dz takes the place of the windows.
  DRNAS_HD explicit PointwiseShared(const Backward& k) {
    const Separable& s = k.p.shape;
    const int inputs = s.c < k.chunk ? s.c : k.chunk,
              outputs = s.c_out < k.chunk ? s.c_out : k.chunk,
              windows = separable_warps * k.staging, products = outputs * inputs,
              bits = ProductBlocks(outputs, inputs).bits;
    // Planes that are read at once begin in different banks.
    pitch = k.tiles.area() + (bits < 3 ? 4 << bits : 4);
    int room = outputs * pitch;
    room = room < windows ? windows : room;
    room = room < products ? (products + 3) / 4 * 4 : room;
    dz = inputs * pitch;
    weights = dz + room;
    floats = weights + pointwise_floats(inputs, outputs);
  }
};

/// dz of output channels [first, first + count) at a tile's pixels, to dz[o - first][pixel], zero
/// where there is none. Every warp takes channels of its own.
template <int V>
__device__ void gradient_tile(const Backward& k, int f, int image, const TileCorner& corner,
                              int first, int count, float* dz, int pitch) {
  const PixelTiles& t = k.tiles;
  const PlaneGradient& from = k.p.gradient[f];
  const float* all_g = from.g.data + image * from.g.stride;
  const float* all_z = from.coefficients ? k.p.z[f].data + image * k.p.z[f].stride : nullptr;
  const int c_out = k.p.shape.c_out;
  for (int o = first + warp_index(); o < first + count; o += separable_warps) {
    const float* g = all_g + std::int64_t{o} * from.channel_step * t.pixels();
    const float* z = all_z ? all_z + o * t.pixels() : nullptr;
    const float slope = z ? from.coefficients[o] : 1.0f,
                slope_z = z ? from.coefficients[c_out + o] : 0.0f,
                constant = z ? from.coefficients[2 * c_out + o] : 0.0f;
    for (int at = lane_index() * V; at < t.area(); at += static_cast<int>(warp_lanes) * V) {
      const int i = at >> t.shift, j = at & (t.width - 1);
      float value[V] = {};
      if (corner.contains(t, i, j)) {
        const std::int64_t offset = std::int64_t{corner.top + i} * t.columns + corner.left + j;
        load_vector(g + offset, value);
        if (z) {
          float output[V];
          load_vector(z + offset, output);
          for (int v = 0; v < V; ++v)
            value[v] = slope * value[v] + (slope_z * output[v] + constant);
        }
      }
      store_vector(dz + (o - first) * pitch + at, value);
    }
  }
}

/// Sums of left x right^T over the pixels of tiles, a block of them in each thread.
class WeightSums {
 public:
  __device__ WeightSums(int rows, int columns) : rows_(rows), columns_(columns) {
    const ProductBlocks blocks(rows, columns);
    const int block = static_cast<int>(threadIdx.x) >> blocks.bits;
    bits_ = blocks.bits;
    part_ = static_cast<int>(threadIdx.x) & ((1 << bits_) - 1);
    row_ = block / blocks.across * 4;
    column_ = block % blocks.across * 3;
    active_ = block < blocks.count;
  }

  __device__ void add(const float* left, const float* right, int pitch, int pixels) {
    if (!active_) return;
    for (int at = 4 * part_; at < pixels; at += 4 << bits_) {
      float l[4][4], r[3][4];
      DRNAS_UNROLL
      for (int a = 0; a < 4; ++a) load_vector(left + line(row_ + a, rows_) * pitch + at, l[a]);
      DRNAS_UNROLL
      for (int b = 0; b < 3; ++b)
        load_vector(right + line(column_ + b, columns_) * pitch + at, r[b]);
      DRNAS_UNROLL
      for (int v = 0; v < 4; ++v) {
        DRNAS_UNROLL
        for (int a = 0; a < 4; ++a) {
          DRNAS_UNROLL
          for (int b = 0; b < 3; ++b) sum_[a][b] += l[a][v] * r[b][v];
        }
      }
    }
  }

  /// out[row, column], rows `stride` apart, (+)= the sums, by way of `shared`; every thread of the
  /// block must call it.
  __device__ void write(float* shared, float* out, int stride, bool add) {
    DRNAS_UNROLL
    for (int a = 0; a < 4; ++a) {
      DRNAS_UNROLL
      for (int b = 0; b < 3; ++b) {
        for (int other = (1 << bits_) / 2; other > 0; other /= 2)
          sum_[a][b] += __shfl_xor_sync(full_warp, sum_[a][b], other);
        if (active_ && part_ == 0 && row_ + a < rows_ && column_ + b < columns_)
          shared[(row_ + a) * columns_ + column_ + b] = sum_[a][b];
        sum_[a][b] = 0.0f;
      }
    }
    __syncthreads();
    for (MatrixWalk at(columns_); at.row < rows_; at.next()) {
      const float sum = shared[at.row * columns_ + at.column];
      float* to = out + std::int64_t{at.row} * stride + at.column;
      *to = add ? *to + sum : sum;
    }
  }

 private:
  __device__ static int line(int at, int count) { return at < count ? at : count - 1; }

  int rows_, columns_;
  int bits_, part_, row_, column_;
  bool active_;
  float sum_[4][3] = {};
};

/// dd of channels [first, first + count) at a tile's pixels, over a range of output channels.
__device__ void write_dd(const Backward& k, const TileCorner& corner, int outputs, int count,
                         const float* weights, const float* dz, int pitch, float* dd, bool add) {
  const std::int64_t plane = k.tiles.pixels();
  pointwise_tile(k.tiles, corner, count, outputs, weights, dz, pitch,
                 [&](int first, const PixelPair& pixels, const float(&sum)[pointwise_outputs][2]) {
                   DRNAS_UNROLL
                   for (int v = 0; v < pointwise_outputs; ++v) {
                     DRNAS_UNROLL
                     for (int p = 0; p < 2; ++p) {
                       if (!pixels.active[p] || first + v >= count) continue;
                       float* to = dd + (first + v) * plane + pixels.offset[p];
                       *to = add ? *to + sum[v][p] : sum[v][p];
                     }
                   }
                 });
}

/// Blocks (x: slots, y: filters); those of a filter that does not run leave.
template <int T, int V>
__global__ void __launch_bounds__(separable_threads, 4) pointwise_kernel(Backward k) {
  const Separable& s = k.p.shape;
  const int f = static_cast<int>(blockIdx.y), slot = static_cast<int>(blockIdx.x);
  const bool product = k.p.dpointwise[f], wants_dd = k.wants_dd(f);
  if ((!product && !wants_dd) || !k.runs(f)) return;
  const SeparableFilter filter = k.p.filter[f];
  const PointwiseShared places(k);
  const int tiles = k.tiles.count(), pitch = places.pitch;
  float* d = static_cast<float*>(shared_memory());
  float *dz = d + places.dz, *weights = d + places.weights;
  float* partial = k.weights_of(f) + slot * k.weight_pitch();
  const bool whole = s.c <= k.chunk && s.c_out <= k.chunk;
  WeightSums total(s.c_out, s.c);  // where they fit at once
  for (int unit = slot; unit < s.n * tiles; unit += k.slots) {
    const int image = unit / tiles;
    const TileCorner corner(k.tiles, unit - image * tiles);
    for (int ch = 0; ch < s.c; ch += k.chunk) {
      const int count = s.c - ch < k.chunk ? s.c - ch : k.chunk;
      if (product)
        dispatch_filter(filter, [&]<int K, int D>() {
          depthwise_tile<K, D, T, V>(s, filter, k.tiles, corner, image, ch, count,
                                     dz + warp_index() * k.staging, d, pitch);
        });
      for (int o = 0; o < s.c_out; o += k.chunk) {
        const int rows = s.c_out - o < k.chunk ? s.c_out - o : k.chunk;
        const std::int64_t corner_of = std::int64_t{o} * s.c + ch;
        __syncthreads();
        gradient_tile<V>(k, f, image, corner, o, rows, dz, pitch);
        if (wants_dd)
          stage_pointwise<true>(filter.pointwise + corner_of, s.c, count, rows, weights);
        __syncthreads();
        if (wants_dd)
          write_dd(k, corner, rows, count, weights, dz, pitch,
                   k.dd_of(f, image) + ch * k.tiles.pixels(), o > 0);
        if (!product) continue;
        if (whole) {
          total.add(dz, d, pitch, k.tiles.area());
        } else {
          WeightSums part(rows, count);
          part.add(dz, d, pitch, k.tiles.area());
          __syncthreads();
          part.write(dz, partial + corner_of, s.c, unit != slot);
        }
      }
      if (product) __syncthreads();
    }
  }
  if (product && whole) total.write(dz, partial, s.c, false);
}

/// Blocks (x: 32 elements of a filter's gradients, y: filters), where no input's gradient is
/// wanted.
__global__ void __launch_bounds__(separable_threads) weights_kernel(Backward k) {
  add_slots(k, static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.x));
}

/// Starts what computes on planes.
template <int T, int V>
void launch_passes(const Backward& k, bool input, bool taps, Stream stream) {
  const Separable& s = k.p.shape;
  const unsigned filters = static_cast<unsigned>(s.filters);
  constexpr std::size_t warps = sizeof(float) * separable_warps;
  launch("separable_pointwise", pointwise_kernel<T, V>,
         {k.slots, separable_threads, sizeof(float) * PointwiseShared(k).floats, filters}, stream,
         k);
  if (taps)
    launch("separable_taps", taps_kernel<T, V>,
           {blocks_for(std::int64_t{k.tap_slots} * s.c, separable_warps), separable_threads,
            warps * k.tap_floats(), filters},
           stream, k);
  const std::int64_t units = s.n * blocks_for(s.c, k.at_once) * k.strips.count();
  if (input)
    launch("separable_input", input_kernel<T, V>,
           {k.slot_blocks + blocks_for(units, separable_warps), separable_threads,
            std::max(warps * k.input_floats(), FinishShared::bytes), filters},
           stream, k);
  else
    launch("separable_weights", weights_kernel,
           {k.slot_blocks, separable_threads, sizeof(float) * separable_threads, filters}, stream,
           k);
}

/// True where all rows consist of whole, aligned vectors of four.
bool in_vectors(const SeparableBackward& p) {
  const Separable& s = p.shape;
  bool vectors = s.w % 4 == 0 && s.out_w() % 4 == 0;
  const auto check = [&](const auto& planes) {
    vectors = vectors && aligned_for(4, planes.data) && planes.stride % 4 == 0;
  };
  for (int f = 0; f < s.filters; ++f) {
    check(p.filter[f].in.x);
    check(p.gradient[f].g);
    if (p.gradient[f].coefficients) check(p.z[f]);
    if (p.dx[f].data) check(p.dx[f]);
  }
  return vectors;
}

}  // namespace

template <>
std::size_t separable_backward_workspace<Device::cuda>(const Separable& p) {
  SeparableBackward call{};
  call.shape = p;
  return Backward(call, nullptr).bytes;
}

template <>
void separable_backward<Device::cuda>(const SeparableBackward& p, void* workspace, Stream stream) {
  const Separable& s = p.shape;
  check_separable(p);
  Backward k(p, workspace);
  k.place_filters();
  bool input = false, taps = false;
  for (int f = 0; f < s.filters; ++f) {
    input = input || wants_input_gradient(p, f);
    taps = taps || p.ddepthwise[f];
  }
  const auto run = [&]<int T, int V>() { launch_passes<T, V>(k, input, taps, stream); };
  const bool vectors = in_vectors(p);
  if (s.stride == 1)
    vectors ? run.template operator()<1, 4>() : run.template operator()<1, 1>();
  else
    vectors ? run.template operator()<2, 4>() : run.template operator()<2, 1>();
}

}  // namespace drnas::kernels
