// SPDX-License-Identifier: MIT
// Image files of every format, decoded as a data set does and as a batch from disk does.
#include "data/decode_image.h"

#include "tests/fuzz/fuzz.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

/// False where it is refused.
bool decode(const fs::path& file) {
  return accepts([&] {
    constexpr int size = 24;
    const readers::DecodedImage image(file);
    require(image.width() >= 1 && image.height() >= 1, "an image without pixels");
    const readers::ImageView view = image.view();
    require(view.width == image.width() && view.height == image.height() &&
                view.row_bytes >= 3 * view.width,
            "a view of another size");
    unsigned sum = 0;
    for (std::int64_t y = 0; y < view.height; ++y)
      for (std::int64_t i = 0; i < 3 * view.width; ++i) sum += view.pixels[y * view.row_bytes + i];
    Bytes whole(size * size * 3), part(size * size * 3);
    readers::decode_image(file, size, whole.data());
    readers::resize_to_square(view, size, part.data());
    require(sum != 0 || part == Bytes(part.size()), "a black image that is none when resized");
  });
}

/// TGA files are known by their names alone.
bool read(Input input) {
  static const Folder folder;
  return decode(folder.write("image", input)) || decode(folder.write("image.tga", input));
}

}  // namespace

DRNAS_FUZZ_TARGET(image, read, change_bytes)
