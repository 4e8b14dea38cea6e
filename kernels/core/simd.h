// SPDX-License-Identifier: MIT
#pragma once

#include <cstring>

namespace drnas::kernels {

/// V floats in one register (or the compiler's lowering of it): GCC and Clang vector extension.
/// Values are aligned as the compiler likes; in memory, at float's alignment, stands a type of its
/// own, since a template that deduces a type drops the alignment that was asked for.
template <int V>
struct LanesOf {
  typedef float Type __attribute__((vector_size(V * sizeof(float))));
  typedef Type InMemory __attribute__((aligned(sizeof(float)), may_alias));
};
template <>
struct LanesOf<1> {
  using Type = float;
  using InMemory = float;
};
template <int V>
using Lanes = typename LanesOf<V>::Type;

template <int V>
inline Lanes<V> load(const float* p) {
  return *reinterpret_cast<const typename LanesOf<V>::InMemory*>(p);
}
template <int V>
inline void store(float* p, Lanes<V> v) {
  *reinterpret_cast<typename LanesOf<V>::InMemory*>(p) = v;
}
template <int V>
inline Lanes<V> splat(float x) {
  return Lanes<V>{} + x;
}
/// max(0, x) lane by lane.
template <int V>
inline Lanes<V> rectify(Lanes<V> x) {
  return x > 0.0f ? x : Lanes<V>{};
}

/// Calls `body.template operator()<V>()` with the widest V of 16 (AVX-512 only), 8, 4, 2, 1 that
/// divides `channels`.
template <class Body>
void dispatch_lanes(int channels, const Body& body) {
#ifdef __AVX512F__
  if (channels % 16 == 0) return body.template operator()<16>();
#endif
  if (channels % 8 == 0) return body.template operator()<8>();
  if (channels % 4 == 0) return body.template operator()<4>();
  if (channels % 2 == 0) return body.template operator()<2>();
  body.template operator()<1>();
}

}  // namespace drnas::kernels
