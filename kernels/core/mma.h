// SPDX-License-Identifier: MIT
// Tensor cores, for .cu files: one function an instruction, for compute capability 8.0 and newer.
// All lanes of a warp call them together. The host executor runs the same calls in the lane order
// that is written here (PTX ISA 8.7, sections 9.7.14.5 and 9.7.14.5.15).
//
// What lane l holds, with g = l / 4 and t = l % 4:
//   D [16][8], float      d[0], d[1]: row g, columns 2t and 2t + 1;
//                         d[2], d[3]: the same of row g + 8
//
//   bfloat16, depth 16, two neighbours in a register, the first in its lower half
//     A [16][16]          a[0]: row g, columns 2t, 2t + 1; a[1]: of row g + 8;
//                         a[2], a[3]: the same rows, columns 2t + 8, 2t + 9
//     B [16][8]           b[0]: column g, rows 2t, 2t + 1; b[1]: rows 2t + 8, 2t + 9
//
//   TF32, depth 8, one in a register
//     A [16][8]           a[0]: row g, column t; a[1]: row g + 8; a[2], a[3]: column t + 4
//     B [8][8]            b[0]: column g, row t; b[1]: row t + 4
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/core/bfloat16.h"
#include "kernels/core/launch.h"

namespace drnas::kernels {

/// Two neighbours of a bfloat16 fragment.
__device__ inline unsigned pack(bfloat16 first, bfloat16 second) {
  return first.bits | static_cast<unsigned>(second.bits) << 16;
}

/// The nearest number of 11 significant bits, of two the larger magnitude, as a TF32 operand.
__device__ inline unsigned to_tf32(float value) {
  unsigned bits;
#ifdef DRNAS_SIMT
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits & 0xffffe000u;
  return (bits + 0x1000u) & 0xffffe000u;
#else
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
#endif
}

/// D += A B of bfloat16. Products are exact; the order of their sum is the card's.
__device__ inline void multiply_add_bf16(float (&d)[4], const unsigned (&a)[4],
                                         const unsigned (&b)[2]) {
#ifdef DRNAS_SIMT
  simt::multiply_add(d, a, b, simt::Operand::bf16);
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/// D += A B of TF32, from to_tf32().
__device__ inline void multiply_add_tf32(float (&d)[4], const unsigned (&a)[4],
                                         const unsigned (&b)[2]) {
#ifdef DRNAS_SIMT
  simt::multiply_add(d, a, b, simt::Operand::tf32);
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/// An address in shared memory as instructions take it.
#ifdef __CUDACC__
__device__ inline unsigned shared_address(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}
#endif

/// Loads 8x8 matrices of 16-bit elements (`ldmatrix`). Lanes 8i to 8i + 7 name the rows of matrix
/// i: 16 bytes in shared memory, aligned for them; what other lanes name is not read. to[i] is of
/// matrix i: row g, columns 2t and 2t + 1; transposed: column g, rows 2t and 2t + 1.
template <int Matrices, bool Transposed = false>
__device__ inline void load_matrices(unsigned (&to)[Matrices], const void* row) {
  static_assert(Matrices == 1 || Matrices == 2 || Matrices == 4);
#ifdef DRNAS_SIMT
  simt::load_matrices(to, Matrices, Transposed, row);
#else
  const unsigned at = shared_address(row);
  if constexpr (Matrices == 1 && !Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                 : "=r"(to[0])
                 : "r"(at)
                 : "memory");
  if constexpr (Matrices == 1 && Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                 : "=r"(to[0])
                 : "r"(at)
                 : "memory");
  if constexpr (Matrices == 2 && !Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1])
                 : "r"(at)
                 : "memory");
  if constexpr (Matrices == 2 && Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1])
                 : "r"(at)
                 : "memory");
  if constexpr (Matrices == 4 && !Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
  if constexpr (Matrices == 4 && Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
#endif
}

}  // namespace drnas::kernels
