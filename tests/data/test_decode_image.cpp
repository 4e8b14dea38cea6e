// SPDX-License-Identifier: MIT
// Every image format on hand-made files: exact pixels, limits, and damage of any kind.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <webp/encode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <span>
#include <thread>

#include "data/decode_image.h"
#include "tests/data/image_files.h"
#include "tests/support/random.h"

namespace drnas {
namespace {

using namespace test_files;
using readers::DecodedImage;

constexpr int width = 7, height = 5;

/// A file and what it decodes to.
struct Sample {
  std::string name;
  Bytes file, pixels;
};

Bytes decode(const std::string& name, const Bytes& file) {
  const DecodedImage image(name, std::as_bytes(std::span(file)));
  const readers::ImageView view = image.view();
  return {view.pixels, view.pixels + 3 * image.width() * image.height()};
}

void check_refused(const std::string& name, const Bytes& file, const std::string& part) {
  CAPTURE(name);
  check_error([&] { decode(name, file); }, {name + ": ", part});
}

Bytes webp_file(const Bytes& rgb) {
  std::uint8_t* packed = nullptr;
  const std::size_t size = WebPEncodeLosslessRGB(rgb.data(), width, height, 3 * width, &packed);
  REQUIRE(size > 0);
  const Bytes file(packed, packed + size);
  WebPFree(packed);
  return file;
}

/// `kind`: of the chunk in a RIFF file.
Bytes webp_chunk(const std::string& kind, const Bytes& content) {
  Bytes file;
  append(file, "RIFF");
  append(file, little(static_cast<std::uint32_t>(12 + content.size()), 4));
  append(file, "WEBP" + kind);
  append(file, little(static_cast<std::uint32_t>(content.size()), 4));
  append(file, content);
  return file;
}

/// The same pixels in every format that loses nothing, and a JPEG of one value.
std::vector<Sample> samples() {
  const Bytes rgb = random_bytes(3 * width * height, 1);
  const std::vector<std::uint32_t> wide(rgb.begin(), rgb.end());
  return {
      {"a.jpg", jpeg_file({-39}, {.width = width, .height = height}), Bytes(rgb.size(), 89)},
      {"progressive.jpg",
       jpeg_file({17}, {.width = width, .height = height, .progressive = true, .more_scans = 2}),
       Bytes(rgb.size(), 145)},
      {"a.png", png_file({.width = width, .height = height}, wide), rgb},
      {"a.webp", webp_file(rgb), rgb},
      {"a.ppm", pnm_file("P6\n# 7 5\n7 5\n255\n", rgb), rgb},
      {"a.bmp", bmp_file(width, height, rgb), rgb},
      {"a.gif", gif_file(width, height, rgb), rgb},
      {"a.tga", tga_file(width, height, rgb, false), rgb},
      {"runs.tga", tga_file(width, height, rgb, true), rgb},
      {"a.psd", psd_file(width, height, rgb), rgb},
      {"a.pic", pic_file(width, height, rgb), rgb}};
}

}  // namespace

TEST_CASE("decode image: every format, whatever the file's name but for TGA") {
  const TemporaryFolder folder;
  for (const Sample& sample : samples()) {
    CAPTURE(sample.name);
    CHECK(decode(sample.name, sample.file) == sample.pixels);
    write_bytes(folder.path() / sample.name, sample.file);
    CHECK(DecodedImage(folder.path() / sample.name).height() == height);
    CHECK(readers::is_image_name(sample.name));
    if (sample.name.ends_with(".tga"))
      check_refused("tga.png", sample.file, "of no known format");
    else
      CHECK(decode("other.png", sample.file) == sample.pixels);
  }
  CHECK(readers::is_image_name("A.WebP"));
  CHECK_FALSE(readers::is_image_name("a.txt"));
}

TEST_CASE("decode image: colours of JPEG") {
  const auto first_pixel = [&](const std::vector<int>& levels, int transform) {
    const Bytes pixels = decode("a.jpg", jpeg_file(levels, {.adobe_transform = transform}));
    return std::vector<double>(pixels.begin(), pixels.begin() + 3);
  };
  const auto rgb_of = [](double y, double cb, double cr) {
    return std::vector{y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb};
  };
  test::Rng random = test::generator(901);
  std::uniform_int_distribution<int> level(-60, 60);
  for (int repeat = 0; repeat < 50; ++repeat) {
    const std::vector<int> l = {level(random) / 2, level(random) / 2, level(random) / 2,
                                level(random)};
    const std::vector<double> rgb = rgb_of(128 + l[0], l[1], l[2]);
    const std::vector<double> found = first_pixel({l[0], l[1], l[2]}, -1),
                              plain = first_pixel({l[0], l[1], l[2]}, 0), cmyk = first_pixel(l, 0),
                              ycck = first_pixel(l, 2);
    for (std::size_t c = 0; c < 3; ++c) {
      const double key = (128 + l[3]) / 255.0;
      CHECK(std::abs(found[c] - rgb[c]) < 0.51);
      CHECK(plain[c] == 128 + l[c]);
      // Adobe stores inks inverted.
      CHECK(cmyk[c] == std::round((128 + l[c]) * key));
      CHECK(std::abs(ycck[c] - (255 - rgb[c]) * key) < 1.01);
    }
  }
}

TEST_CASE("decode image: depths and colours of PNG, interlaced or not") {
  for (const auto& kind : {std::pair{0, 1},
                           {0, 2},
                           {0, 4},
                           {0, 8},
                           {0, 16},
                           {2, 8},
                           {2, 16},
                           {3, 1},
                           {3, 2},
                           {3, 4},
                           {3, 8},
                           {4, 8},
                           {4, 16},
                           {6, 8},
                           {6, 16}})
    for (const bool interlaced : {false, true}) {
      const int type = kind.first, depth = kind.second;
      CAPTURE(type);
      CAPTURE(depth);
      CAPTURE(interlaced);
      PngForm form{.width = width,
                   .height = height,
                   .depth = depth,
                   .colour_type = type,
                   .interlaced = interlaced};
      const int channels = type == 2 ? 3 : type == 4 ? 2 : type == 6 ? 4 : 1;
      test::Rng random = test::generator(902);
      std::vector<std::uint32_t> values(static_cast<std::size_t>(width * height * channels));
      for (std::uint32_t& value : values) value = random() % (1u << depth);
      if (type == 3) {
        form.palette = random_bytes(std::size_t{3} << depth, 3);
        form.transparency = {0, 100};
      }
      if (type == 0 || type == 2) form.transparency = Bytes(type == 0 ? 2 : 6, 0);
      Bytes expected;
      for (std::size_t pixel = 0; pixel < width * height; ++pixel)
        for (std::size_t c = 0; c < 3; ++c) {
          const std::uint32_t value =
              values[pixel * static_cast<std::size_t>(channels) + (channels > 2 ? c : 0)];
          expected.push_back(type == 3 ? form.palette[3 * value + c]
                             : depth > 8
                                 ? static_cast<std::uint8_t>(value >> 8)
                                 : static_cast<std::uint8_t>(value * 255 / ((1u << depth) - 1)));
        }
      CHECK(decode("a.png", png_file(form, values)) == expected);
    }
}

TEST_CASE("decode image: samples of PNM") {
  CHECK(decode("a.pgm", pnm_file("P5 2 1 255\n", {7, 200})) == Bytes{7, 7, 7, 200, 200, 200});
  CHECK(decode("a.pgm", pnm_file("P5\t2 # a\n#b\n1\n15\n", {7, 15})) ==
        Bytes{119, 119, 119, 255, 255, 255});
  // 16-bit samples crashed or came out wrong.
  for (const int side : {32, 256})
    for (const int channels : {1, 3}) {
      Bytes values, expected;
      for (int i = 0; i < side * side * channels; ++i) {
        const auto value = static_cast<std::uint32_t>(i * 2654435761u >> 16);
        append(values, big(value, 2));
        for (int c = 0; c < (channels == 1 ? 3 : 1); ++c)
          expected.push_back(static_cast<std::uint8_t>(std::lround(value / 257.0)));
      }
      const std::string head = std::string(channels == 1 ? "P5" : "P6") + " " +
                               std::to_string(side) + " " + std::to_string(side) + " 65535\n";
      CHECK(decode("a.ppm", pnm_file(head, values)) == expected);
    }
  for (const char* head :
       {"P5 2 1 0\n", "P5 2 1 65536\n", "P5 2 1 99999999999999999999\n", "P5 2 -1 255\n", "P5 2 1",
        "P5", "P5 # 2 1 255\n", "P5 99999999999 99999999999 255\n"})
    check_refused("a.pgm", pnm_file(head, {1, 2}), "does not decode");
}

TEST_CASE("decode image: sizes are refused by the header") {
  const auto headers = [](std::uint32_t w, std::uint32_t h) {
    const Bytes none;
    const auto iw = static_cast<int>(w), ih = static_cast<int>(h);
    const std::string size = std::to_string(w) + " " + std::to_string(h);
    Bytes png = png_file({.width = 1, .height = 1}, {1, 2, 3}), gif = gif_file(1, 1, {1, 2, 3}),
          bmp = bmp_file(1, 1, {1, 2, 3});
    Bytes header = big(w, 4);
    append(header, big(h, 4));
    append(header, Bytes{8, 2, 0, 0, 0});
    Bytes chunk;
    append_chunk(chunk, "IHDR", header);
    std::copy(chunk.begin(), chunk.end(), png.begin() + 8);
    const auto put = [](Bytes& file, std::size_t at, const Bytes& bytes) {
      std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(at));
    };
    put(gif, 6, little(w, 2));
    put(gif, 8, little(h, 2));
    put(bmp, 18, little(w, 4));
    put(bmp, 22, little(h, 4));
    Bytes tga = tga_file(1, 1, {1, 2, 3}, true);
    put(tga, 12, little(w, 2));
    put(tga, 14, little(h, 2));
    return std::vector<Sample>{{"a.jpg", jpeg_file({1}, {.width = iw, .height = ih}), none},
                               {"a.png", png, none},
                               {"a.bmp", bmp, none},
                               {"a.gif", gif, none},
                               {"a.tga", tga, none},
                               {"a.psd", psd_file(iw, ih, none), none},
                               {"a.pic", pic_file(iw, ih, {1, 2, 3}), none}};
  };
  for (const auto& [w, h] : {std::pair{30000u, 20000u}, {8193u, 8192u}, {32768u, 1u}, {1u, 32768u}})
    for (const Sample& sample : headers(w, h)) {
      const bool by_libpng = sample.name == "a.png" && std::max(w, h) > 32767;
      check_refused(sample.name, sample.file,
                    by_libpng
                        ? "does not decode"
                        : std::to_string(w) + " x " + std::to_string(h) + " pixels, expected");
    }
  for (const auto& [w, h] : {std::pair{0u, 3u}, {3u, 0u}})
    for (const Sample& sample : headers(w, h)) check_refused(sample.name, sample.file, "expected");
  // Within the limit, but more than these few bytes can hold.
  for (const Sample& sample : headers(8192, 8192))
    check_refused(sample.name, sample.file, "does not decode");
  // The picture of a GIF may be a part of its screen.
  for (const Sample& sample : headers(1000, 900))
    if (sample.name == "a.gif") CHECK(decode(sample.name, sample.file).size() == 1000 * 900 * 3);
  // 16383 x 16383, lossless.
  check_refused("a.webp", webp_chunk("VP8L", {0x2f, 0xfe, 0xbf, 0xff, 0x0f, 0, 0, 0, 0, 0}),
                "16383 x 16383 pixels");
  for (const char* size : {"0 1", "1 0"})
    check_refused("a.pgm", pnm_file(std::string("P5 ") + size + " 255\n", {1}), "pixels, expected");
}

