// SPDX-License-Identifier: MIT
// Products on packed panels, a block of pixels of one image at a time: weights are packed once a
// call, pixels block by block into the caches, where ReLU costs next to nothing. Where stride is 2
// the sampled pixels go through a dense copy of the block.
#include "kernels/planes/conv1x1_planes.h"

#include <algorithm>

#include "kernels/core/carver.h"
#include "kernels/planes/conv1x1_panels.h"

namespace drnas::kernels {
namespace {

/// Packs a matrix of `rows` rows into panels [rows / tile_rows, total_depth, tile_rows], depth by
/// depth from the start of each; element (r, k) is at r * row_step + k * depth_step.
void pack_left(const float* matrix, std::int64_t row_step, std::int64_t depth_step, int rows,
               int depth, int total_depth, float* panels) {
  parallel_ranges((rows + tile_rows - 1) / tile_rows, [&](int, std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) {
      const float* from = matrix + i * tile_rows * row_step;
      float* to = panels + i * tile_rows * total_depth;
      const int present = static_cast<int>(rows - i * tile_rows);
      for (int k = 0; k < depth; ++k)
        for (int r = 0; r < tile_rows; ++r)
          to[k * tile_rows + r] = r < present ? from[r * row_step + k * depth_step] : 0.0f;
    }
  });
}

std::int64_t weight_floats(const Conv1x1Planes& p) {
  std::int64_t floats = 0;
  for (int o = 0; o < p.outputs; ++o) floats += std::int64_t{p.c_out[o]} * p.c_in;
  return floats;
}

/// What both passes lay out in their workspace.
struct Scratch {
  float* weights[Conv1x1Planes::max_outputs];  ///< packed, by output or (backward) by offset
  float* partial = nullptr;                    ///< dweight [thread][output][c_out, c_in]
  std::size_t bytes;

  Scratch(const Conv1x1Planes& p, bool backward, void* workspace) {
    Carver carver(workspace);
    if (backward) {
      for (int offset = 0; offset < p.stride; ++offset)
        weights[offset] =
            carver.take<float>(round_up(p.c_in, tile_rows) * Conv1x1Group(p, offset).rows);
      partial = carver.take<float>(thread_count() * weight_floats(p));
    } else {
      for (int o = 0; o < p.outputs; ++o)
        weights[o] = carver.take<float>(round_up(p.c_out[o], tile_rows) * p.c_in);
    }
    const PixelBlocks blocks(p);
    thread_panels_ = blocks.panel_floats(p);
    thread_sampled_ = blocks.sampled_floats(p);
    panels_ = carver.take<float>(thread_count() * thread_panels_);
    sampled_ = carver.take<float>(thread_count() * thread_sampled_);
    bytes = carver.bytes();
  }
  float* panels(int thread) const { return panels_ + thread * thread_panels_; }
  float* sampled(int thread) const { return sampled_ + thread * thread_sampled_; }

