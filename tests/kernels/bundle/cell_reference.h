// SPDX-License-Identifier: MIT
// A mixed cell and a classifier in float64, written as the definitions stand: every candidate
// operation on its own.
#pragma once

#include "tests/support/reference.h"

namespace drnas::test {

/// Nodes 0 .. nodes-1; each edge i -> j carries none, identity, 1x1, 3x3 (ReLU, convolution, batch
/// norm) and 3x3 average pool.
struct CellReference {
  int n, h, w, channels, parts, nodes;
  static constexpr int ops = 5;

  int c() const { return channels / parts; }
  int edges() const { return nodes * (nodes - 1) / 2; }
  static int edge(int j, int i) { return j * (j - 1) / 2 + i; }
  std::size_t at(int image, int row, int column, int channel, int of) const {
    return ((static_cast<std::size_t>(image) * h + row) * w + column) * of + channel;
  }

  /// weights[source][size]: [outgoing edges * c, k, k, c] with k = 1, 3.
  using Weights = std::vector<std::array<Doubles, 2>>;

  /// relu, convolution with the rows of one edge, normalisation over the batch; [n, h, w, c].
  Doubles convolve(const Doubles& x, const Doubles& weight, int first_row, int k) const {
    Doubles z(static_cast<std::size_t>(n) * h * w * c(), 0.0);
    for (int b = 0; b < n; ++b)
      for (int i = 0; i < h; ++i)
        for (int j = 0; j < w; ++j)
          for (int u = 0; u < k; ++u)
            for (int v = 0; v < k; ++v) {
              const int r = i + u - k / 2, s = j + v - k / 2;
              if (r < 0 || s < 0 || r >= h || s >= w) continue;
              for (int o = 0; o < c(); ++o)
                for (int q = 0; q < c(); ++q)
                  z[at(b, i, j, o, c())] +=
                      std::max(0.0, x[at(b, r, s, q, channels)]) *
                      weight[((static_cast<std::size_t>(first_row + o) * k + u) * k + v) * c() + q];
            }
    return z;
  }

  void normalise(Doubles& z) const {
    const double m = static_cast<double>(n) * h * w;
    for (int o = 0; o < c(); ++o) {
      double mean = 0, var = 0;
      for (std::size_t p = o; p < z.size(); p += c()) mean += z[p] / m;
      for (std::size_t p = o; p < z.size(); p += c()) var += (z[p] - mean) * (z[p] - mean) / m;
      for (std::size_t p = o; p < z.size(); p += c()) z[p] = (z[p] - mean) / std::sqrt(var + 1e-5);
    }
  }

  double pooled(const Doubles& x, int b, int i, int j, int q) const {
    double sum = 0, count = 0;
    for (int r = std::max(0, i - 1); r <= std::min(h - 1, i + 1); ++r)
      for (int s = std::max(0, j - 1); s <= std::min(w - 1, j + 1); ++s) {
        sum += x[at(b, r, s, q, channels)];
        count += 1;
      }
    return sum / count;
  }

  /// The last node.
  Doubles forward(const Doubles& x, const Weights& weights, const Doubles& theta) const {
    std::vector<Doubles> node{x};
    for (int j = 1; j < nodes; ++j) {
      Doubles cat(x.size(), 0.0);  // mixed channels first, then the bypass, before the shuffle
      for (int i = 0; i < j; ++i) {
        const double* t = theta.data() + edge(j, i) * ops;
        std::array<Doubles, 2> z;
        for (int size = 0; size < 2; ++size) {
          z[size] = convolve(node[i], weights[i][size], (j - i - 1) * c(), size ? 3 : 1);
          normalise(z[size]);
        }
        for (int b = 0; b < n; ++b)
          for (int r = 0; r < h; ++r)
            for (int s = 0; s < w; ++s) {
              for (int q = 0; q < c(); ++q)
                cat[at(b, r, s, q, channels)] +=
                    t[1] * node[i][at(b, r, s, q, channels)] + t[2] * z[0][at(b, r, s, q, c())] +
                    t[3] * z[1][at(b, r, s, q, c())] + t[4] * pooled(node[i], b, r, s, q);
              for (int q = c(); q < channels; ++q)
                cat[at(b, r, s, q, channels)] += node[i][at(b, r, s, q, channels)];
            }
      }
      Doubles shuffled(cat.size());
      for (std::size_t p = 0; p < cat.size() / channels; ++p)
        for (int g = 0; g < parts; ++g)
          for (int pos = 0; pos < c(); ++pos)
            shuffled[p * channels + pos * parts + g] = cat[p * channels + g * c() + pos];
      node.push_back(std::move(shuffled));
    }
    return node.back();
  }

  /// Cross entropy of a linear classifier [classes, channels] on the mean over pixels.
  double loss(const Doubles& y, const Doubles& classifier,
              const std::vector<std::int32_t>& labels) const {
    const int classes = static_cast<int>(classifier.size()) / channels;
    double total = 0;
    for (int b = 0; b < n; ++b) {
      Doubles logits(classes, 0.0);
      for (int r = 0; r < h; ++r)
        for (int s = 0; s < w; ++s)
          for (int k = 0; k < classes; ++k)
            for (int q = 0; q < channels; ++q)
              logits[k] += classifier[k * channels + q] * y[at(b, r, s, q, channels)] / (h * w);
      double sum = 0;
      for (double l : logits) sum += std::exp(l);
      total += std::log(sum) - logits[labels[b]];
    }
    return total / n;
  }
};

}  // namespace drnas::test
