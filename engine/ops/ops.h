// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/tape.h"
#include "kernels/train/cross_entropy.h"

namespace drnas {

/// Differentiable operations on NHWC tensors, float32 or on CUDA bfloat16. Each computes at once,
/// records itself on the tape and says in one line what it saves. `name` appears in errors.

struct Conv2dOptions {
  int stride = 1;
  int padding = 0;
  bool relu_input =
      false;  ///< convolve max(0, x); the rectified copy is rebuilt in backward, never saved
};
/// weight [c_out, kernel, kernel, c_in]. Saves x.
Variable conv2d(Tape& tape, const std::string& name, const Variable& x, const Variable& weight,
                Conv2dOptions options);

/// The same values in another storage type, float32 or bfloat16. Saves nothing.
Variable cast(Tape& tape, const std::string& name, const Variable& x, DType to);

/// Running statistics and modes of a batch normalisation.
struct BatchNormOptions {
  bool training = true;
  bool relu = false;
  float eps = 1e-5f, momentum = 0.1f;
};
/// gamma and beta may be empty (1 and 0). Saves x, mean and 1/std. Without `training` the running
/// statistics normalise, and no gradient goes through them.
Variable batch_norm(Tape& tape, const std::string& name, const Variable& x, const Variable& gamma,
                    const Variable& beta, const Tensor& running_mean, const Tensor& running_var,
                    BatchNormOptions options);

/// added + batch_norm(x) in evaluation mode, in one pass over both. Not on a tape that records.
Variable add_batch_norm(Tape& tape, const std::string& name, const Variable& added,
                        const Variable& x, const Variable& gamma, const Variable& beta,
                        const Tensor& running_mean, const Tensor& running_var);

/// Average pooling that counts only pixels inside the image. Saves nothing.
Variable average_pool(Tape& tape, const std::string& name, const Variable& x, int kernel,
                      int stride, int padding);
/// Mean over all pixels: [n, h, w, c] -> [n, 1, 1, c], float32. Saves nothing.
Variable global_average(Tape& tape, const std::string& name, const Variable& x);
/// a + b. Saves nothing.
Variable add(Tape& tape, const std::string& name, const Variable& a, const Variable& b);
/// x [n, 1, 1, in] W^T + bias, weight [1, 1, out, in], bias [1, 1, 1, out]. Saves x.
Variable linear(Tape& tape, const std::string& name, const Variable& x, const Variable& weight,
                const Variable& bias);

struct LossResult {
  Variable loss;  ///< scalar
  Tensor result;  ///< on the device: a kernels::CrossEntropyResult

  /// Waits for the device.
  kernels::CrossEntropyResult read() const;
  /// From the two words of `result`.
  static kernels::CrossEntropyResult decode(std::span<const double> words);
};
/// Mean cross entropy of logits [n, 1, 1, classes] against labels [1, 1, 1, n] (int32). Saves both.
/// `result` (two float64) takes what is reported; an empty one is allocated.
LossResult cross_entropy(Tape& tape, const std::string& name, const Variable& logits,
                         const Tensor& labels, float smoothing = 0.0f, Tensor result = {});

}  // namespace drnas
