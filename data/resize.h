// SPDX-License-Identifier: MIT
// Private to data/: images of another size.
#pragma once

#include <cstdint>

namespace drnas::readers {

/// A part of an image: uint8 [height, width, 3], rows `row_bytes` apart.
struct ImageView {
  const std::uint8_t* pixels;
  std::int64_t width, height, row_bytes;

  /// `columns` x `rows` pixels from (left, top) on.
  ImageView part(std::int64_t left, std::int64_t top, std::int64_t columns,
                 std::int64_t rows) const {
    return {pixels + top * row_bytes + 3 * left, columns, rows, row_bytes};
  }
};

/// Fills the square `out`, uint8 [size, size, 3], from the whole view, whatever its proportions.
/// Triangle filter: bilinear; widened when shrinking. Columns first, then rows, rounded once.
void resize_to_square(const ImageView& in, int size, std::uint8_t* out);

/// The same filter to a shorter side of `shorter` pixels at equal proportions, of which the central
/// [size, size] goes to `out`; size <= shorter.
void resize_and_crop(const ImageView& in, int shorter, int size, std::uint8_t* out);

}  // namespace drnas::readers
