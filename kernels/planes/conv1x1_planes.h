// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/planes/planes.h"

namespace drnas::kernels {

/// 1x1 convolutions on planes that read one input: y_o = W_o u, u = x or max(0, x), on every
/// `stride`-th pixel from (offset, offset) on. Stride 2 with offsets 0 and 1 makes the two halves
/// of a factorised reduction; several outputs serve cells that preprocess one tensor alike. As
/// matrix products image by image: [c_out, c_in] x [c_in, pixels].
/// `gate` of the calls, with stride 2: the operation's mixing weight, or null. Where it is zero the
/// operation does not run: on CUDA y is not there, dy need not be, dweight and dx's share are zero.
struct Conv1x1Planes {
  static constexpr int max_outputs = 4;

  int n, c_in, h, w;
  bool relu;
  int stride;  ///< 1 or 2; h and w are even where 2
  int outputs;
  int c_out[max_outputs];
  int offset[max_outputs];  ///< 0, or 1 where stride is 2

  DRNAS_HD int out_h() const { return h / stride; }
  DRNAS_HD int out_w() const { return w / stride; }
};
struct Conv1x1Forward {
  Conv1x1Planes shape;
  ConstPlanes x;
  const float* weight[Conv1x1Planes::max_outputs];  ///< [c_out, c_in]
  Planes y[Conv1x1Planes::max_outputs];             ///< [n, c_out, out_h, out_w] overwritten
  const double* gate = nullptr;
};
template <Device D>
std::size_t conv1x1_forward_workspace(const Conv1x1Planes& p);
template <Device D>
void conv1x1_forward(const Conv1x1Forward& p, void* workspace, Stream);

/// dx = sum_o W_o^T dy_o at the pixels read (zero elsewhere), masked where relu; overwritten, or
/// added to where `accumulate`; null: unwanted. dweight overwritten, null where unwanted.
struct Conv1x1Backward {
  Conv1x1Planes shape;
  ConstPlanes x;
  const float* weight[Conv1x1Planes::max_outputs];
  ConstPlanes dy[Conv1x1Planes::max_outputs];
  Planes dx;
  bool accumulate;
  float* dweight[Conv1x1Planes::max_outputs];
  const double* gate = nullptr;
};
template <Device D>
std::size_t conv1x1_backward_workspace(const Conv1x1Planes& p);
template <Device D>
void conv1x1_backward(const Conv1x1Backward& p, void* workspace, Stream);

}  // namespace drnas::kernels
