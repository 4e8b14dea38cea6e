// SPDX-License-Identifier: MIT
#include "nas/diagnostics/hessian.h"

// With AVX-512, GCC 12 takes undefined registers of its own intrinsics for a mistake (bug 105593).
#pragma GCC diagnostic push
#ifndef __clang__  // knows no such warning
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <Eigen/Eigenvalues>
#pragma GCC diagnostic pop
#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/core/error.h"

namespace drnas {
namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Map<const RowMajor> view(const Matrix& m) { return {m.values.data(), m.size, m.size}; }

/// Operations of each row.
std::vector<int> row_sizes(const SimplexRows& rows) {
  std::vector<int> sizes(static_cast<std::size_t>(rows.rows));
  for (const int row : rows.row) ++sizes[static_cast<std::size_t>(row)];
  return sizes;
}

}  // namespace

std::optional<Matrix> hessian(const Objective& objective, std::span<const double> point,
                              std::span<const int> active, double step,
                              const std::function<bool(int done)>& tick) {
  const int n = static_cast<int>(active.size());
  Matrix columns(n);
  std::vector<double> x(point.begin(), point.end()), above, below;
  for (int j = 0; j < n; ++j) {
    const auto moved = static_cast<std::size_t>(active[static_cast<std::size_t>(j)]);
    x[moved] = point[moved] + step;
    objective(x, &above);
    x[moved] = point[moved] - step;
    objective(x, &below);
    x[moved] = point[moved];
    for (int i = 0; i < n; ++i) {
      const auto entry = static_cast<std::size_t>(active[static_cast<std::size_t>(i)]);
      columns.at(i, j) = (above[entry] - below[entry]) / (2 * step);
    }
    if (!tick(j + 1)) return {};
  }
  Matrix symmetric(n);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) symmetric.at(i, j) = (columns.at(i, j) + columns.at(j, i)) / 2;
  return symmetric;
}

bool is_finite(const Matrix& m) {
  return std::all_of(m.values.begin(), m.values.end(), [](double v) { return std::isfinite(v); });
}

Curvature curvature(const Matrix& symmetric) {
  if (!is_finite(symmetric)) throw Error("Hessian: an entry is not finite");
  Curvature c;
  if (symmetric.size == 0) return c;
  const auto h = view(symmetric);
  const Eigen::VectorXd eigenvalues =
      Eigen::SelfAdjointEigenSolver<RowMajor>(h, Eigen::EigenvaluesOnly).eigenvalues();
  const double least = eigenvalues(0), largest = eigenvalues(eigenvalues.size() - 1);
  c.norm = h.norm();
  c.trace = h.trace();
  c.eigenvalue = std::abs(least) > std::abs(largest) ? least : largest;
  c.spectral_norm = std::abs(c.eigenvalue);
  c.least_eigenvalue = least;
  return c;
}

Matrix softmax_hessian(const Matrix& h, std::span<const double> gradient,
                       std::span<const double> theta, const SimplexRows& rows) {
  const int n = h.size;
  std::vector<double> mean_gradient(static_cast<std::size_t>(rows.rows));
  for (int i = 0; i < n; ++i) mean_gradient[rows.row[i]] += gradient[i] * theta[i];
  RowMajor jacobian = RowMajor::Zero(n, n), own = RowMajor::Zero(n, n);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      if (rows.row[i] != rows.row[j]) continue;
      const double mean = mean_gradient[rows.row[i]];
      jacobian(i, j) = (i == j ? theta[i] : 0.0) - theta[i] * theta[j];
      own(i, j) = (i == j ? theta[i] * (gradient[i] - mean) : 0.0) -
                  theta[i] * theta[j] * (gradient[i] + gradient[j] - 2 * mean);
    }
  Matrix result(n);
  Eigen::Map<RowMajor>(result.values.data(), n, n) = jacobian * view(h) * jacobian + own;
  return result;
}

LossBound loss_bound(double loss, const Matrix& mu_hessian, const SimplexRows& rows,
                     std::span<const double> concentrations) {
  LossBound bound;
  bound.loss = loss;
  for (const double beta : concentrations) bound.delta = std::max(bound.delta, beta - 1);
  const std::vector<int> sizes = row_sizes(rows);
  for (int i = 0; i < mu_hessian.size; ++i) {
    const double ops = sizes[static_cast<std::size_t>(rows.row[i])];
    const double c = ((1 - 2 / ops) + 1 / ops) / (1 + bound.delta);
    bound.trace_term += 0.5 * c * mu_hessian.at(i, i);
  }
  return bound;
}

}  // namespace drnas
