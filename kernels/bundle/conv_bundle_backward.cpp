// SPDX-License-Identifier: MIT
#include <algorithm>
#include <vector>

#include "kernels/bundle/conv_bundle.h"
#include "kernels/bundle/conv_bundle_chunk.h"
#include "kernels/bundle/node_rows.h"
#include "kernels/core/transpose_pixel.h"

namespace drnas::kernels {
namespace {

/// Scratch of one thread.
struct ThreadScratch {
  float *dz[ConvBundle::max_sizes], *du[ConvBundle::max_sizes];
  float* dweight[ConvBundle::max_sizes];  // packed, summed over this thread's chunks
  float *u = nullptr, *rolling, *gathered, *pixel;
  std::byte* convolution;
  bool started = false;  // dweight holds something
};

struct BackwardScratch {
  float* packed[ConvBundle::max_sizes];
  float* staging;
  std::vector<ThreadScratch> threads;
  std::size_t bytes;

  BackwardScratch(const BundleChunk& chunk, void* memory) {
    Carver carve(memory);
    const ConvBundle& b = chunk.bundle;
    std::int64_t staging_floats = 0, convolution_bytes = 0, dweight_bytes[ConvBundle::max_sizes];
    for (int s = 0; s < b.sizes; ++s) {
      const BundleConvolution data = chunk.plan(s, ConvPass::backward_data),
                              weight = chunk.plan(s, ConvPass::backward_weight);
      packed[s] = reinterpret_cast<float*>(
          carve.take<std::byte>(static_cast<std::int64_t>(data.packed_bytes())));
      staging_floats = std::max({staging_floats, data.staging_floats(), weight.staging_floats()});
      convolution_bytes =
          std::max({convolution_bytes, static_cast<std::int64_t>(data.scratch_bytes()),
                    static_cast<std::int64_t>(weight.scratch_bytes())});
      dweight_bytes[s] = static_cast<std::int64_t>(weight.packed_bytes());
    }
    staging = carve.take<float>(staging_floats);
    threads.resize(thread_count());
    for (ThreadScratch& t : threads) {
      for (int s = 0; s < b.sizes; ++s) {
        t.dz[s] = carve.take<float>(chunk.pixels() * b.z_channels(s));
        t.du[s] = carve.take<float>(chunk.pixels() * chunk.c_pad);
        t.dweight[s] = reinterpret_cast<float*>(carve.take<std::byte>(dweight_bytes[s]));
      }
      if (b.sizes > 0) t.u = carve.take<float>(chunk.pixels() * chunk.c_pad);
      t.rolling = carve.take<float>(RollingRows::floats(b.w, b.c));
      t.gathered = carve.take<float>(std::int64_t{b.w} * b.c * b.edges * 2);
      t.pixel = carve.take<float>(b.x_channels);
      t.convolution = carve.take<std::byte>(convolution_bytes);
    }
    bytes = carve.bytes();
  }
};

/// Some operation reads the edge's mixed channels.
bool mixes(const ConvBundleBackward& p, int edge) {
  bool any = p.edge[edge].skip_weight || p.edge[edge].pool_weight;
  for (int s = 0; s < p.bundle.sizes; ++s) any = any || p.bundle.has(s, edge);
  return any;
}

/// The mixed channels of one row of the destinations' gradients, of edges that have operations.
struct DestinationRows {
  const float* dy[ConvBundle::max_edges];
  std::int64_t stride;

