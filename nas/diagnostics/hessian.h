// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace drnas {

/// What --hessian asks for.
struct HessianOptions {
  int every = 0;  ///< epochs between two Hessians; 0: none
  /// Of the central differences, in units of theta. ReLU and pooling give the loss kinks:
  /// differences of small steps measure single ones (on 64 images of 32 pixels the dominant
  /// eigenvalue came out as 1.27, 0.51, 0.35, 0.32 with steps of 0.001, 0.01, 0.05, 0.1).
  double step = 0.05;
  int samples = 32;  ///< draws of theta for the expectation of the loss
};

/// Dense square matrix, row-major.
struct Matrix {
  int size = 0;
  std::vector<double> values;  ///< [size * size]

  explicit Matrix(int n) : size(n), values(static_cast<std::size_t>(n) * n) {}
  double& at(int row, int column) { return values[static_cast<std::size_t>(row) * size + column]; }
  double at(int row, int column) const {
    return values[static_cast<std::size_t>(row) * size + column];
  }
};

/// A function of a point: its value, and where `gradient` is not null its exact gradient.
using Objective =
    std::function<double(std::span<const double> point, std::vector<double>* gradient)>;

/// The Hessian at `point` with respect to the entries `active` (indices), by central differences of
/// the gradient: column j = (g(x + h e_j) - g(x - h e_j)) / 2h, made symmetric by its mean with the
/// transpose. 2 |active| gradients; `tick` is called after each column and ends all by returning
/// false, then the result is empty.
std::optional<Matrix> hessian(const Objective& objective, std::span<const double> point,
                              std::span<const int> active, double step,
                              const std::function<bool(int done)>& tick);

/// Figures of a symmetric matrix.
struct Curvature {
  double norm = 0;           ///< Frobenius
  double spectral_norm = 0;  ///< largest magnitude of an eigenvalue
  double trace = 0;
  double eigenvalue = 0;        ///< the dominant one: of largest magnitude, with its sign
  double least_eigenvalue = 0;  ///< the matrix is positive semi-definite where it is not negative
};
/// Throws Error where an entry is not finite.
Curvature curvature(const Matrix& symmetric);
bool is_finite(const Matrix& m);

/// Rows of mixing weights that sum to one: entry i of a vector over active entries belongs to row
/// `row[i]`.
struct SimplexRows {
  std::vector<int> row;  ///< [n], rising
  int rows = 0;
};

/// The Hessian of L(softmax(mu)) with respect to mu from that of L and its gradient g with respect
/// to theta = softmax(mu), row by row. With J = diag(theta) - theta theta^T and G = sum_k g_k
/// theta_k over a row: J H J^T, plus in the row's own block
///   [i = j] theta_i (g_i - G) - theta_i theta_j (g_i + g_j - 2 G).
Matrix softmax_hessian(const Matrix& h, std::span<const double> gradient,
                       std::span<const double> theta, const SimplexRows& rows);

/// Proposition 1 of DrNAS (Chen et al., ICLR 2021): where the Hessian with respect to mu is
/// positive semi-definite and no concentration is above 1 + delta, approximately
///   E[L(theta)] >= L(softmax(mu)) + 1/2 sum_rows c tr(H_row),
///   c = 1/(1 + delta) (1 - 2/|O|) + 1/|O| 1/(1 + delta), |O|: operations of the row;
/// softmax(mu) is the mean of the Dirichlet, and the sum is over its independent rows.
struct LossBound {
  double loss = 0;        ///< at the mean
  double trace_term = 0;  ///< what the Dirichlet adds
  double delta = 0;       ///< largest concentration minus 1, at least 0
  double value() const { return loss + trace_term; }
};
LossBound loss_bound(double loss, const Matrix& mu_hessian, const SimplexRows& rows,
                     std::span<const double> concentrations);

/// Mean and sample deviation of the loss over draws of theta.
struct LossExpectation {
  int samples = 0;
  double mean = 0, deviation = 0;
};

/// One point of the trajectories of Figures 4 and 5 of DrNAS: curvature of the validation loss on a
/// fixed batch at the mean of theta, batch norm with the batch's statistics.
struct HessianRecord {
  int batch = 0;       ///< images
  double step = 0;     ///< of the differences
  int parameters = 0;  ///< order of the matrix: entries of theta that are not pruned
  double loss = 0;     ///< at the mean
  Curvature theta, mu;
  std::optional<LossBound> bound;              ///< of a Dirichlet only
  std::optional<LossExpectation> expectation;  ///< likewise
};

}  // namespace drnas
