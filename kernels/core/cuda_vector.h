// SPDX-License-Identifier: MIT
// Accesses of several neighbouring elements at once, for .cu files.
#pragma once

#include <cstdint>

#include "kernels/core/launch.h"

namespace drnas::kernels {

/// V neighbours in memory, moved by one instruction: 16 bytes for four floats.
template <class T, int V>
struct alignas(V * sizeof(T)) Vector {
  T element[V];
};

/// A whole vector by one instruction: a compiler may take a plain copy apart. The host executor
/// sees one access.
template <class Packed>
__device__ inline Packed load_packed(const Packed* from) {
#ifdef DRNAS_SIMT
  Packed result;
  simt::load_packed(&result, from, sizeof result);
  return result;
#else
  return *from;
#endif
}
template <class Packed>
__device__ inline void store_packed(Packed* to, const Packed& value) {
#ifdef DRNAS_SIMT
  simt::store_packed(to, &value, sizeof value);
#else
  *to = value;
#endif
}

/// V elements at `from`, a multiple of V elements from an address aligned for Vector, as floats.
template <int V, class T>
__device__ inline void load_vector(const T* from, float (&to)[V]) {
  const auto vector = load_packed(reinterpret_cast<const Vector<T, V>*>(from));
  for (int v = 0; v < V; ++v) to[v] = static_cast<float>(vector.element[v]);
}

template <int V, class T>
__device__ inline void store_vector(T* to, const float (&from)[V]) {
  Vector<T, V> vector;
  for (int v = 0; v < V; ++v) vector.element[v] = static_cast<T>(from[v]);
  store_packed(reinterpret_cast<Vector<T, V>*>(to), vector);
}

/// True where every pointer is aligned for vectors of V elements, or null.
template <class... T>
bool aligned_for(int width, const T*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % (width * sizeof(T)) == 0) && ...);
}

/// Calls `body.template operator()<V>()` with the widest V of 4, 2, 1 that divides `channels` and
/// that all pointers are aligned for.
template <class Body, class... T>
void dispatch_vectors(int channels, const Body& body, const T*... pointers) {
  if (channels % 4 == 0 && aligned_for(4, pointers...)) return body.template operator()<4>();
  if (channels % 2 == 0 && aligned_for(2, pointers...)) return body.template operator()<2>();
  body.template operator()<1>();
}

}  // namespace drnas::kernels