 private:
  std::int64_t thread_panels_, thread_sampled_;
  float *panels_, *sampled_;
};

template <bool Relu>
void forward_block(const Conv1x1Forward& f, const Scratch& scratch, const PixelBlocks& blocks,
                   std::int64_t at, std::int64_t end, int thread) {
  const Conv1x1Planes& p = f.shape;
  const PixelBlock block = blocks[at];
  float* panels = scratch.panels(thread);
  for (int offset = 0; offset < p.stride; ++offset) {
    const Conv1x1Group group(p, offset);
    if (group.count == 0) continue;
    pack_pixels<Relu>(read_pixels(p, f.x, block, offset, scratch.sampled(thread)), block.count,
                      p.c_in, p.c_in, panels);
    Upcoming upcoming =
        following_pixels(p, f.x, blocks, at, end, p.c_in, tile_count(group.rows, block.count));
    for (int g = 0; g < group.count; ++g) {
      const int o = group.output[g];
      multiply_panels(p.c_in, scratch.weights[o], p.c_out[o], panels, block.count,
                      {f.y[o].data + block.image * f.y[o].stride + block.first, blocks.pixels},
                      upcoming);
    }
  }
}

/// One row of dx [2 width] from a sampled gradient [width]; `to` and `x` start at the row.
template <bool Relu, bool Accumulate, int Offset>
void scatter_row(const float* __restrict gradient, const float* __restrict x, int width,
                 float* __restrict to) {
  for (int j = 0; j < width; ++j) {
    float value = gradient[j];
    if constexpr (Relu) value = x[2 * j + Offset] > 0.0f ? value : 0.0f;
    if constexpr (Accumulate) {
      to[2 * j + Offset] += value;
    } else {
      to[2 * j + Offset] = value;
      to[2 * j + 1 - Offset] = 0.0f;
    }
  }
}

/// The sampled gradient [c_in, count] of one block and offset into the rows of dx it belongs to.
template <bool Relu, bool Accumulate, int Offset>
void scatter_block(const Conv1x1Backward& b, const PixelBlock& block, const float* gradient) {
  const Conv1x1Planes& p = b.shape;
  const int width = p.out_w();
  for (int k = 0; k < p.c_in; ++k)
    for (int i = block.first / width; i < (block.first + block.count) / width; ++i) {
      const std::int64_t row = (std::int64_t{k} * p.h + 2 * i + Offset) * p.w;
      const float* x = Relu ? b.x.data + block.image * b.x.stride + row : nullptr;
      scatter_row<Relu, Accumulate, Offset>(gradient, x, width,
                                            b.dx.data + block.image * b.dx.stride + row);
      gradient += width;
    }
}

void scatter(const Conv1x1Backward& b, const PixelBlock& block, int offset, const float* gradient) {
  using Scatter = void (*)(const Conv1x1Backward&, const PixelBlock&, const float*);
  static constexpr Scatter all[2][2][2] = {
      {{scatter_block<false, false, 0>, scatter_block<false, false, 1>},
       {scatter_block<false, true, 0>, scatter_block<false, true, 1>}},
      {{scatter_block<true, false, 0>, scatter_block<true, false, 1>},
       {scatter_block<true, true, 0>, scatter_block<true, true, 1>}}};
  all[b.shape.relu][b.accumulate][offset](b, block, gradient);
}

/// dx of one block; a group's outputs form one product over all their channels.
void data_block(const Conv1x1Backward& b, const Scratch& scratch, const PixelBlock& block,
                int thread) {
  const Conv1x1Planes& p = b.shape;
  const std::int64_t pixels = std::int64_t{p.out_h()} * p.out_w();
  float *panels = scratch.panels(thread), *sampled = scratch.sampled(thread);
  for (int offset = 0; offset < p.stride; ++offset) {
    const Conv1x1Group group(p, offset);
    if (group.count == 0) {
      if (b.accumulate) continue;
      std::fill_n(sampled, std::int64_t{p.c_in} * block.count, 0.0f);
      scatter(b, block, offset, sampled);
      continue;
    }
    float* part = panels;
    for (int g = 0; g < group.count; ++g) {
      const int o = group.output[g];
      pack_pixels<false>({b.dy[o].data + block.image * b.dy[o].stride + block.first, pixels},
                         block.count, p.c_out[o], group.rows, part);
      part += std::ptrdiff_t{p.c_out[o]} * tile_columns;
    }
    Upcoming none;
    TileStore to{sampled, block.count};
    if (p.stride == 1)
      to = {b.dx.data + block.image * b.dx.stride + block.first, pixels, b.accumulate,
            p.relu ? b.x.data + block.image * b.x.stride + block.first : nullptr};
    multiply_panels(group.rows, scratch.weights[offset], p.c_in, panels, block.count, to, none);
    if (p.stride > 1) scatter(b, block, offset, sampled);
  }
}

/// Adds one block's part to a thread's dweight.
template <bool Relu>
void weight_block(const Conv1x1Backward& b, const Scratch& scratch, const PixelBlocks& blocks,
                  std::int64_t at, std::int64_t end, int thread) {
  const Conv1x1Planes& p = b.shape;
  const PixelBlock block = blocks[at];
  const std::int64_t pixels = std::int64_t{p.out_h()} * p.out_w();
  float* panel = scratch.panels(thread);
  for (int offset = 0; offset < p.stride; ++offset) {
    const Conv1x1Group group(p, offset);
    if (group.count == 0) continue;
    const PixelSource x = read_pixels(p, b.x, block, offset, scratch.sampled(thread));
    for (int channel = 0; channel < p.c_in; channel += tile_columns) {
      const int channels = std::min(tile_columns, p.c_in - channel);
      pack_transposed<Relu>({x.data + channel * x.plane, x.plane}, block.count, channels, panel);
      // Planes are read soon after: those that follow, or the first of the next block.
      const int rest = p.c_in - channel - channels, tiles = tile_count(group.rows, channels);
      Upcoming upcoming = rest > 0 ? Upcoming(x.data + (channel + channels) * x.plane, x.plane,
                                              std::min(tile_columns, rest), block.count, tiles)
                                   : following_pixels(p, b.x, blocks, at, end,
                                                      std::min(tile_columns, p.c_in), tiles);
      float* partial = scratch.partial + thread * weight_floats(p) + channel;
      for (int o = 0; o < p.outputs; partial += std::int64_t{p.c_out[o++]} * p.c_in) {
        if (p.offset[o] != offset || !b.dweight[o]) continue;
        const float* dy = b.dy[o].data + block.image * b.dy[o].stride + block.first;
        for (int row = 0; row < p.c_out[o]; row += tile_rows) {
          const int rows = std::min(tile_rows, p.c_out[o] - row);
          upcoming.request();
          multiply_tile(block.count, LeftRows(dy + row * pixels, pixels, rows), panel, rows,
                        channels, {partial + std::int64_t{row} * p.c_in, p.c_in, true});
        }
      }
    }
  }
}

/// dweight = the threads' parts, added in order.
void add_partials(const Conv1x1Backward& b, const Scratch& scratch) {
  const Conv1x1Planes& p = b.shape;
  const std::int64_t all = weight_floats(p);
  const int threads = thread_count();
  const float* partial = scratch.partial;
  for (int o = 0; o < p.outputs; partial += std::int64_t{p.c_out[o++]} * p.c_in) {
    if (!b.dweight[o]) continue;
    float* __restrict out = b.dweight[o];
    parallel_ranges(std::int64_t{p.c_out[o]} * p.c_in,
                    [&](int, std::int64_t begin, std::int64_t end) {
                      std::copy(partial + begin, partial + end, out + begin);
                      for (int t = 1; t < threads; ++t) {
                        const float* __restrict part = partial + t * all;
#pragma omp simd
                        for (std::int64_t i = begin; i < end; ++i) out[i] += part[i];
                      }
                    });
  }
}

}  // namespace

