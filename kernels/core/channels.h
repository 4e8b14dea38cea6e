// SPDX-License-Identifier: MIT
// Neighbouring channels as values, for .cu files.
#pragma once

#include "kernels/core/cuda_vector.h"

namespace drnas::kernels {
namespace {

/// V adjacent channels in float32; V values of T in memory are read and written as one.
template <int V>
struct Channels {
  float v[V];

  __device__ Channels& operator+=(const Channels& other) {
    for (int i = 0; i < V; ++i) v[i] += other.v[i];
    return *this;
  }
  /// *this += weight * other.
  __device__ void add(float weight, const Channels& other) {
    for (int i = 0; i < V; ++i) v[i] += weight * other.v[i];
  }
};
template <int V, class T>
__device__ inline Channels<V> load_channels(const T* from) {
  Channels<V> out;
  load_vector(from, out.v);
  return out;
}
template <class T, int V>
__device__ inline void store_channels(T* to, const Channels<V>& from) {
  store_vector(to, from.v);
}

}  // namespace
}  // namespace drnas::kernels
