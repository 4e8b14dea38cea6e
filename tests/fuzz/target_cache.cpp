// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "data/cache.h"
#include "engine/files.h"
#include "tests/fuzz/fuzz.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

using Json = nlohmann::ordered_json;

/// Layout: data/cache.cpp.
constexpr std::size_t prefix_bytes = 24, crc_at = 12, length_at = 16;

struct CacheParts {
  Bytes prefix;
  Json header;
  Bytes data;
};

std::optional<CacheParts> take_cache_apart(Input file) {
  if (file.size() < prefix_bytes) return {};
  std::uint64_t length = 0;
  std::memcpy(&length, file.data() + length_at, sizeof length);
  if (length > file.size() - prefix_bytes) return {};
  const Input prefix = file.first(prefix_bytes), data = file.subspan(prefix_bytes + length);
  const std::string_view text = as_text(file.subspan(prefix_bytes, length));
  Json header = Json::parse(text.begin(), text.end(), nullptr, false);
  if (!header.is_object()) return {};
  return CacheParts{{prefix.begin(), prefix.end()}, std::move(header), {data.begin(), data.end()}};
}

Bytes put_cache_together(const CacheParts& parts) {
  const std::string text = parts.header.dump(-1, ' ', false, Json::error_handler_t::replace);
  Bytes file = parts.prefix;
  const std::uint64_t length = text.size();
  std::memcpy(file.data() + length_at, &length, sizeof length);
  file.insert(file.end(), text.begin(), text.end());
  file.insert(file.end(), parts.data.begin(), parts.data.end());
  const std::uint32_t crc = checksum(std::as_bytes(std::span(file).subspan(length_at)));
  std::memcpy(file.data() + crc_at, &crc, sizeof crc);
  return file;
}

std::int64_t number_of(const Json& header, const char* key, std::int64_t otherwise) {
  const auto found = header.find(key);
  if (found == header.end() || !found->is_number_integer()) return otherwise;
  return found->get<std::int64_t>();
}

std::string text_of(const Json& header, const char* key) {
  const auto found = header.find(key);
  return found != header.end() && found->is_string() ? found->get<std::string>() : "";
}

/// As long as the header says, where that is not much.
void fit_data(CacheParts& parts) {
  constexpr std::int64_t most = 4096;
  const std::int64_t side = number_of(parts.header, "image_size", 0);
  std::int64_t bytes = 0;
  for (const char* key : {"train", "test"}) {
    const std::int64_t count = number_of(parts.header, key, 0);
    if (side < 0 || side > 16 || count < 0 || count > 16) return;
    bytes += count * (side * side * 3 + 4);
  }
  if (bytes <= most) parts.data.resize(static_cast<std::size_t>(bytes));
}

void change(Bytes& input, const Change& change) {
  std::optional<CacheParts> parts = take_cache_apart(input);
  if (!parts || change.once_in(8)) return change.bytes(input);
  if (parts->data.size() >= 4 && change.once_in(3)) {
    const std::int32_t labels[] = {-1, 0, 1, 2, 10, 1 << 30, INT32_MIN};
    const std::size_t at = change.rng() % (parts->data.size() - 3);
    const std::size_t aligned = change.once_in(2) ? parts->data.size() - 4 : at;
    std::memcpy(parts->data.data() + aligned, &labels[change.rng() % std::size(labels)], 4);
  } else if (change.once_in(4)) {
    change.bytes(parts->data);
  } else if (!parts->header.empty()) {
    auto value = parts->header.begin();
    std::advance(value, static_cast<std::ptrdiff_t>(change.rng() % parts->header.size()));
    Bytes text = to_bytes(value->dump(-1, ' ', false, Json::error_handler_t::replace));
    change.bytes(text);
    Json changed = Json::parse(text.begin(), text.end(), nullptr, false);
    if (!changed.is_discarded()) *value = std::move(changed);
  }
  if (!change.once_in(4)) fit_data(*parts);
  input = put_cache_together(*parts);
}

void check_images(const ImageSet& set, int size, std::size_t classes) {
  require(set.count >= 1 && set.size == size, "a set without images, or of another size");
  const auto count = static_cast<std::size_t>(set.count), side = static_cast<std::size_t>(size);
  require(set.pixels.size() == count * side * side * 3 && set.labels.size() == count,
          "pixels or labels for another number of images");
  for (const std::int32_t label : set.labels)
    require(label >= 0 && static_cast<std::size_t>(label) < classes,
            "label " + std::to_string(label) + " of " + std::to_string(classes) + " classes");
}

/// The key is the one that the file is made for: what makes it fit is no secret.
bool read(Input input) {
  static const Folder folder;
  const fs::path file = folder.write("packed.cache", input);
  cache::Key key;
  if (const auto parts = take_cache_apart(input)) {
    key.name = text_of(parts->header, "name");
    key.sources = text_of(parts->header, "sources");
    const std::int64_t side = number_of(parts->header, "image_size", 32);
    if (side >= 1 && side <= 1024) key.image_size = static_cast<int>(side);
  }
  cache::is_foreign(file);
  const std::optional<Dataset> dataset = cache::read(file, key);
  if (!dataset) return false;
  require(!dataset->classes.empty(), "a data set without classes");
  check_images(dataset->train, key.image_size, dataset->classes.size());
  check_images(dataset->test, key.image_size, dataset->classes.size());
  for (std::size_t c = 0; c < 3; ++c)
    require(std::isfinite(dataset->mean[c]) && dataset->deviation[c] > 0 &&
                std::isfinite(dataset->deviation[c]),
            "constants that cannot normalise");
  return true;
}

}  // namespace

DRNAS_FUZZ_TARGET(cache, read, change)
