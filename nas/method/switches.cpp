// SPDX-License-Identifier: MIT
#include "nas/method/switches.h"

#include <algorithm>
#include <cmath>

namespace drnas {

std::vector<double> switch_weights(int columns, std::span<const double> switches) {
  std::vector<double> theta(switches.begin(), switches.end());
  const auto row = static_cast<std::size_t>(columns);
  for (std::size_t first = 0; first < theta.size(); first += row)
    for (std::size_t i = first; i + 1 < first + row; ++i) theta[i] *= theta[first + row - 1];
  return theta;
}

std::vector<double> switch_gradient(int columns, std::span<const double> switches,
                                    std::span<const double> dtheta) {
  std::vector<double> gradient(dtheta.begin(), dtheta.end());
  const auto row = static_cast<std::size_t>(columns);
  for (std::size_t first = 0; first < gradient.size(); first += row) {
    const std::size_t edge = first + row - 1;
    for (std::size_t i = first; i < edge; ++i) {
      gradient[edge] += switches[i] * dtheta[i];
      gradient[i] = switches[edge] * dtheta[i];
    }
  }
  return gradient;
}

void proximal_step(std::span<double> switches, std::span<const double> gradient,
                   std::span<const double> penalty, double rate) {
  for (std::size_t i = 0; i < switches.size(); ++i) {
    const double z = switches[i] - rate * gradient[i];
    const double left = std::abs(z) - rate * penalty[i];
    switches[i] = left > 0 ? std::copysign(left, z) : 0;
  }
}

std::optional<std::vector<double>> switch_curvature(
    const SwitchGradient& gradient, std::span<const double> switches, double step,
    const std::function<bool(std::int64_t done, std::int64_t of)>& tick) {
  const std::vector<double> here = gradient(switches);
  const std::int64_t passes =
      1 + 2 * (std::ssize(here) - std::count(here.begin(), here.end(), 0.0));
  std::int64_t done = 1;
  if (!tick(done, passes)) return {};
  std::vector<double> moved(switches.begin(), switches.end()), curvature(here.size());
  for (std::size_t i = 0; i < here.size(); ++i) {
    if (here[i] == 0) continue;
    moved[i] = switches[i] + step;
    const double above = gradient(moved)[i];
    moved[i] = switches[i] - step;
    const double below = gradient(moved)[i];
    moved[i] = switches[i];
    curvature[i] = (above - below) / (2 * step);
    if (!tick(done += 2, passes)) return {};
  }
  return curvature;
}

void laplace_step(int columns, std::span<const double> switches, std::span<const double> curvature,
                  double lambda, std::span<double> gamma, std::span<double> omega) {
  const auto own = [&](std::size_t i) {
    const double h = std::clamp(curvature[i] / lambda, least_curvature, most_curvature);
    omega[i] = 1 / std::sqrt(gamma[i] + 1 / h);
    gamma[i] = curvature[i] == 0 ? 0 : std::abs(switches[i]) / omega[i];
  };
  const auto row = static_cast<std::size_t>(columns);
  for (std::size_t first = 0; first < switches.size(); first += row) {
    const std::size_t edge = first + row - 1;
    own(edge);
    for (std::size_t i = first; i < edge; ++i) {
      own(i);
      const double sum = gamma[i] + gamma[edge];
      gamma[i] = sum > 0 ? gamma[i] * gamma[edge] / sum : 0;
    }
  }
}

}  // namespace drnas
