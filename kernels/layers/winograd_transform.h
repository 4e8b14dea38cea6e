// SPDX-License-Identifier: MIT
// The one-dimensional transforms of Winograd's minimal filtering F(m, 3) (Lavin and Gray 2016): y =
// A^T [(G g) (B^T d)] gives m outputs of a three-tap filter g from m + 2 inputs d with m + 2
// products. Written for any vector or scalar type T.
#pragma once

namespace drnas::kernels {

/// Tile = m outputs.
template <int Tile>
struct WinogradTransform;

/// F(2, 3) with the points 0, 1, -1, infinity.
template <>
struct WinogradTransform<2> {
  static constexpr int points = 4;

  /// v = B^T d.
  template <class T>
  static void input(const T (&d)[4], T (&v)[4]) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[3] - d[1];
  }
  /// y = A^T m.
  template <class T>
  static void output(const T (&m)[4], T (&y)[2]) {
    y[0] = m[0] + (m[1] + m[2]);
    y[1] = (m[1] - m[2]) + m[3];
  }
  /// m = A y, the adjoint of output.
  template <class T>
  static void output_adjoint(const T (&y)[2], T (&m)[4]) {
    m[0] = y[0];
    m[1] = y[0] + y[1];
    m[2] = y[0] - y[1];
    m[3] = y[1];
  }
  /// u = G g.
  template <class T>
  static void filter(const T (&g)[3], T (&u)[4]) {
    const T even = 0.5f * (g[0] + g[2]), odd = 0.5f * g[1];
    u[0] = g[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = g[2];
  }
  /// g = G^T u, the adjoint of filter.
  template <class T>
  static void filter_adjoint(const T (&u)[4], T (&g)[3]) {
    const T even = 0.5f * (u[1] + u[2]);
    g[0] = u[0] + even;
    g[1] = 0.5f * (u[1] - u[2]);
    g[2] = even + u[3];
  }
};

/// F(4, 3) with the points 0, a, -a, b, -b, infinity, a = 1/sqrt(2), b = sqrt(2): half the rounding
/// error of the textbook's 1 and 2, and a b = 1 saves products.
template <>
struct WinogradTransform<4> {
  static constexpr int points = 6;

  template <class T>
  static void input(const T (&d)[6], T (&v)[6]) {
    v[0] = d[0] + (d[4] - sum * d[2]);
    pair(d[4] - b2 * d[2], a1 * (d[3] - b2 * d[1]), v[1], v[2]);
    pair(d[4] - a2 * d[2], b1 * (d[3] - a2 * d[1]), v[3], v[4]);
    v[5] = d[1] + (d[5] - sum * d[3]);
  }
  template <class T>
  static void output(const T (&m)[6], T (&y)[4]) {
    const T even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = m[0] + (even_a + even_b);
    y[1] = a1 * odd_a + b1 * odd_b;
    y[2] = a2 * even_a + b2 * even_b;
    y[3] = a3 * odd_a + (b3 * odd_b + m[5]);
  }
  template <class T>
  static void output_adjoint(const T (&y)[4], T (&m)[6]) {
    m[0] = y[0];
    pair(y[0] + a2 * y[2], a1 * y[1] + a3 * y[3], m[1], m[2]);
    pair(y[0] + b2 * y[2], b1 * y[1] + b3 * y[3], m[3], m[4]);
    m[5] = y[3];
  }
  template <class T>
  static void filter(const T (&g)[3], T (&u)[6]) {
    u[0] = g[0];
    pair(norm_a * (g[0] + a2 * g[2]), norm_a * a1 * g[1], u[1], u[2]);
    pair(norm_b * (g[0] + b2 * g[2]), norm_b * b1 * g[1], u[3], u[4]);
    u[5] = g[2];
  }
  template <class T>
  static void filter_adjoint(const T (&u)[6], T (&g)[3]) {
    const T even_a = norm_a * (u[1] + u[2]), even_b = norm_b * (u[3] + u[4]);
    g[0] = u[0] + (even_a + even_b);
    g[1] = norm_a * a1 * (u[1] - u[2]) + norm_b * b1 * (u[3] - u[4]);
    g[2] = a2 * even_a + (b2 * even_b + u[5]);
  }

 private:
  static constexpr float a1 = 0.707106781186547524, a2 = 0.5f, a3 = a2 * a1, b1 = 2 * a1, b2 = 2.0f,
                         b3 = b2 * b1;
  static constexpr float sum = a2 + b2;  // and a2 * b2 = 1
  /// 1 / prod over the other finite points q of (p - q); the same for p and -p.
  static constexpr float norm_a = 1 / (2 * a2 * (a2 - b2)), norm_b = 1 / (2 * b2 * (b2 - a2));

  template <class T>
  static void pair(const T& even, const T& odd, T& plus, T& minus) {
    plus = even + odd;
    minus = even - odd;
  }
};

/// Applies a one-dimensional transform to the rows and then to the columns: Out x Out from In x In.
template <int In, int Out, class T, class Transform>
inline void transform_twice(const T (&in)[In][In], T (&out)[Out][Out], const Transform& transform) {
  T half[In][Out];
  for (int i = 0; i < In; ++i) transform(in[i], half[i]);
#pragma GCC unroll 8
  for (int j = 0; j < Out; ++j) {
    T column[In], result[Out];
    for (int i = 0; i < In; ++i) column[i] = half[i][j];
    transform(column, result);
    for (int i = 0; i < Out; ++i) out[i][j] = result[i];
  }
}

}  // namespace drnas::kernels
