// SPDX-License-Identifier: MIT
// The arithmetic of BayesNAS (Zhou et al., ICML 2019) on its switches: numbers, not normalised, by
// which operations and whole edges are multiplied. Tables are row-major [edges][operations + 1];
// the last column is the edge's own switch.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace drnas {

/// theta_o = s_o s_edge, theta_edge = s_edge.
std::vector<double> switch_weights(int columns, std::span<const double> switches);
/// dL/ds from dL/dtheta.
std::vector<double> switch_gradient(int columns, std::span<const double> switches,
                                    std::span<const double> dtheta);

/// A step of gradient descent on the loss and the proximal step of the penalty sum_i w_i |s_i|:
/// s_i <- sign(z) max(|z| - rate w_i, 0), z = s_i - rate g_i.
void proximal_step(std::span<double> switches, std::span<const double> gradient,
                   std::span<const double> penalty, double rate);

/// dL/ds at given switches.
using SwitchGradient = std::function<std::vector<double>(std::span<const double> switches)>;

/// The diagonal of the Hessian of the loss by the switches, by central differences of `step`:
/// (g_i(s + h e_i) - g_i(s - h e_i)) / 2h. Exactly zero, without a pass, where the gradient is: the
/// loss does not depend on that switch. `tick` is told of gradients done, and of how many; where it
/// returns false there is no result.
std::optional<std::vector<double>> switch_curvature(
    const SwitchGradient& gradient, std::span<const double> switches, double step,
    const std::function<bool(std::int64_t done, std::int64_t of)>& tick);

/// The Laplace approximation of each switch's posterior by its curvature H of the loss, and what
/// follows for its prior, with h = H / lambda between `least_curvature` and `most_curvature`:
///   C = 1 / (1/gamma + h),   omega = sqrt(|1/gamma - C/gamma^2|),   gamma <- |s| / omega
/// of edges first, then of operations, whose gamma <- 1 / (1/gamma + 1/gamma of their edge). In the
/// form omega = 1 / sqrt(gamma + 1/h), which is the same, gamma may be zero, and nothing else is
/// divided by. gamma of a switch without curvature (H = 0) is zero.
void laplace_step(int columns, std::span<const double> switches, std::span<const double> curvature,
                  double lambda, std::span<double> gamma, std::span<double> omega);
inline constexpr double least_curvature = 1e-2, most_curvature = 1e12;

}  // namespace drnas
