// SPDX-License-Identifier: MIT
// Batches of an image folder that stays on disk, and the lists that choose from it.
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <omp.h>
#include <stb/stb_image_write.h>

#include <cmath>

#include "data/decode_image.h"
#include "data/loader.h"
#include "data/resized_crop.h"
#include "tests/data/data_files.h"

namespace drnas {
namespace {

using namespace test_files;

constexpr int size = 16;

/// Three classes of eight JPEGs and PNGs of many shapes for training, a constant image each as
/// test.
void write_folder(const Path& folder) {
  unsigned seed = 0;
  for (const char* name : {"ant", "bee", "cat"}) {
    std::filesystem::create_directories(folder / "train" / name);
    for (int i = 0; i < 8; ++i) {
      const int width = 20 + 7 * i, height = 60 - 5 * i;
      const Bytes pixels = random_bytes(static_cast<std::size_t>(3 * width * height), ++seed);
      const Path file = folder / "train" / name / std::to_string(i);
      if (i % 2) {
        REQUIRE(stbi_write_jpg((file.string() + ".jpg").c_str(), width, height, 3, pixels.data(),
                               90) != 0);
      } else {
        REQUIRE(stbi_write_png((file.string() + ".png").c_str(), width, height, 3, pixels.data(),
                               3 * width) != 0);
      }
    }
    write_ppm(folder / "val" / name / "0.ppm", 4, 4, Bytes(48, 100));
  }
}

Dataset refer(const Path& folder) {
  DatasetOptions options;
  options.name = "image-folder";
  options.folder = folder;
  options.image_size = size;
  options.decode = false;
  return read_dataset(options);
}

std::vector<std::int32_t> all_images() {
  std::vector<std::int32_t> indices(24);
  for (int i = 0; i < 24; ++i) indices[static_cast<std::size_t>(i)] = i;
  return indices;
}

LoaderOptions options_with(int prefetch) {
  LoaderOptions options;
  options.batch_size = 7;
  options.prefetch = prefetch;
  options.seed = 5;
  options.colour_jitter = true;
  return options;
}

bool same(const Batch& a, const Batch& b) {
  return a.count == b.count && a.size == b.size && a.images == b.images && a.labels == b.labels;
}

std::vector<Batch> take(Loader& loader, int count) {
  std::vector<Batch> batches;
  for (int i = 0; i < count; ++i) batches.push_back(loader.next());
  return batches;
}

/// Pixels of 0..255 that `value` came from.
double pixel_of(float value, std::size_t channel, const Dataset& dataset) {
  return 255 * (static_cast<double>(value) * static_cast<double>(dataset.deviation[channel]) +
                static_cast<double>(dataset.mean[channel]));
}

void check_image(const float* image, const Bytes& expected, const Dataset& dataset) {
  for (std::size_t i = 0; i < expected.size(); ++i)
    REQUIRE(std::abs(pixel_of(image[i], i % 3, dataset) - expected[i]) < 1e-3);
}

}  // namespace

TEST_CASE("file batches: files and labels are held, nothing else") {
  const TemporaryFolder folder;
  write_folder(folder.path());
  const Dataset dataset = refer(folder.path());
  CHECK(dataset.train.on_disk());
  CHECK(dataset.train.pixels.empty());
  REQUIRE(dataset.train.count == 24);
  CHECK(dataset.train.size == size);
  CHECK(dataset.train.files[4] == (folder.path() / "train" / "bee" / "1.jpg").string());
  CHECK(dataset.train.labels[4] == 1);
  CHECK(dataset.test.count == 3);  // of val, as there is no test
  CHECK(dataset.mean[0] == 0.485f);
  CHECK(dataset.deviation[2] == 0.225f);
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    CHECK(entry.path().extension() != ".cache");
}

TEST_CASE("file batches: the same with any threads, prefetch and after any seek") {
  const TemporaryFolder folder;
  write_folder(folder.path());
  const Dataset dataset = refer(folder.path());
  const int threads = omp_get_max_threads();
  for (const bool replacement : {false, true}) {
    LoaderOptions options = options_with(0);
    options.replacement = replacement;
    omp_set_num_threads(1);
    Loader plain(dataset.train, all_images(), dataset, options);
    const std::vector<Batch> expected = take(plain, 9);
    CHECK(expected[3].count == (replacement ? 7 : 3));
    for (const int count : {1, 2, 5}) {
      omp_set_num_threads(count);
      for (const int prefetch : {0, 2}) {
        options.prefetch = prefetch;
        Loader loader(dataset.train, all_images(), dataset, options);
        const std::vector<Batch> found = take(loader, 9);
        for (std::size_t i = 0; i < 9; ++i) CHECK(same(found[i], expected[i]));
        for (const int to : {5, 0, 8, 3}) {
          loader.seek(to);
          CHECK(same(loader.next(), expected[static_cast<std::size_t>(to)]));
        }
      }
    }
    options.seed = 6;
    Loader other(dataset.train, all_images(), dataset, options);
    CHECK(other.next().images != expected[0].images);
  }
  omp_set_num_threads(threads);
}

TEST_CASE("file batches: crop, flip, then colours of the slot's random numbers") {
  const TemporaryFolder folder;
  write_folder(folder.path());
  const Dataset dataset = refer(folder.path());
  LoaderOptions options = options_with(0);
  options.shuffle = false;
  bool flipped = false, straight = false;
  for (const bool jitter : {false, true}) {
    options.colour_jitter = jitter;
    Loader loader(dataset.train, all_images(), dataset, options);
    for (std::uint32_t step = 0; step < 4; ++step) {
      const Batch& batch = loader.next();
      for (int slot = 0; slot < batch.count; ++slot) {
        const auto image = static_cast<std::size_t>(step * 7) + static_cast<std::size_t>(slot);
        CHECK(batch.labels[static_cast<std::size_t>(slot)] == dataset.train.labels[image]);
        const readers::DecodedImage decoded(dataset.train.files[image]);
        const SlotRandom random{
            {5, kernels::Purpose::augment}, step, static_cast<std::uint32_t>(slot)};
        const CropBox box = random_resized_crop(decoded.width(), decoded.height(), random);
        Bytes crop(size * size * 3);
        readers::resize_to_square(decoded.view().part(box.left, box.top, box.width, box.height),
                                  size, crop.data());
        const bool flip = random_flip(random);
        (flip ? flipped : straight) = true;
        std::vector<float> expected(crop.size());
        for (std::size_t i = 0; i < crop.size(); ++i) {
          const std::size_t x = i / 3 % size;
          expected[flip ? i + 3 * (size - 1 - x) - 3 * x : i] = crop[i];
        }
        if (jitter) ColourJitter::draw(random).apply(expected);
        const float* found = batch.images.data() + slot * size * size * 3;
        for (std::size_t i = 0; i < crop.size(); ++i)
          REQUIRE(std::abs(pixel_of(found[i], i % 3, dataset) - static_cast<double>(expected[i])) <
                  1e-3);
      }
    }
  }
  CHECK((flipped && straight));
}

TEST_CASE("file batches: evaluation shows the centre of the shorter side at 256 / 224") {
  const TemporaryFolder folder;
  // The shorter side is 18 = 16 * 256 / 224 already: the centre is copied, without a flip.
  const Bytes wide = random_bytes(30 * 18 * 3, 1), tall = random_bytes(18 * 26 * 3, 2);
  write_ppm(folder.path() / "train" / "a" / "0.ppm", 30, 18, wide);
  write_ppm(folder.path() / "train" / "a" / "1.ppm", 18, 26, tall);
  write_ppm(folder.path() / "test" / "a" / "0.ppm", 18, 18, Bytes(18 * 18 * 3, 9));
  const Dataset dataset = refer(folder.path());
  LoaderOptions options;
  options.batch_size = 2;
  options.shuffle = options.augment = false;
  Loader loader(dataset.train, {0, 1}, dataset, options);
  const Batch& batch = loader.next();
  const auto centre = [](const Bytes& pixels, int width, int left, int top) {
    Bytes part;
    for (int y = top; y < top + size; ++y) {
      const auto row = pixels.begin() + 3 * (y * width + left);
      part.insert(part.end(), row, row + 3 * size);
    }
    return part;
  };
  check_image(batch.images.data(), centre(wide, 30, 7, 1), dataset);
  check_image(batch.images.data() + size * size * 3, centre(tall, 18, 1, 5), dataset);
}

TEST_CASE("file batches: a crop does not see what lies around it") {
  Bytes pixels(12 * 12 * 3, 255);
  for (int y = 3; y < 9; ++y)
    for (int i = 0; i < 15; ++i) pixels[static_cast<std::size_t>(36 * y + 3 * 4 + i)] = 40;
  const readers::ImageView image{pixels.data(), 12, 12, 36};
  Bytes out(64 * 3);
  for (const int side : {2, 8}) {  // shrunk and grown
    readers::resize_to_square(image.part(4, 3, 5, 6), side, out.data());
    for (int i = 0; i < side * side * 3; ++i) REQUIRE(out[static_cast<std::size_t>(i)] == 40);
  }
}

TEST_CASE("file batches: a bad file is named, the first of the batch whatever the threads") {
  const TemporaryFolder folder;
  write_folder(folder.path());
  const Path first = folder.path() / "train" / "bee" / "3.jpg",
             second = folder.path() / "train" / "cat" / "4.png";
  write_bytes(first, random_bytes(200, 1));
  std::filesystem::remove(second);
  write_bytes(second, random_bytes(200, 2));
  const Dataset dataset = refer(folder.path());
  LoaderOptions options = options_with(0);
  options.batch_size = 24;
  options.shuffle = false;
  const int threads = omp_get_max_threads();
  for (const int count : {1, 4}) {
    omp_set_num_threads(count);
    for (const int prefetch : {0, 2}) {
      options.prefetch = prefetch;
      Loader loader(dataset.train, all_images(), dataset, options);
      check_error([&] { loader.next(); }, {first.string(), "does not decode"});
    }
  }
  omp_set_num_threads(threads);

  options.cutout = 4;
  check_error([&] { Loader(dataset.train, {0}, dataset, options); }, {"cutout", "on disk"});
}

TEST_CASE("image lists: in place of the halves, of either kind of image folder") {
  const TemporaryFolder folder;
  write_folder(folder.path());
  const Path weights = folder.path() / "w.txt", alpha = folder.path() / "a.txt";
  const auto write = [](const Path& file, const std::string& text) {
    write_bytes(file, Bytes(text.begin(), text.end()));
  };
  write(weights, "cat/1.jpg\n\n./ant/7.jpg\r\nbee/0.png");
  write(alpha, "cat/0.png\n");
  DatasetOptions options;
  options.name = "image-folder";
  options.folder = folder.path();
  options.image_size = size;
  for (const bool decode : {false, true, true}) {  // on disk, decoded, from the cache
    options.decode = decode;
    const Dataset dataset = read_dataset(options);
    REQUIRE(dataset.train.on_disk() == !decode);
    const SearchSplit split = split_from_lists(dataset, folder.path(), weights, alpha);
    CHECK(split.weights == std::vector<std::int32_t>{5, 21, 1});
    CHECK(split.architecture == std::vector<std::int32_t>{2});
  }
  const Dataset dataset = refer(folder.path());
  const auto reading = [&] { split_from_lists(dataset, folder.path(), weights, alpha); };
  write(alpha, "cat/0.png\ncat/none.png\n");
  check_error(reading, {"a.txt: line 2: ", (folder.path() / "train/cat/none.png").string(),
                        "does not exist"});
  write_bytes(folder.path() / "train" / "loose.png", {1});
  for (const char* line : {"loose.png", "cat", "../val/cat/0.ppm"}) {
    write(alpha, line);
    check_error(reading, {"a.txt: line 1: ", "lies in no class folder", "<class>"});
  }
  write(alpha, "cat/0.png\nant/7.jpg\n");
  check_error(reading, {"a.txt: line 2: ant/7.jpg", "listed before, in " + weights.string()});
  write(alpha, "cat/0.png\ncat/0.png\n");
  check_error(reading, {"line 2: cat/0.png", "listed before, in " + alpha.string()});
  write(alpha, "cat/" + std::string(5000, 'x') + ".png\n");
  check_error(reading, {"a.txt: line 1: ", "xxx.png does not exist"});
  write(alpha, "\n");
  check_error(reading, {"a.txt: no images"});
  std::filesystem::remove(alpha);
  check_error(reading, {"a.txt"});
}

}  // namespace drnas
