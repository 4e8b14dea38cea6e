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
Fragments fragments_of(const Given& given, int lane) {
  Fragments result{};
  if (const unsigned char* from = given.of(lane)) std::memcpy(&result, from, sizeof result);
  return result;
}

float half_of(unsigned pair, int index) {
  return float_of(index % 2 == 0 ? pair << 16 : pair & 0xffff0000u);
}

double product(const Given& given, Operand operand, int row, int column, int k) {
  const int quad = row % 8 * 4, column_quad = column * 4;
  if (operand == Operand::bf16) {
    const Fragments a = fragments_of(given, quad + k % 8 / 2);
    const Fragments b = fragments_of(given, column_quad + k % 8 / 2);
    return double{half_of(a.a[row / 8 + 2 * (k / 8)], k)} * half_of(b.b[k / 8], k);
  }
  const Fragments a = fragments_of(given, quad + k % 4);
  const Fragments b = fragments_of(given, column_quad + k % 4);
  return double{float_of(a.a[row / 8 + 2 * (k / 4)])} * float_of(b.b[k / 4]);
}

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
  const int depth = operand == Operand::bf16 ? 16 : 8;
  for (int i = 0; i < 4; ++i) {
    const int row = lane() / 4 + i / 2 * 8, column = lane() % 4 * 2 + i % 2;
    double sum = d[i];
    for (int k = 0; k < depth; ++k) sum += product(given, operand, row, column, k);
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
