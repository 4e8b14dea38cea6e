// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace drnas {

/// One edge of a NAS-Bench-201 cell: node `to` reads node `from`.
struct Nb201Edge {
  int to, from;
};

/// A cell of NAS-Bench-201 (Dong and Yang, ICLR 2020): four nodes, one of five operations on each
/// of six edges.
struct Nb201Cell {
  static constexpr int edges = 6, ops = 5;
  static constexpr int count = 15625;  ///< 5^6 cells
  static constexpr std::array<Nb201Edge, edges> edge{
      {{1, 0}, {2, 0}, {2, 1}, {3, 0}, {3, 1}, {3, 2}}};
  static constexpr std::array<std::string_view, ops> op_name{"none", "skip_connect", "nor_conv_1x1",
                                                             "nor_conv_3x3", "avg_pool_3x3"};

  std::array<int, edges> op{};  ///< operation of each edge, an index into op_name

  bool operator==(const Nb201Cell&) const = default;
  /// Position among all cells: digits in base 5, the first edge is the most significant. 0 .. count
  /// - 1.
  int index() const;
  static Nb201Cell from_index(int index);
};

/// `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, the string of the NAS-Bench-201 API.
std::string to_string(const Nb201Cell& cell);

/// The reverse of to_string. Throws Error that names the edge, what was found and what was
/// expected.
Nb201Cell parse_nb201(std::string_view text);

/// The cell with the largest entry of each row (the first of equal ones); `mean` is [6][5].
/// Throws Error for another shape or a row with NaN.
Nb201Cell cell_of_largest(const std::vector<std::vector<double>>& mean);

}  // namespace drnas