template <>
std::size_t conv1x1_forward_workspace<Device::cpu>(const Conv1x1Planes& p) {
  return Scratch(p, false, nullptr).bytes;
}

template <>
void conv1x1_forward<Device::cpu>(const Conv1x1Forward& f, void* workspace, Stream) {
  const Conv1x1Planes& p = f.shape;
  const Scratch scratch(p, false, workspace);
  for (int o = 0; o < p.outputs; ++o)
    pack_left(f.weight[o], p.c_in, 1, p.c_out[o], p.c_in, p.c_in, scratch.weights[o]);
  const PixelBlocks blocks(p);
  parallel_ranges(blocks.total, [&](int thread, std::int64_t i, std::int64_t end) {
    for (; i < end; ++i)
      p.relu ? forward_block<true>(f, scratch, blocks, i, end, thread)
             : forward_block<false>(f, scratch, blocks, i, end, thread);
  });
}

template <>
std::size_t conv1x1_backward_workspace<Device::cpu>(const Conv1x1Planes& p) {
  return Scratch(p, true, nullptr).bytes;
}

template <>
void conv1x1_backward<Device::cpu>(const Conv1x1Backward& b, void* workspace, Stream) {
  const Conv1x1Planes& p = b.shape;
  const Scratch scratch(p, true, workspace);
  const bool data = b.dx.data != nullptr,
             weights = std::any_of(b.dweight, b.dweight + p.outputs, [](float*dw) { return dw; });
  for (int offset = 0; data && offset < p.stride; ++offset) {
    const Conv1x1Group group(p, offset);
    float* to = scratch.weights[offset];
    for (int g = 0; g < group.count; ++g) {
      const int o = group.output[g];
      pack_left(b.weight[o], 1, p.c_in, p.c_in, p.c_out[o], group.rows, to);
      to += std::ptrdiff_t{p.c_out[o]} * tile_rows;
    }
  }
  const std::int64_t partial = weights ? weight_floats(p) : 0;
  parallel_ranges(thread_count() * partial, [&](int, std::int64_t begin, std::int64_t end) {
    std::fill(scratch.partial + begin, scratch.partial + end, 0.0f);
  });
  const PixelBlocks blocks(p);
  parallel_ranges(blocks.total, [&](int thread, std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) {
      if (weights) {
        p.relu ? weight_block<true>(b, scratch, blocks, i, end, thread)
               : weight_block<false>(b, scratch, blocks, i, end, thread);
      }
      if (data) data_block(b, scratch, blocks[i], thread);
    }
  });
  if (weights) add_partials(b, scratch);
}

}  // namespace drnas::kernels