TEST_CASE("decode image: what is not read is named") {
  Bytes psd = psd_file(2, 2, Bytes(12, 5));  // colours that no matte of the fourth plane gives
  psd[13] = 4;
  psd.resize(psd.size() + 4, 1);
  check_refused("a.psd", psd, "PSD image with transparency");
  check_refused("a.jpg", random_bytes(100, 1), "of no known format");
  check_refused("a.jpg", {}, "of no known format");
  check_refused("a.jpg", {'R', 'I', 'F', 'F'}, "of no known format");
  check_refused("a.webp", webp_chunk("VP8X", {2, 0, 0, 0, 6, 0, 0, 4, 0, 0}), "an animation");
  // Counts of a Huffman table that sum up to more than 256 overran a table of stb_image.
  check_refused("a.jpg", jpeg_file({1}, {.too_many_codes = true}), "does not decode");
  check_refused("a.jpg", jpeg_file({1}, {.progressive = true, .more_scans = 600}), "500 scans");
  // Two components are neither grey nor a colour.
  check_refused("a.jpg", jpeg_file({1, 2}), "does not decode");
  // A text that does not unpack has no part in the pixels; a wrong checksum of pixels has.
  const PngForm form{.width = 1, .height = 1, .text = random_bytes(50, 1)};
  Bytes png = png_file(form, {1, 2, 3});
  CHECK(decode("a.png", png) == Bytes{1, 2, 3});
  png[png.size() - 13] ^= 1;
  check_refused("a.png", png, "does not decode");
  // Bytes too many before a marker of a JPEG are common and take nothing away.
  Bytes jpeg = jpeg_file({-39});
  jpeg.insert(jpeg.end() - 2, {0, 1, 2});
  CHECK(decode("a.jpg", jpeg) == Bytes(192, 89));
}