  DestinationRows(const ConvBundleBackward& p, std::int64_t pixel, float* buffer) {
    const ConvBundle& b = p.bundle;
    stride = b.parts() == 1 ? b.x_channels : b.c;
    for (int e = 0; e < b.edges; ++e) {
      dy[e] = p.edge[e].dy + pixel * b.x_channels;
      if (b.parts() == 1 || !mixes(p, e)) continue;
      float* to = buffer + std::int64_t{e} * b.w * b.c;
      gather_mixed(dy[e], b.w, b.c, b.parts(), to);
      dy[e] = to;
    }
  }
};

/// dz = A dy + B z + C of one row, for all kernel sizes and the edges that have them.
template <int V>
void differentiate_row(const ConvBundleBackward& p, const DestinationRows& rows, std::int64_t pixel,
                       std::int64_t local, const ThreadScratch& t) {
  const ConvBundle& b = p.bundle;
  for (int s = 0; s < b.sizes; ++s) {
    const int zc = b.z_channels(s);
    for (int e = 0; e < b.edges; ++e) {
      if (!b.has(s, e)) continue;
      const int first = b.slot(s, e) * b.c;
      for (int cb = 0; cb < b.c; cb += V) {
        const float* coefficients = p.edge[e].coefficients[s] + cb;
        const Lanes<V> a = load<V>(coefficients), bz = load<V>(coefficients + b.c),
                       constant = load<V>(coefficients + 2 * b.c);
        const float* z = p.z[s] + pixel * zc + first + cb;
        float* dz = t.dz[s] + local * zc + first + cb;
        for (int j = 0; j < b.w; ++j)
          store<V>(dz + std::int64_t{j} * zc, a * load<V>(rows.dy[e] + j * rows.stride + cb) +
                                                  bz * load<V>(z + std::int64_t{j} * zc) +
                                                  constant);
      }
    }
  }
}

/// The edges that have an operation without weights, and its mixing weights.
struct WeightedEdges {
  int count = 0, edge[ConvBundle::max_edges];
  float weight[ConvBundle::max_edges];

  void add(int e, const double* mixing) {
    if (!mixing) return;
    edge[count] = e;
    weight[count++] = static_cast<float>(*mixing);
  }
};

struct EdgeWeights {
  WeightedEdges skip, pool;
  bool weighs_bypass = false;
  float bypass[ConvBundle::max_edges];

