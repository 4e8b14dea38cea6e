// SPDX-License-Identifier: MIT
// kernels/core/mma.h on the executor: lane order as documented there, sums in double.
#include <cmath>
#include <cstring>

#include "cuda_runtime.h"
#include "executor.h"
#include "warp.h"

namespace simt {
namespace {

constexpr unsigned full_warp = 0xffffffffu;
constexpr unsigned below_tf32 = 0x1fffu;

float float_of(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// What a lane gives.
struct Fragments {
  unsigned a[4], b[2];
};

/// Widens what one lane holds of a row of A or a column of B: word i of it stands at depth
/// i * depth / 2 on, one element or two neighbours.
void widen(const unsigned (&words)[2], int quad, Operand operand, double* depth) {
  for (int i = 0; i < 2; ++i)
    if (operand == Operand::bf16) {
      depth[8 * i + 2 * quad] = float_of(words[i] << 16);
      depth[8 * i + 2 * quad + 1] = float_of(words[i] & 0xffff0000u);
    } else {
      depth[4 * i + quad] = float_of(words[i]);
    }
}

/// A row of A, or a column of B, as the four lanes of a quad hold it.
struct Line {
  double depth[16];

  Line(const Given& given, int index, Operand operand, bool of_a) {
    for (int quad = 0; quad < 4; ++quad) {
      Fragments held{};
      if (const unsigned char* from = given.of(index % 8 * 4 + quad))
        std::memcpy(&held, from, sizeof held);
      const unsigned row[2] = {held.a[index / 8], held.a[index / 8 + 2]};
      widen(of_a ? row : held.b, quad, operand, depth);
    }
  }
};

void require_rounded(const Fragments& own) {
  const auto rounded = [](unsigned bits) {
    return (bits & below_tf32) == 0 || std::isnan(float_of(bits));
  };
  bool all = true;
  for (const unsigned bits : own.a) all = all && rounded(bits);
  for (const unsigned bits : own.b) all = all && rounded(bits);
  if (!all) report_fault("a TF32 operand that to_tf32() did not round");
}

}  // namespace

void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], Operand operand) {
  Fragments own;
  std::memcpy(own.a, a, sizeof own.a);
  std::memcpy(own.b, b, sizeof own.b);
  if (operand == Operand::tf32) require_rounded(own);
  const Given given = give(&own, sizeof own, full_warp);
  const int depth = operand == Operand::bf16 ? 16 : 8, row = lane() / 4, column = lane() % 4 * 2;
  const Line rows[2] = {{given, row, operand, true}, {given, row + 8, operand, true}};
  const Line columns[2] = {{given, column, operand, false}, {given, column + 1, operand, false}};
  for (int i = 0; i < 4; ++i) {
    double sum = d[i];
    for (int k = 0; k < depth; ++k) sum += rows[i / 2].depth[k] * columns[i % 2].depth[k];
    d[i] = static_cast<float>(sum);
  }
}

void load_matrices(unsigned* to, int matrices, bool transposed, const void* row) {
  unsigned char own[16] = {};
  if (lane() < 8 * matrices) {
    check::packed(row, sizeof own, false, __builtin_return_address(0));
    std::memcpy(own, row, sizeof own);
  }
  const Given given = give(own, sizeof own, full_warp);
  const int g = lane() / 4, t = lane() % 4;
  for (int i = 0; i < matrices; ++i) {
    std::uint16_t pair[2] = {};
    for (int half = 0; half < 2; ++half) {
      const int matrix_row = transposed ? 2 * t + half : g, column = transposed ? g : 2 * t + half;
      if (const unsigned char* from = given.of(8 * i + matrix_row))
        std::memcpy(&pair[half], from + 2 * column, sizeof pair[half]);
    }
    std::memcpy(&to[i], pair, sizeof to[i]);
  }
}

}  // namespace simt
