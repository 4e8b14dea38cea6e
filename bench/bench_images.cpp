// SPDX-License-Identifier: MIT
// Images a second of processor time of the decoders of data/ on one thread, beside stb_image where
// it reads the format.
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <png.h>
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#include <webp/encode.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <span>

#include "bench/bench_report.h"
#include "bench/parse_or_exit.h"
#include "data/decode_image.h"

namespace {

using namespace drnas;
using nlohmann::ordered_json;
using Bytes = std::vector<std::uint8_t>;

struct Options {
  std::string json;
  int rounds = 9, threads = 1;
};

Options parse(int argc, char** argv) {
  Options o;
  CLI::App app("Images a second of each decoder on one thread", "bench_images");
  app.add_option("--rounds", o.rounds, "of each format and decoder, in turn")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--json", o.json, "write all figures to this file");
  bench::parse_or_exit(app, argc, argv);
  return o;
}

/// Waves of a few colours under noise: about as many bytes a pixel as photographs.
Bytes picture(int width, int height, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> noise(0, 6);
  Bytes pixels;
  const auto phase = static_cast<float>(random() % 100);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const float grain = noise(random);
      for (int c = 0; c < 3; ++c) {
        const auto fx = static_cast<float>(x) / static_cast<float>(width),
                   fy = static_cast<float>(y) / static_cast<float>(height);
        const float wave = std::sin(phase + 9 * fx + static_cast<float>(c)) * std::cos(7 * fy);
        pixels.push_back(
            static_cast<std::uint8_t>(std::clamp(128 + 90 * wave + grain, 0.f, 255.f)));
      }
    }
  return pixels;
}

Bytes encode(const std::string& format, int width, int height, const Bytes& pixels) {
  Bytes file;
  const auto write = [](void* to, void* data, int size) {
    for (int i = 0; i < size; ++i)
      static_cast<Bytes*>(to)->push_back(static_cast<std::uint8_t*>(data)[i]);
  };
  if (format == "PNG") {
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    image.width = static_cast<png_uint_32>(width);
    image.height = static_cast<png_uint_32>(height);
    image.format = PNG_FORMAT_RGB;
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    file.resize(size);
    file.resize(png_image_write_to_memory(&image, file.data(), &size, 0, pixels.data(), 0, nullptr)
                    ? size
                    : 0);
  } else if (format == "WebP") {
    std::uint8_t* packed = nullptr;
    const std::size_t size = WebPEncodeRGB(pixels.data(), width, height, 3 * width, 85, &packed);
    file.assign(packed, packed + size);
    WebPFree(packed);
  } else {  // chroma at half the resolution up to quality 90
    stbi_write_jpg_to_func(write, &file, width, height, 3, pixels.data(),
                           format == "JPEG 4:2:0" ? 90 : 95);
  }
  if (file.empty()) throw Error(format + ": cannot be written");
  return file;
}

readers::DecodedImage by_drnas(const Bytes& file) {
  return {"image", std::as_bytes(std::span(file))};
}

using StbPixels = std::unique_ptr<stbi_uc, void (*)(void*)>;
StbPixels by_stb(const Bytes& file) {
  int width = 0, height = 0, channels = 0;
  const auto size = static_cast<int>(file.size());
  return {stbi_load_from_memory(file.data(), size, &width, &height, &channels, 3), stbi_image_free};
}

/// Images a second of processor time, which other work disturbs least.
template <class Decode>
double rate(const std::vector<Bytes>& files, int repeats, const Decode& decode) {
  const std::clock_t start = std::clock();
  for (int i = 0; i < repeats; ++i)
    for (const Bytes& file : files) decode(file);
  return repeats * static_cast<double>(files.size()) * CLOCKS_PER_SEC /
         static_cast<double>(std::clock() - start);
}

ordered_json spread(const std::vector<double>& rates) {
  const auto [low, high] = std::minmax_element(rates.begin(), rates.end());
  return {{"median", bench::median(rates)}, {"min", *low}, {"max", *high}};
}

ordered_json measure_format(const Options& o, const std::string& format, int width, int height) {
  std::vector<Bytes> files;
  for (unsigned i = 0; i < 32; ++i)
    files.push_back(encode(format, width, height, picture(width, height, i)));
  const int repeats = width < 100 ? 100 : 1;
  const bool stb = format != "WebP";
  std::vector<double> ours, theirs;
  for (int round = 0; round < o.rounds; ++round) {
    ours.push_back(rate(files, repeats, by_drnas));
    if (stb) theirs.push_back(rate(files, repeats, by_stb));
  }
  ordered_json row = {{"format", format},
                      {"width", width},
                      {"height", height},
                      {"file_bytes", files[0].size()},
                      {"drnas", spread(ours)}};
  if (!stb) return row;
  row["stb_image"] = spread(theirs);
  const readers::DecodedImage image = by_drnas(files[0]);
  const StbPixels pixels = by_stb(files[0]);
  int most = 0;
  for (int i = 0; i < 3 * width * height; ++i)
    most = std::max(most, std::abs(image.view().pixels[i] - pixels.get()[i]));
  row["largest_difference"] = most;
  return row;
}

ordered_json measure(const Options& o) {
  ordered_json report = {
      {"command", "build/bench/bench_images --rounds " + std::to_string(o.rounds)},
      {"rounds", o.rounds},
      {"images", ordered_json::array()}};
  for (const char* format : {"JPEG 4:2:0", "JPEG 4:4:4", "PNG", "WebP"})
    for (const auto& [width, height] : {std::pair{500, 375}, {32, 32}})
      report["images"].push_back(measure_format(o, format, width, height));
  return report;
}

void print(const ordered_json& report) {
  for (const ordered_json& row : report["images"]) std::printf("%s\n", row.dump().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_bench([&] { return parse(argc, argv); }, measure, print);
}