  explicit EdgeWeights(const ConvBundleBackward& p) {
    for (int e = 0; e < p.bundle.edges; ++e) {
      skip.add(e, p.edge[e].skip_weight);
      pool.add(e, p.edge[e].pool_weight);
      const double* of = p.edge[e].bypass_weight;
      bypass[e] = of ? static_cast<float>(*of) : 1.0f;
      weighs_bypass = weighs_bypass || of;
    }
  }
};

/// sum[k] += sum_e weight_e dy_e of P pixels from column j on.
template <int V, int P>
void add_edges(Lanes<V> (&sum)[P], const WeightedEdges& edges, const DestinationRows& rows,
               std::int64_t j, int channel) {
  for (int i = 0; i < edges.count; ++i)
    add_weighted<V>(sum, edges.weight[i], rows.dy[edges.edge[i]] + j * rows.stride + channel,
                    rows.stride);
}

/// out [w, c] = sum_e weight_e dy_e, divided by the size of each pixel's pooling window.
template <int V>
void pooled_gradient(const ConvBundle& b, const DestinationRows& rows, const WeightedEdges& pool,
                     int row, float* out) {
  const int window_rows = window_count(row, b.h);
  for (int cb = 0; cb < b.c; cb += V)
    each_pixel_block(b.w, [&]<int P>(int j) {
      Lanes<V> sum[P] = {};
      add_edges<V>(sum, pool, rows, j, cb);
      for (int k = 0; k < P; ++k)
        store<V>(out + std::int64_t{j + k} * b.c + cb,
                 sum[k] * window_share(window_rows, j + k, b.w));
    });
}

/// dx of one row from the identity, the pool and the bypass.
template <int V>
void start_dx_row(const ConvBundleBackward& p, const DestinationRows& rows,
                  const EdgeWeights& weights, const RollingRows& pooled, std::int64_t pixel) {
  const ConvBundle& b = p.bundle;
  float* dx = p.dx + pixel * b.x_channels;
  for (int cb = 0; cb < b.c; cb += V)
    each_pixel_block(b.w, [&]<int P>(std::int64_t j) {
      Lanes<V> sum[P] = {};
      for (int k = 0; k < P && weights.pool.count > 0; ++k)
        sum[k] = pooled.box<V>((j + k) * b.c + cb);
      add_edges<V>(sum, weights.skip, rows, j, cb);
      for (int k = 0; k < P; ++k) store<V>(dx + (j + k) * b.x_channels + cb, sum[k]);
    });
}

/// dx of one row's bypassed channels; the mixed ones are overwritten later. `summed` is one pixel.
template <int V>
void bypass_row(const ConvBundleBackward& p, const EdgeWeights& weights, std::int64_t pixel,
                float* summed) {
  const ConvBundle& b = p.bundle;
  const PixelTranspose unshuffle(b.c, b.parts());
  const float* dy[ConvBundle::max_edges];
  for (std::int64_t at = pixel * b.x_channels; at < (pixel + b.w) * b.x_channels;
       at += b.x_channels) {
    for (int e = 0; e < b.edges; ++e) dy[e] = p.edge[e].dy + at;
    if (weights.weighs_bypass)
      add_weighted_arrays(dy, weights.bypass, b.edges, b.x_channels, summed);
    else
      add_arrays<V>(dy, b.edges, b.x_channels, summed);
    unshuffle(summed, p.dx + at);
  }
}

template <int V>
void start_image(const ConvBundleBackward& p, const EdgeWeights& weights, std::int64_t first,
                 std::int64_t local, const ThreadScratch& t) {
  const ConvBundle& b = p.bundle;
  RollingRows pooled(t.rolling, b.w, b.c);
  const auto buffer = [&](int row) {
    return t.gathered + std::int64_t{row % 2} * b.w * b.c * b.edges;
  };
  DestinationRows rows(p, first, buffer(0));
  const bool pools = p.dx && weights.pool.count > 0;
  if (pools) pooled_gradient<V>(b, rows, weights.pool, 0, pooled.row(0));
  for (int row = 0; row < b.h; ++row) {
    const std::int64_t pixel = first + std::int64_t{row} * b.w;
    DestinationRows next = rows;
    if (row + 1 < b.h) next = DestinationRows(p, pixel + b.w, buffer(row + 1));
    if (pools) {
      if (row + 1 < b.h)
        pooled_gradient<V>(b, next, weights.pool, row + 1, pooled.row(row + 1));
      else
        pooled.clear(row + 1);
      pooled.add_rows();
    }
    if (p.dx && b.parts() > 1) bypass_row<V>(p, weights, pixel, t.pixel);
    if (p.dx) start_dx_row<V>(p, rows, weights, pooled, pixel);
    differentiate_row<V>(p, rows, pixel, local + std::int64_t{row} * b.w, t);
    rows = next;
  }
}

/// dx += 1[x > 0] sum_s du_s.
template <int V>
void add_rectified(const ConvBundleBackward& p, std::int64_t first, std::int64_t pixels, int c_pad,
                   const ThreadScratch& t) {
  const ConvBundle& b = p.bundle;
  for (std::int64_t i = 0; i < pixels; ++i)
    for (int cb = 0; cb < b.c; cb += V) {
      Lanes<V> sum = load<V>(t.du[0] + i * c_pad + cb);
      for (int s = 1; s < b.sizes; ++s) sum += load<V>(t.du[s] + i * c_pad + cb);
      const std::int64_t at = (first + i) * b.x_channels + cb;
      const Lanes<V> x = load<V>(p.x + at);
      store<V>(p.dx + at, load<V>(p.dx + at) + (x > 0.0f ? sum : Lanes<V>{}));
    }
}

bool wants_weights(const ConvBundleBackward& p) {
  return std::any_of(p.dweight, p.dweight + p.bundle.sizes,
                     [](const float* d) { return d != nullptr; });
}

void accumulate_dweight(const ConvBundleBackward& p, const BundleChunk& chunk, ThreadScratch& t) {
  for (int s = 0; s < chunk.bundle.sizes; ++s) {
    if (!p.dweight[s]) continue;
    const BundleConvolution plan = chunk.plan(s, ConvPass::backward_weight);
    if (t.started)
      plan.add_weight_gradient(t.u, t.dz[s], t.dweight[s], t.convolution);
    else
      plan.run(t.u, t.dweight[s], t.dz[s], t.convolution);
  }
  t.started = true;
}

template <int V>
void run_chunk(const ConvBundleBackward& p, const BundleChunk& chunk,
               const BackwardScratch& scratch, const EdgeWeights& weights, ThreadScratch& t,
               std::int64_t index) {
  const ConvBundle& b = p.bundle;
  const std::int64_t first = index * chunk.pixels();
  for (int i = 0; i < chunk.images; ++i)
    start_image<V>(p, weights, first + i * chunk.image_pixels(), i * chunk.image_pixels(), t);
  if (p.dx) {
    for (int s = 0; s < b.sizes; ++s)
      chunk.plan(s, ConvPass::backward_data)
          .run(t.du[s], scratch.packed[s], t.dz[s], t.convolution);
    if (b.sizes > 0) add_rectified<V>(p, first, chunk.pixels(), chunk.c_pad, t);
  }
  if (wants_weights(p)) {
    rectify_pixels(b, p.x + first * b.x_channels, chunk.pixels(), chunk.c_pad, t.u);
    accumulate_dweight(p, chunk, t);
  }
}

/// dweight = sum over threads, in order.
void finish_dweight(const ConvBundleBackward& p, const BundleChunk& chunk,
                    BackwardScratch& scratch) {
  const ConvBundle& b = p.bundle;
  for (int s = 0; s < b.sizes; ++s) {
    if (!p.dweight[s]) continue;
    const BundleConvolution plan = chunk.plan(s, ConvPass::backward_weight);
    const std::int64_t count = static_cast<std::int64_t>(plan.packed_bytes() / sizeof(float));
    float* total = nullptr;
    for (ThreadScratch& t : scratch.threads) {
      if (!t.started) continue;
      if (!total) {
        total = t.dweight[s];
        continue;
      }
      const float* __restrict part = t.dweight[s];
#pragma omp parallel for simd schedule(static)
      for (std::int64_t i = 0; i < count; ++i) total[i] += part[i];
    }
    plan.unpack(total, p.dweight[s], b.rows(s), b.c, scratch.staging);
  }
}

}  // namespace

template <>
std::size_t conv_bundle_backward_workspace<Device::cpu>(const ConvBundle& p) {
  return BackwardScratch(BundleChunk(p), nullptr).bytes;
}

template <>
void conv_bundle_backward<Device::cpu>(const ConvBundleBackward& p, void* workspace, Stream) {
  const BundleChunk chunk(p.bundle);
  BackwardScratch scratch(chunk, workspace);
  const ConvBundle& b = p.bundle;
  const EdgeWeights weights(p);
  for (int s = 0; s < b.sizes && p.dx; ++s)
    chunk.plan(s, ConvPass::backward_data)
        .pack(p.weight[s], b.rows(s), b.c, scratch.packed[s], scratch.staging);
  for (int s = 0; s < b.sizes; ++s)
    for (ThreadScratch& t : scratch.threads)
      if (b.z_channels(s) != b.rows(s))  // the padding channels of dz stay zero
        std::fill_n(t.dz[s], chunk.pixels() * b.z_channels(s), 0.0f);
  dispatch_lanes(b.c, [&]<int V>() {
    parallel_ranges(chunk.count(), [&](int thread, std::int64_t begin, std::int64_t end) {
      for (std::int64_t index = begin; index < end; ++index)
        run_chunk<V>(p, chunk, scratch, weights, scratch.threads[thread], index);
    });
  });
  if (wants_weights(p)) finish_dweight(p, chunk, scratch);
}

}  // namespace drnas::kernels