TEST_CASE("decode image: cut short at any byte") {
  for (const Sample& sample : samples()) {
    // The end of GIF says nothing of its first picture.
    const std::size_t spare = sample.name == "a.gif" ? 1 : 0;
    for (std::size_t length = 0; length + spare < sample.file.size(); ++length) {
      CAPTURE(length);
      check_refused(
          sample.name,
          Bytes(sample.file.begin(), sample.file.begin() + static_cast<std::ptrdiff_t>(length)),
          "expected");
    }
  }
}

TEST_CASE("decode image: a TGA whose rows are as long as a decoder's buffer, cut short") {
  Bytes tga = tga_file(1, 1, {1, 2, 3}, false);
  tga.resize(18);
  tga[16] = 32;            // bits of a pixel
  tga[12] = tga[14] = 32;  // width and height
  tga.resize(18 + 32 * 32 * 4, 7);
  CHECK(decode("a.tga", tga) == Bytes(32 * 32 * 3, 7));
  for (const std::size_t missing : {1, 2, 17, 18, 19, 127, 128, 129}) {
    CAPTURE(missing);
    check_refused("a.tga", Bytes(tga.begin(), tga.end() - static_cast<std::ptrdiff_t>(missing)),
                  "expected");
  }
}

TEST_CASE("decode image: only regular files") {
  const TemporaryFolder folder;
  const Path pipe = folder.path() / "a.png";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  // Lets go of a reader that waits for the other end, so that the test fails instead of hanging.
  const std::jthread writer([&pipe](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const int end = ::open(pipe.c_str(), O_WRONLY | O_NONBLOCK);
      if (end >= 0) ::close(end);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  check_error([&] { DecodedImage image(pipe); }, {pipe.string(), "regular file"});
}

namespace {

/// Some bytes replaced, flipped, removed or doubled; checksums of PNG chunks are right again for
/// half of them.
Bytes damaged(Bytes file, test::Rng& random) {
  for (unsigned count = 1 + random() % 3; count-- > 0 && !file.empty();) {
    const std::size_t at = random() % file.size();
    const auto place = file.begin() + static_cast<std::ptrdiff_t>(at);
    switch (random() % 8) {
      case 0:
        file.erase(place);
        break;
      case 1:
        file.insert(place, *place);
        break;
      case 2:
        file.resize(at);
        break;
      case 3:
        *place = static_cast<std::uint8_t>(random());
        break;
      case 4:
        *place = 0xff;
        break;
      default:
        *place ^= static_cast<std::uint8_t>(1u << random() % 8);
    }
  }
  if (random() % 2) return file;
  for (std::size_t at = 8; at + 12 <= file.size();) {
    const std::size_t length =
        std::accumulate(file.begin() + static_cast<std::ptrdiff_t>(at),
                        file.begin() + static_cast<std::ptrdiff_t>(at) + 4, std::size_t{0},
                        [](std::size_t sum, std::uint8_t byte) { return 256 * sum + byte; });
    if (length > file.size() - at - 12) break;
    const Bytes sum = big(static_cast<std::uint32_t>(
                              crc32(0, file.data() + at + 4, static_cast<unsigned>(length) + 4)),
                          4);
    std::copy(sum.begin(), sum.end(), file.begin() + static_cast<std::ptrdiff_t>(at + 8 + length));
    at += 12 + length;
  }
  return file;
}

}  // namespace

TEST_CASE("decode image: 2000 damaged files of each format decode or are refused in one line") {
  for (const Sample& sample : samples()) {
    CAPTURE(sample.name);
    test::Rng random = test::generator(903);
    int decoded = 0, refused = 0;
    for (int i = 0; i < 2000; ++i) {
      const Bytes file = damaged(sample.file, random);
      try {
        const DecodedImage image(sample.name, std::as_bytes(std::span(file)));
        const std::int64_t bytes = 3 * image.width() * image.height();
        REQUIRE(bytes > 0);
        // Touches all of them.
        REQUIRE(std::accumulate(image.view().pixels, image.view().pixels + bytes,
                                std::int64_t{0}) <= 255 * bytes);
        ++decoded;
      } catch (const Error& failure) {
        const std::string message = failure.what();
        REQUIRE(message.starts_with(sample.name + ": "));
        REQUIRE(message.find('\n') == std::string::npos);
        ++refused;
      }
    }
    CHECK(decoded > 0);
    CHECK(refused > 0);
  }
}

}  // namespace drnas
