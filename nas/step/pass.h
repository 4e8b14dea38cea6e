// SPDX-License-Identifier: MIT
// One forward pass of a supernet over a batch, what it may compute and what it may change. All that
// a search does with a network is a sequence of passes.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/tensor.h"
#include "nas/space/supernet.h"

namespace drnas {

/// Where the mixing weights of a pass come from.
enum class PassTheta {
  drawn,  ///< from the method's law, by the number of the draw
  given   ///< by the caller
};
/// What batch norm normalises by.
enum class PassNorm {
  batch,       ///< the batch's statistics, which move the running ones
  batch_only,  ///< the batch's statistics; the running ones stay
  running      ///< the running statistics
};
/// What moves at the end of a pass; `both`: alpha first, each by the gradients of this pass.
enum class PassUpdate { nothing, weights, alpha, both };

class ThetaSource;

struct PassSetting {
  const char* name;  ///< in profiles and messages; one setting, one name
  PassTheta theta = PassTheta::drawn;
  PassNorm norm = PassNorm::batch;
  bool weight_gradients = false, theta_gradient = false;
  PassUpdate update = PassUpdate::nothing;
  OperationsRun run = OperationsRun::all;
  ThetaSource* source = nullptr;  ///< of drawn theta; null: the trainer's

  bool updates_weights() const {
    return update == PassUpdate::weights || update == PassUpdate::both;
  }
  bool updates_alpha() const { return update == PassUpdate::alpha || update == PassUpdate::both; }

  bool operator==(const PassSetting& o) const {
    return std::string_view(name) == o.name && theta == o.theta && norm == o.norm &&
           weight_gradients == o.weight_gradients && theta_gradient == o.theta_gradient &&
           update == o.update && run == o.run && source == o.source;
  }
  /// The same where only operations of a mixing weight other than zero run.
  PassSetting running(OperationsRun which) const {
    PassSetting changed = *this;
    changed.run = which;
    return changed;
  }
};

/// The passes of a bilevel search, and probes without and with gradient.
namespace passes {
inline constexpr PassSetting architecture{
    .name = "architecture step", .theta_gradient = true, .update = PassUpdate::alpha};
inline constexpr PassSetting weights{
    .name = "weight step", .weight_gradients = true, .update = PassUpdate::weights};
/// Weights and alpha from one batch.
inline constexpr PassSetting joint{.name = "joint step",
                                   .weight_gradients = true,
                                   .theta_gradient = true,
                                   .update = PassUpdate::both};
inline constexpr PassSetting evaluation{.name = "evaluation", .norm = PassNorm::running};
inline constexpr PassSetting probe{
    .name = "probe", .theta = PassTheta::given, .norm = PassNorm::batch_only};
inline constexpr PassSetting probe_gradient{.name = "probe with gradient",
                                            .theta = PassTheta::given,
                                            .norm = PassNorm::batch_only,
                                            .theta_gradient = true};
/// Weights learn at mixing weights that stay.
inline constexpr PassSetting tuning{.name = "fine-tuning step",
                                    .theta = PassTheta::given,
                                    .weight_gradients = true,
                                    .update = PassUpdate::weights};
}  // namespace passes

/// Gives mixing weights to passes and takes their gradient back: what a pass knows of a law.
class ThetaSource {
 public:
  virtual ~ThetaSource() = default;
  /// theta [1, 1, edges, operations] float64 of forward pass number *step (each pass has its own
  /// number), read from the device's memory. Valid until the next call.
  virtual const Tensor& draw(const std::uint32_t* step) = 0;
  /// Overwrites alpha_gradient() with the gradient for alpha, from dL/dtheta of the last draw.
  virtual void backward(const Tensor& dtheta) = 0;
  /// dL/dalpha [1, 1, edges, operations] float64.
  virtual const Tensor& alpha_gradient() const = 0;
};

/// Moves alpha at the end of a pass: what a pass knows of an alpha rule.
class AlphaUpdate {
 public:
  virtual ~AlphaUpdate() = default;
  /// From dL/dtheta of the last draw; leaves the squared norm of alpha's gradient in squared_norm
  /// [1] float64, and moves nothing where that is not finite. Recorded with the step: reads what
  /// changes from step to step from the device's memory.
  virtual void update(const Tensor& dtheta, const Tensor& squared_norm) = 0;
};

}  // namespace drnas
