// SPDX-License-Identifier: MIT
#include "data/dataset.h"

#include <array>
#include <cmath>
#include <numbers>

#include "tests/data/data_files.h"

namespace drnas {
namespace {

using namespace test_files;

DatasetOptions uncached(const std::string& name, const Path& folder) {
  DatasetOptions options;
  options.name = name;
  options.folder = folder;
  options.cache = "/dev/null/none";  // below a file: can be neither read nor written
  return options;
}

Dataset read(const std::string& name, const Path& folder) {
  return read_dataset(uncached(name, folder));
}

std::function<void()> reading(const std::string& name, const Path& folder) {
  return [=] { read(name, folder); };
}

void check_same_bytes(std::span<const std::uint8_t> found, const Bytes& expected) {
  CHECK(Bytes(found.begin(), found.end()) == expected);
}

/// Magnitudes of the grey image's Fourier coefficients at low frequencies: what a pattern leaves
/// whatever its phase.
std::vector<double> spectrum(std::span<const std::uint8_t> pixels) {
  constexpr int side = 32, reach = 6;
  std::array<double, side> cosine, sine;
  for (int k = 0; k < side; ++k) {
    cosine[static_cast<std::size_t>(k)] = std::cos(2 * std::numbers::pi * k / side);
    sine[static_cast<std::size_t>(k)] = std::sin(2 * std::numbers::pi * k / side);
  }
  std::vector<double> magnitudes;
  for (int v = 0; v <= reach; ++v) {
    for (int u = -reach; u <= reach; ++u) {
      if (u == 0 && v == 0) continue;
      double real = 0, imaginary = 0;
      for (int i = 0; i < side * side; ++i) {
        const auto phase = static_cast<std::size_t>((u * (i % side) + v * (i / side)) & (side - 1));
        const auto p = static_cast<std::size_t>(3 * i);
        const double grey = pixels[p] + pixels[p + 1] + pixels[p + 2];
        real += grey * cosine[phase];
        imaginary += grey * sine[phase];
      }
      magnitudes.push_back(std::hypot(real, imaginary));
    }
  }
  return magnitudes;
}

/// Index of the row of `means` nearest to `point`.
std::size_t nearest(const std::vector<std::vector<double>>& means,
                    const std::vector<double>& point) {
  std::size_t best = 0;
  double least = INFINITY;
  for (std::size_t k = 0; k < means.size(); ++k) {
    double distance = 0;
    for (std::size_t i = 0; i < point.size(); ++i) distance += std::pow(means[k][i] - point[i], 2);
    if (distance < least) {
      least = distance;
      best = k;
    }
  }
  return best;
}

}  // namespace

TEST_CASE("data: CIFAR-10 records become HWC images") {
  const TemporaryFolder folder;
  write_cifar10(folder.path(), 4);
  const Dataset dataset = read("cifar10", folder.path());
  REQUIRE(dataset.train.count == 20);
  REQUIRE(dataset.test.count == 4);
  CHECK(dataset.classes.size() == 10);
  CHECK(dataset.classes[6] == "frog");
  CHECK(dataset.mean[0] == doctest::Approx(0.4914).epsilon(1e-4));
  CHECK(dataset.deviation[2] == doctest::Approx(0.2616).epsilon(1e-4));
  const Bytes raw = load_bytes(folder.path() / "data_batch_3.bin");
  for (int r = 0; r < 4; ++r) {
    const int image = 8 + r;
    CHECK(dataset.train.labels[static_cast<std::size_t>(image)] ==
          raw[static_cast<std::size_t>(r) * 3073]);
    const auto pixels = dataset.train.image(image);
    REQUIRE(pixels.size() == 3072);
    for (std::size_t i = 0; i < 3072; ++i) {
      const std::size_t pixel = i / 3, channel = i % 3;
      REQUIRE(pixels[i] == raw[static_cast<std::size_t>(r) * 3073 + 1 + channel * 1024 + pixel]);
    }
  }
}

TEST_CASE("data: CIFAR-100 uses the fine label and the names in its folder") {
  const TemporaryFolder folder;
  const Path inner = folder.path() / "cifar-100-binary";
  write_bytes(inner / "train.bin", cifar_records(10, 95, true, 1));
  write_bytes(inner / "test.bin", cifar_records(2, 7, true, 2));
  Dataset dataset = read("cifar100", folder.path());
  CHECK(dataset.train.labels == std::vector<std::int32_t>{95, 96, 97, 98, 99, 0, 1, 2, 3, 4});
  CHECK(dataset.classes.size() == 100);
  std::string names;
  for (int i = 0; i < 100; ++i) names += "name" + std::to_string(i) + "\n";
  write_bytes(inner / "fine_label_names.txt", Bytes(names.begin(), names.end()));
  dataset = read("cifar100", folder.path());
  CHECK(dataset.classes[42] == "name42");
  write_bytes(inner / "fine_label_names.txt", {'a', '\n'});
  check_error(reading("cifar100", folder.path()), {"fine_label_names.txt", "expected 100"});
}

TEST_CASE("data: bad CIFAR files") {
  const TemporaryFolder folder;
  const Path& path = folder.path();
  check_error(reading("cifar10", path / "absent"),
              {"absent", "https://www.cs.toronto.edu/~kriz/cifar.html", "cifar-10-binary.tar.gz"});
  check_error(reading("cifar10", ""), {"cifar10", "no folder given", "curl"});
  write_cifar10(path, 3);
  SUBCASE("missing") {
    std::filesystem::remove(path / "data_batch_4.bin");
    check_error(reading("cifar10", path), {"data_batch_4.bin", "cifar-10-binary.tar.gz"});
  }
  SUBCASE("truncated inside a record") {
    std::filesystem::resize_file(path / "data_batch_2.bin", 2 * 3073 + 100);
    check_error(reading("cifar10", path), {"data_batch_2.bin", "truncated", "6246", "3073"});
  }
  SUBCASE("truncated between records") {
    std::filesystem::resize_file(path / "data_batch_5.bin", 2 * 3073);
    check_error(reading("cifar10", path), {"data_batch_5.bin", "2 records", "expected 3"});
  }
  SUBCASE("empty") {
    std::filesystem::resize_file(path / "test_batch.bin", 0);
    check_error(reading("cifar10", path), {"test_batch.bin", "truncated"});
  }
  SUBCASE("label") {
    Bytes raw = load_bytes(path / "data_batch_1.bin");
    raw[2 * 3073] = 10;
    write_bytes(path / "data_batch_1.bin", raw);
    check_error(reading("cifar10", path), {"data_batch_1.bin", "record 2", "label 10", "0 to 9"});
  }
  check_error(reading("cifar100", path), {"train.bin", "cifar-100-binary.tar.gz"});
}

TEST_CASE("data: IDX images get a border and three channels") {
  const TemporaryFolder folder;
  const Path& path = folder.path();
  write_mnist(path);
  const Bytes raw = load_bytes(path / "train-images-idx3-ubyte");
  const auto check = [&raw](const Dataset& dataset) {
    REQUIRE(dataset.train.count == 7);
    REQUIRE(dataset.test.count == 3);
    CHECK(dataset.train.labels == std::vector<std::int32_t>{0, 1, 2, 9, 4, 5, 6});
    for (int i = 0; i < 7; ++i) {
      const auto pixels = dataset.train.image(i);
      for (int y = 0; y < 32; ++y) {
        for (int x = 0; x < 32; ++x) {
          const bool inside = y >= 2 && y < 30 && x >= 2 && x < 30;
          const int expected =
              inside ? raw[static_cast<std::size_t>(16 + (i * 28 + y - 2) * 28 + x - 2)] : 0;
          for (int c = 0; c < 3; ++c) {
            REQUIRE(pixels[static_cast<std::size_t>((y * 32 + x) * 3 + c)] == expected);
          }
        }
      }
    }
  };
  check(read("mnist", path));
  write_gzip(path / "train-images-idx3-ubyte.gz", raw);
  std::filesystem::remove(path / "train-images-idx3-ubyte");
  check(read("fashion-mnist", path));
}

TEST_CASE("data: bad IDX files") {
  const TemporaryFolder folder;
  const Path& path = folder.path();
  const Path images = path / "train-images-idx3-ubyte", labels = path / "t10k-labels-idx1-ubyte";
  check_error(reading("fashion-mnist", path),
              {"train-images-idx3-ubyte.gz", "apt-get install dataset-fashion-mnist"});
  check_error(reading("mnist", path / "absent"), {"absent", "curl", "mnist"});
  write_mnist(path);
  SUBCASE("missing") {
    std::filesystem::remove(labels);
    check_error(reading("mnist", path), {"t10k-labels-idx1-ubyte", "not found"});
  }
  SUBCASE("magic") {
    write_bytes(labels, idx(0x803, {3}, {3, 2, 1}));
    check_error(reading("mnist", path), {labels.string(), "0x00000803", "0x00000801"});
  }
  SUBCASE("no header") {
    std::filesystem::resize_file(images, 9);
    check_error(reading("mnist", path), {images.string(), "truncated", "16"});
  }
  SUBCASE("truncated") {
    std::filesystem::resize_file(images, 16 + 7 * 784 - 1);
    check_error(reading("mnist", path), {images.string(), "truncated", "5487", "5488"});
  }
  SUBCASE("too long") {
    std::filesystem::resize_file(labels, 8 + 5);
    check_error(reading("mnist", path), {labels.string(), "too long"});
  }
  SUBCASE("more than the header promises, packed") {
    Bytes bomb = idx(0x801, {3}, {3, 2, 1});
    bomb.resize(std::size_t{1} << 26);
    write_gzip(path / "t10k-labels-idx1-ubyte.gz", bomb);
    check_error(reading("mnist", path), {"t10k-labels-idx1-ubyte.gz", "too long", "the 3 that"});
  }
  SUBCASE("a header that promises more than any set holds") {
    write_bytes(images, idx(0x803, {300001, 28, 28}, {}));
    check_error(reading("mnist", path), {images.string(), "300001 images", "at most 300000"});
  }
  SUBCASE("count") {
    write_bytes(labels, idx(0x801, {4}, {3, 2, 1, 0}));
    check_error(reading("mnist", path), {labels.string(), "4 labels", "expected 3"});
  }
  SUBCASE("side") {
    write_bytes(images, idx(0x803, {7, 28, 27}, random_bytes(7 * 28 * 27, 1)));
    check_error(reading("mnist", path), {images.string(), "27", "28 x 28"});
  }
  SUBCASE("label") {
    write_bytes(labels, idx(0x801, {3}, {3, 200, 1}));
    check_error(reading("mnist", path), {labels.string(), "record 1", "label 200", "0 to 9"});
  }
  SUBCASE("gzip cut short") {
    const Path packed = path / "train-labels-idx1-ubyte.gz";
    write_gzip(packed, random_bytes(4000, 5));
    std::filesystem::resize_file(packed, 2000);
    check_error(reading("mnist", path), {packed.string()});
  }
}

TEST_CASE("data: Fashion-MNIST of the system") {
  const Path folder = "/usr/share/datasets/fashion-mnist";
  if (!std::filesystem::exists(folder / "train-images-idx3-ubyte.gz")) {
    MESSAGE("skipped: dataset-fashion-mnist is not installed");
    return;
  }
  DatasetOptions options;
  options.name = "fashion-mnist";
  const Dataset dataset = read_dataset(options);
  CHECK(!std::filesystem::exists(folder / "drnas-fashion-mnist-32.cache"));
  REQUIRE(dataset.train.count == 60000);
  REQUIRE(dataset.test.count == 10000);
  std::vector<int> histogram(10);
  for (std::int32_t label : dataset.train.labels) ++histogram[static_cast<std::size_t>(label)];
  CHECK(histogram == std::vector<int>(10, 6000));
  // Published for the 28 x 28 images: mean 0.2860, deviation 0.3530; the border adds zeros.
  const double area = 28. * 28 / (32 * 32), mean = 0.2860 * area;
  CHECK(dataset.mean[1] == doctest::Approx(mean).epsilon(1e-3));
  const double second = (0.3530 * 0.3530 + 0.2860 * 0.2860) * area;
  CHECK(dataset.deviation[1] == doctest::Approx(std::sqrt(second - mean * mean)).epsilon(1e-3));
}

TEST_CASE("data: unknown names, sizes and constants") {
  check_error(reading("cifar11", "/"), {"cifar11", "cifar10", "image-folder"});
  DatasetOptions options = uncached("synthetic", "");
  options.image_size = 0;
  check_error([&] { read_dataset(options); }, {"image size 0"});
  const TemporaryFolder folder;
  for (const char* part : {"train", "test"}) {
    Bytes pixels(2 * 2 * 3);
    for (std::size_t i = 0; i < 12; ++i)
      pixels[i] = static_cast<std::uint8_t>(i % 3 == 2 ? 77 : i * i);
    write_ppm(folder.path() / part / "a" / "0.ppm", 2, 2, pixels);
  }
  options = uncached("image-folder", folder.path());
  options.image_size = 2;
  const Dataset dataset = read_dataset(options);
  // Channel 0 holds 0, 9, 36, 81; channel 2 is constant: its deviation is one grey level.
  CHECK(dataset.mean[0] == doctest::Approx(31.5 / 255));
  CHECK(dataset.deviation[0] == doctest::Approx(31.5 / 255));
  CHECK(dataset.mean[2] == doctest::Approx(77. / 255));
  CHECK(dataset.deviation[2] == doctest::Approx(1. / 255));
}

TEST_CASE("data: synthetic images are balanced, reproducible and differ by class") {
  DatasetOptions options = uncached("synthetic", "");
  options.synthetic_train = 200;
  options.synthetic_test = 50;
  options.seed = 3;
  const Dataset dataset = read_dataset(options);
  REQUIRE(dataset.train.count == 200);
  REQUIRE(dataset.test.count == 50);
  CHECK(dataset.classes.size() == 10);
  CHECK(dataset.train.labels[123] == 3);
  CHECK(read_dataset(options).train.pixels == dataset.train.pixels);
  CHECK(Bytes(dataset.test.image(0).begin(), dataset.test.image(0).end()) !=
        Bytes(dataset.train.image(0).begin(), dataset.train.image(0).end()));
  options.synthetic_train = 20;
  const Dataset shorter = read_dataset(options);
  check_same_bytes(dataset.train.image(19),
                   {shorter.train.image(19).begin(), shorter.train.image(19).end()});
  options.seed = 4;
  CHECK(read_dataset(options).train.pixels != shorter.train.pixels);
}

TEST_CASE("data: synthetic classes can be learnt and are not trivial") {
  DatasetOptions options = uncached("synthetic", "");
  options.synthetic_train = 300;
  options.synthetic_test = 100;
  const Dataset dataset = read_dataset(options);
  std::vector<std::vector<double>> spectra(10), pixels(10);
  const auto add = [](std::vector<double>& sum, const auto& values) {
    sum.resize(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) sum[i] += values[i] / 30.0;
  };
  for (int i = 0; i < 300; ++i) {
    add(spectra[static_cast<std::size_t>(i % 10)], spectrum(dataset.train.image(i)));
    add(pixels[static_cast<std::size_t>(i % 10)], dataset.train.image(i));
  }
  int by_spectrum = 0, by_pixels = 0;
  for (int i = 0; i < 100; ++i) {
    const auto image = dataset.test.image(i);
    const auto label = static_cast<std::size_t>(dataset.test.labels[static_cast<std::size_t>(i)]);
    by_spectrum += nearest(spectra, spectrum(image)) == label;
    by_pixels += nearest(pixels, {image.begin(), image.end()}) == label;
  }
  CHECK(by_spectrum >= 90);
  CHECK(by_pixels <= 70);
}

}  // namespace drnas
